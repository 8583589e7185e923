from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pymatgen.core import Structure

from matdisco.crystal import Label
from matdisco.data.card import card_text, limits
from matdisco.data.curation import curate
from matdisco.data.dataset import Dataset
from matdisco.data.export import export
from matdisco.data.publish import FILES, publish
from matdisco.errors import DataError
from tests.matdisco.data.builders import crystal, fluorite, rocksalt, wurtzite

CARD = {
    "title": "Three crystals",
    "description": "Made for a test.",
    "licence": "https://creativecommons.org/licenses/by/4.0/",
    "citation": "Nobody, Journal of Nothing 1, 1 (2020)",
    "sources": [{"name": "here", "licence": "CC0-1.0", "sha256": "00"}],
    "limits": ["Three crystals are few."],
}
DATA = Dataset(
    "three",
    (
        crystal(rocksalt(), "a", band_gap=4.5, bulk_modulus=160.0),
        crystal(fluorite(), "b", band_gap=7.1),
        crystal(wurtzite(), "c").with_labels(
            {
                "e/form": Label(-1.0, "eV", "PBE"),
                "energy@ABINIT 7.8.2; encut_eV=489.8": Label(-9.0, "eV", "ABINIT"),
                "energy@ABINIT 7.8.2, encut_eV=489.8": Label(-9.1, "eV", "ABINIT"),
            }
        ),
    ),
    CARD,
)


def test_a_published_folder_holds_everything(tmp_path: Path) -> None:
    gone = crystal(rocksalt("Ca"), "d", band_gap=99)
    dataset, report = curate([*DATA, gone], name="three")
    folder = tmp_path / "ds"
    publish(dataset, folder, report=report, date="2026-01-01")
    assert {p.name for p in folder.iterdir()} == set(FILES)
    assert Dataset.open(folder).content_hash == dataset.content_hash
    aside = Dataset.open(folder / "quarantine.parquet")
    assert "outside the possible" in str(aside[0].source["quarantine"])


def test_the_card_says_what_a_reader_must_know() -> None:
    text = card_text(DATA)
    for expected in (
        "# Three crystals", "| records | 3 |", DATA.content_hash, "CC0-1.0",
        "| `bulk_modulus` | GPa | 1 |", "Please cite: Nobody", "pymatgen ",
    ):  # fmt: skip
        assert expected in text
    assert "Bulk modulus is missing on 2 of 3 records." in limits(DATA)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three crystals as a dataset folder; treat it as read-only."""
    return export(DATA, tmp_path_factory.mktemp("published") / "three")


def test_mlcroissant_accepts_the_description(published: Path) -> None:
    pytest.importorskip("mlcroissant", reason="needs the optional mlcroissant")
    # In a process of its own: mlcroissant's dependencies warn while being imported.
    code = (
        "import itertools, mlcroissant as mlc\n"
        "d = mlc.Dataset('croissant.json')\n"
        "assert not d.metadata.ctx.issues.errors, d.metadata.ctx.issues.report()\n"
        "rows = list(itertools.islice(d.records('crystals'), 3))\n"
        "assert [r['crystals/id'] for r in rows] == [b'a', b'b', b'c'], rows\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=published, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_croissant_has_responsible_ai_fields_and_units(published: Path) -> None:
    data = json.loads((published / "croissant.json").read_text(encoding="utf-8"))
    assert "http://mlcommons.org/croissant/1.1" in data["conformsTo"]
    assert {"rai:dataCollection", "rai:dataBiases", "rai:dataLimitations"} <= set(data)
    fields = {f["name"]: f for f in data["recordSet"][0]["field"]}
    assert "GPa" in fields["bulk_modulus"]["description"]
    assert fields["lattice_vectors"]["arrayShape"]
    assert len(data["distribution"][0]["sha256"]) == 64


def test_an_empty_dataset_can_be_published(tmp_path: Path) -> None:
    publish(Dataset("none", ()), tmp_path)
    assert "The dataset is empty." in (tmp_path / "card.md").read_text()


def test_extxyz_comes_back(tmp_path: Path) -> None:
    from ase.io import read

    frames = read(export(DATA, tmp_path / "d.extxyz"), index=":")
    assert [len(f) for f in frames] == [8, 12, 4]
    assert frames[0].info["band_gap"] == 4.5
    assert frames[0].info["bulk_modulus_unit"] == "GPa"


def test_ase_db_comes_back(tmp_path: Path) -> None:
    from ase.db import connect

    path = export(DATA, tmp_path / "d.db")
    with connect(path) as database:
        rows = list(database.select())
    assert rows[0].key_value_pairs["band_gap"] == 4.5
    assert rows[2].key_value_pairs["e_form"] == -1.0
    assert rows[0].data["crystal"]["id"] == "a"


def test_cif_folder_and_csv_come_back(tmp_path: Path) -> None:
    folder = export(DATA, tmp_path / "d.cif")
    files = sorted(folder.glob("*.cif"))
    assert [f.name for f in files] == ["0-a.cif", "1-b.cif", "2-c.cif"]
    assert Structure.from_file(files[1]).reduced_formula == "CaF2"
    header = (folder / "labels.csv").read_text().splitlines()[0]
    assert "band_gap (eV)" in header


def test_parquet_and_folder_come_back(published: Path, tmp_path: Path) -> None:
    for path in (export(DATA, tmp_path / "d.parquet"), published):
        again = Dataset.open(path)
        assert again.content_hash == DATA.content_hash


def test_unknown_endings_and_disorder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no export format ends in '\.foo'"):
        export(DATA, tmp_path / "d.foo")
    mixed = rocksalt()
    mixed.replace_species({"Mg": {"Mg": 0.5, "Ca": 0.5}})
    with pytest.raises(DataError, match="disordered sites"):
        export(Dataset("m", (crystal(mixed, "m"),)), tmp_path / "d.extxyz")
