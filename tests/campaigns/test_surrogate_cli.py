"""``matdisco surrogate``: train, predict, audit, as a user meets them."""

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tracked import client_of

from campaigns.cli import main
from campaigns.tracking.contents import score
from campaigns.tracking.store import quiet_mlflow
from campaigns.training import FILES, TrainingConfig
from matdisco.crystal import Label
from matdisco.data.dataset import Dataset
from matdisco.errors import ConfigError
from matdisco.properties import get
from surrogates.seen import Seen, structure_key
from surrogates.testing import toy_crystals

ROOT = Path(__file__).parents[2]
TARGET = "formation_energy_per_atom"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store: MLflow takes seconds to make its tables."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with quiet_mlflow():
        client_of(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def dataset(tmp_path: Path, store: Path) -> Path:
    shutil.copy(store, tmp_path)
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
    # the file's own test part was not learnt, and is not said to be
    learnt = len(again_of(folder))
    assert code == 1 and f"same structure  {learnt:>7}  ({learnt / 60:.1%})" in said
    assert "note:" not in said and len(Dataset.open(clean)) == 60 - learnt
    assert run("surrogate", "audit", folder / "checkpoint", dataset) == 1
    assert f"keeps of {learnt} records" in capsys.readouterr().out
    (folder / "checkpoint" / "training.json").unlink()
    assert run("surrogate", "audit", folder / "checkpoint", dataset) == 2
    said = capsys.readouterr()
    assert "not compared" in said.out and "--trained-on" in said.err


def again_of(folder: Path) -> Seen:
    seen = Seen.load(folder / "checkpoint")
    assert seen is not None
    return seen


def test_intervals_by_chemistry_and_for_a_stream(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "toy"
    config = write(tmp_path, dataset)
    assert run("surrogate", "train", config, "--to", folder, "--no-tracking") == 0
    out = tmp_path / "out.csv"

    def predicted(kind: str, *files: Path) -> pd.DataFrame:
        arguments = (folder / "checkpoint", *files, "--to", out, "--interval", kind)
        assert run("surrogate", "predict", *arguments) == 0
        return pd.read_csv(out)

    plain = predicted("conformal", dataset)
    same = predicted("chemistry", dataset)  # all are intermetallics
    assert set(same["interval"]) == {"conformal intermetallic"}
    np.testing.assert_allclose(same["upper"], plain["upper"])
    half = predicted("gaussian", dataset).eval("upper - mean")
    np.testing.assert_allclose(half, 1.6449 * plain["std"], rtol=1e-3)

    # answers far off widen what follows, those that were learnt move nothing
    crystals = list(Dataset.open(dataset))
    far = [
        replace(c, id=f"far-{i}", structure=c.structure.copy().apply_strain(0.01))
        for i, c in enumerate(crystals)
    ]
    off = [c.with_labels({TARGET: Label(c.value(TARGET) + 9, "eV/atom")}) for c in far]
    last = replace(far[0], id="last", labels={})
    stream = Dataset("s", (*crystals, *off, last)).save(tmp_path / "s.parquet")
    found = predicted("adaptive", stream)
    width = (found["upper"] - found["mean"]) / found["std"]
    assert width.iloc[-1] > 2 * width.iloc[len(crystals)]
    learnt = again_of(folder).structures
    known = [c for c in crystals if structure_key(c) in learnt]
    told = Dataset("told", tuple(known)).save(tmp_path / "told.parquet")
    run("surrogate", "predict", folder / "checkpoint", told, "--interval", "adaptive")
    assert "is not in the training data" in capsys.readouterr().err
    bare = Dataset("b", (last,)).save(tmp_path / "b.parquet")
    run("surrogate", "predict", folder / "checkpoint", bare, "--interval", "adaptive")
    assert "none of those given has one" in capsys.readouterr().err
    (folder / "checkpoint" / "training.json").unlink()
    run("surrogate", "predict", folder / "checkpoint", bare, "--interval", "chemistry")
    assert "does not list its training records" in capsys.readouterr().err


def test_the_chosen_one_of_auto_gives_conformal_intervals(
    tmp_path: Path, dataset: Path
) -> None:
    one = {"kind": "random_forest", "trees": 20, "threads": 1}
    auto = {"kind": "auto", "folds": 2, "candidates": [one, {**one, "trees": 10}]}
    folder, out = tmp_path / "auto", tmp_path / "out.csv"
    config = write(tmp_path, dataset, surrogate=auto)
    assert run("surrogate", "train", config, "--to", folder) == 0
    history = pd.read_csv(folder / "history.csv")
    assert list(history)[:2] == ["stage", "epoch"] and history["nll"].notna().all()
    assert len(history) == 4 and history["stage"].nunique() == 2
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        keys = {k for (k,) in store.execute("SELECT key FROM metrics")}
    store.close()
    assert "training/nll" in keys
    run("surrogate", "predict", folder / "checkpoint", dataset, "--to", out)
    assert set(pd.read_csv(out)["interval"]) == {"conformal"}


def test_a_label_of_ones_own_keeps_its_unit(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(store, tmp_path)
    crystals = [c.with_labels({"cheap": c.labels["toy"]}) for c in toy_crystals(40)]
    place = Dataset("own", tuple(crystals)).save(tmp_path / "own.parquet")
    config = write(tmp_path, place, target="cheap")
    assert run("surrogate", "train", config, "--to", tmp_path / "own") == 0
    (line,) = [k for k in capsys.readouterr().out.splitlines() if " mae  " in k]
    assert line.endswith(" eV/atom")
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        keys = {k for (k,) in store.execute("SELECT key FROM metrics")}
        tags = dict(store.execute("SELECT key, value FROM tags"))
    store.close()
    assert "test/mae_eV_per_atom" in keys
    assert "of cheap (eV/atom)" in tags["mlflow.note.content"]


def test_what_is_missing_is_said_before_anything_is_promised(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = {"kind": "gaussian_process"}
    for surrogate, message in (
        ({"kind": "network_ensemble", "device": "cuda"}, "sees no CUDA card"),
        ({"kind": "network_ensemble", "pretrain": "no.parquet"}, "no dataset no.parq"),
        ({**process, "features": "nowhere:Mine"}, "cannot import it"),
        ({**process, "answers": {"dataset": "no.parquet"}}, "no.parquet"),
        ({"kind": "auto", "candidates": [{**process, "features": "no:M"}]}, "no:M"),
    ):
        if "CUDA" in message and torch.cuda.is_available():
            continue
        path = write(tmp_path, dataset, surrogate=surrogate)
        assert run("surrogate", "train", path, "--to", tmp_path / "out") == 1
        said = capsys.readouterr()
        assert message in said.err and "writes" not in said.out
    assert not (tmp_path / "out").exists()


def test_mistakes_are_sentences(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for changes, code, message in (
        ({"surrogate": {"kind": "gausian_process"}}, 2, "did you mean"),
        ({"dataset": "no.parquet"}, 2, "no such file"),
        ({"split": {"parts": {"train": 1.0}}}, 2, "a part called 'test'"),
        (
            {"target": "toy_energy"},
            1,
            f"no record has a label toy_energy; labels in it: toy, {TARGET}",
        ),
    ):
        path = write(tmp_path, dataset, **changes)
        assert run("surrogate", "train", path, "--to", tmp_path / "out") == code
        said = capsys.readouterr()
        assert message in said.err and "writes" not in said.out
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
