"""``matdisco surrogate``: train, predict, audit, as a user meets them."""

import json
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import yaml

from campaigns.cli import main
from campaigns.tracking.contents import score
from campaigns.training import FILES, TrainingConfig
from matdisco.data.dataset import Dataset
from matdisco.errors import ConfigError
from matdisco.properties import get
from surrogates.testing import toy_crystals

ROOT = Path(__file__).parents[2]
TARGET = "formation_energy_per_atom"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    crystals = [
        c.with_labels({TARGET: c.labels["toy"]}) for c in toy_crystals(60, seed=2)
    ]
    return Dataset("toys", tuple(crystals)).save(tmp_path / "toys.parquet")


def write(tmp_path: Path, dataset: Path, /, **changes: object) -> Path:
    config = {
        "name": "toy",
        "dataset": str(dataset),
        "target": TARGET,
        "surrogate": {"kind": "random_forest", "trees": 20, "threads": 1},
        "split": {"kind": "random", "parts": {"train": 0.7, "test": 0.3}},
        "tracking_uri": f"sqlite:///{tmp_path / 'mlflow.db'}",
        **changes,
    }
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def run(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_train_predict_audit(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "surrogates" / "toy"
    config = write(tmp_path, dataset)
    assert run("surrogate", "train", config, "--to", folder) == 0
    said = capsys.readouterr().out
    assert "random forest" in said and "test records" in said and "MLflow: run" in said
    left = {p.name for p in folder.iterdir()}
    assert {n.rstrip("/") for n in FILES} - {"history.csv"} <= left
    metrics = json.loads((folder / "metrics.json").read_text())
    table = pd.read_csv(folder / "test.csv")
    assert metrics["mae"] == pytest.approx(
        (table["mean"] - table["label"]).abs().mean()
    )
    again = TrainingConfig.load(folder / "config.yaml")
    assert again == TrainingConfig.load(config)

    # a second training of the same is the same run
    assert run("surrogate", "train", config, "--to", folder) == 0
    capsys.readouterr()
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert store.execute("SELECT COUNT(*) FROM runs").fetchone() == (1,)
        keys = {k for (k,) in store.execute("SELECT key FROM metrics")}
        tags = dict(store.execute("SELECT key, value FROM tags"))
        used = store.execute("SELECT name, digest FROM datasets").fetchall()
    store.close()
    target = again.target
    assert score("test/", "mae", get(target).unit) in keys
    assert "test/coverage_90" in keys
    note = tags["mlflow.note.content"]
    assert f"mean absolute error {metrics['mae']:.4g}" in note
    assert "judged on" in note and "@newest DATASET" in note
    assert tags["matdisco.kind"] == "training" and tags["matdisco.target"] == target
    content = Dataset.open(dataset).content_hash
    assert [digest for _, digest in used] == [content[:32]]

    cif = tmp_path / "one.cif"
    crystal = toy_crystals(3, seed=9)[2]
    cif.write_text(crystal.to_cif())
    out = tmp_path / "out.csv"
    files = (cif, cif, dataset)
    assert run("surrogate", "predict", folder / "checkpoint", *files, "--to", out) == 0
    found = pd.read_csv(out)
    assert len(found) == 62 and found["id"].is_unique
    assert (found["lower"] < found["mean"]).all() and set(found["interval"]) == {
        "conformal"
    }
    wide = tmp_path / "wide.csv"
    run(
        "surrogate",
        "predict",
        folder / "checkpoint",
        cif,
        "--to",
        wide,
        "--level",
        0.99,
    )
    assert pd.read_csv(wide)["interval"][0] == "gaussian", "40 records carry no 99 %"

    capsys.readouterr()
    clean = tmp_path / "clean.parquet"
    code = run(
        "surrogate", "audit", folder / "checkpoint", dataset, "--trained-on", dataset,
        "--clean", clean,
    )  # fmt: skip
    said = capsys.readouterr().out
    assert code == 1 and "same structure" in said
    assert "(100.0%)" in said and "none of those given" in said
    assert len(Dataset.open(clean)) == 0


def test_mistakes_are_sentences(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for changes, code, message in (
        ({"surrogate": {"kind": "gausian_process"}}, 2, "did you mean"),
        ({"dataset": "no.parquet"}, 2, "no such file"),
        ({"split": {"parts": {"train": 1.0}}}, 2, "a part called 'test'"),
        ({"target": "toy_energy"}, 1, "no record has a label toy_energy"),
    ):
        path = write(tmp_path, dataset, **changes)
        assert run("surrogate", "train", path, "--to", tmp_path / "out") == code
        assert message in capsys.readouterr().err
    assert run("surrogate", "predict", tmp_path, dataset) == 1
    assert "not a surrogate checkpoint" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="cannot be read"):
        TrainingConfig.load(tmp_path / "missing.yaml")


def test_a_store_that_does_not_answer_loses_nothing(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, dataset, tracking_uri="http://127.0.0.1:9")
    assert run("surrogate", "train", path, "--to", tmp_path / "out") == 1
    assert "the surrogate is in" in capsys.readouterr().err
    assert (tmp_path / "out" / "checkpoint").is_dir()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/surrogates").glob("*.yaml")), ids=lambda p: p.stem
)
def test_shipped_configurations_load(path: Path) -> None:
    config = TrainingConfig.load(path)
    assert config.name == path.stem
    config.surrogate.build(0)
