from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from campaigns.cli.data import app
from matdisco.data.dataset import Dataset
from matdisco.errors import ConfigError, DataError
from tests.matdisco.data.builders import fluorite, perovskite, rocksalt


def matdisco_data(*words: object) -> None:
    """Run the command; typer leaves with SystemExit(0)."""
    app([str(w) for w in words], standalone_mode=False)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    source = tmp_path / "raw"
    source.mkdir()
    for s in (rocksalt(), fluorite(), perovskite()):
        s.to(filename=str(source / f"{s.reduced_formula}.cif"), fmt="cif")
    matdisco_data("curate", source, "--to", tmp_path / "ds", "--workers", 1)
    return tmp_path / "ds"


def test_curate_show_split_export(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matdisco_data("show", dataset)
    matdisco_data("show", dataset, "--card")
    matdisco_data("show", dataset, "--id", Dataset.open(dataset).ids[0])
    matdisco_data("split", dataset, "--folds", 3, "--name", "cv", "--workers", 1)
    matdisco_data("export", dataset, "--to", dataset.parent / "x.csv")
    text = capsys.readouterr().out
    assert "3 crystals" in text
    assert "fold-2" in text
    assert (dataset / "splits.json").exists()
    assert len(pd.read_csv(dataset.parent / "x.csv")) == 3


def test_list_and_get(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = perovskite()
    pd.DataFrame(
        {
            "mbid": ["p1"],
            "e_form": [0.1],
            "lattice": [s.lattice.matrix.ravel()],
            "species": [[x.specie.symbol for x in s]],
            "frac_coords": [s.frac_coords.ravel()],
        }
    ).to_parquet(tmp_path / "data.parquet")
    matdisco_data("list")
    target = tmp_path / "out"
    get = ("get", "perov-5", "--from", tmp_path, "--to", target)
    matdisco_data(*get, "--curate", "--workers", 1)
    assert "matbench_perovskites" in capsys.readouterr().out
    found = Dataset.open(target)
    assert found.card["citation"].startswith("Castelli")
    assert found.card["curation"]["records"] == 1


def test_mistakes_are_sentences(dataset: Path) -> None:
    with pytest.raises(DataError, match="no record is called 'nobody'"):
        matdisco_data("show", dataset, "--id", "nobody")
    with pytest.raises(ConfigError, match="expected NAME=SHARE"):
        matdisco_data("split", dataset, "--parts", "train")
    rules = dataset / "rules.yaml"
    rules.write_text("rules: {overlap: {closet: 0.5}}\n")
    with pytest.raises(ConfigError, match=r"rules\.overlap\.closet.*closest"):
        matdisco_data("curate", dataset, "--to", dataset / "x", "--rules", rules)
