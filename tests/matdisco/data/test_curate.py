from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from matdisco.crystal import Crystal, Label
from matdisco.data import readers
from matdisco.data.curation import CurationRecipe, Entry, curate
from matdisco.data.curation.files import curate_files
from matdisco.data.curation.harmonise import harmonise
from matdisco.data.curation.journal import Journal, from_dict, to_dict
from matdisco.data.curation.methods import family
from matdisco.data.dataset import Dataset
from matdisco.data.growth import from_evaluations, grow
from matdisco.data.outliers import Residual, residuals, unit_slips
from matdisco.data.publish import publish
from matdisco.data.readers import ColumnMap, Limits
from matdisco.evaluators.base import Evaluation, Failure, FailureKind
from tests.matdisco.data.builders import (
    crystal,
    disguised,
    fluorite,
    perovskite,
    rattled,
    rocksalt,
    wurtzite,
)

ROOT = Path(__file__).parents[3]


def test_the_shipped_rules_file_is_the_default() -> None:
    text = (ROOT / "configs" / "curation.yaml").read_text(encoding="utf-8")
    recipe = CurationRecipe.from_mapping(yaml.safe_load(text), source="curation.yaml")
    assert recipe == CurationRecipe()


def test_every_record_is_accounted_for() -> None:
    rng = np.random.default_rng(0)
    bad = rocksalt("Ca")
    bad.append("O", [0.01, 0, 0])
    records = [
        crystal(rocksalt(), "a", band_gap=4.5),
        crystal(disguised(rocksalt(), rng), "b", band_gap=4.52),
        crystal(bad, "c"),
        crystal(perovskite(), "d", band_gap=-999),
        crystal(wurtzite(), "e", band_gap=77),
    ]
    dataset, report = curate(records)
    assert [line.outcome for line in report] == [
        "kept", "merged", "rejected", "mended", "quarantined",
    ]  # fmt: skip
    assert report[1].kept_as == "a"
    assert dataset.ids == ("a", "d")
    assert sum(report.outcomes.values()) == len(records)
    merged = dataset[0].labels["band_gap"]
    assert merged.value == pytest.approx(4.51)
    assert merged.sigma == pytest.approx(0.01414, rel=1e-3)
    assert dataset[0].source["merged"][0]["id"] == "b"
    assert "overlap" in repr(report)


def test_contradicting_labels_are_quarantined_with_the_evidence() -> None:
    records = [crystal(rocksalt(), n, band_gap=g) for n, g in (("a", 4.5), ("b", 7.7))]
    dataset, report = curate(records)
    assert len(dataset) == 0
    assert report.outcomes == {"quarantined": 2}
    assert "4.5 (a), 7.7 (b)" in report[0].reasons


def test_a_majority_outvotes_one_wrong_value() -> None:
    values = {"a": 4.5, "b": 4.48, "c": 9.9}
    _, report = curate([crystal(rocksalt(), n, band_gap=g) for n, g in values.items()])
    assert [line.outcome for line in report] == ["kept", "merged", "quarantined"]


def test_forces_of_near_copies_are_no_contradiction() -> None:
    records = [
        crystal(rocksalt(), n).with_labels({"max_force": Label(f, "eV/Å", "PBE")})
        for n, f in (("a", 1e-5), ("b", 3.0))
    ]
    dataset, report = curate(records)
    assert report.outcomes == {"kept": 1, "merged": 1}
    assert dataset[0].labels["max_force"].value == 1e-5


def test_limits_stay_with_the_record(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    rows = [
        {"id": n, "structure": rocksalt(n).as_dict(), "sigma": s}
        for n, s in (("Mg", "<1E-10"), ("Ca", "2.1(3)E-6"))
    ]
    table.write_text("\n".join(json.dumps(r) for r in rows))
    column = {"column": "sigma", "unit": "S/cm", "method": "impedance"}
    columns = ColumnMap.from_mapping(
        {
            "id": "id",
            "structure": "structure",
            "labels": {"ionic_conductivity": column},
        },
        source="t",
    )
    dataset, report = curate_files([table], tmp_path / "ds", columns=columns)
    assert report.outcomes == {"kept": 1, "mended": 1}
    assert dataset[0].source["censored"]["ionic_conductivity"] == {
        "limit": "<", "value": 1e-10, "unit": "S/cm", "method": "impedance",
    }  # fmt: skip
    assert not dataset[0].labels
    assert dataset[1].labels["ionic_conductivity"].sigma == pytest.approx(3e-7)
    assert "1 records state only a limit" in (tmp_path / "ds" / "card.md").read_text()


def test_a_croissant_dataset_is_a_source(tmp_path: Path) -> None:
    start = Dataset(
        "start", (crystal(rocksalt(), "a", band_gap=4.5), crystal(wurtzite(), "b")),
        {"licence": "CC BY 4.0", "citation": "Somebody (2020)"},
    )  # fmt: skip
    card = publish(start, tmp_path / "x") and tmp_path / "x" / "croissant.json"
    again, report = curate_files([card], tmp_path / "ds", limits=Limits(isolate=False))
    assert report.outcomes == {"kept": 2, "no-structure": 1}
    assert again[0].labels == start[0].labels
    assert again.card["sources"][0]["licence"] == "CC BY 4.0"
    text = card.read_text().replace('"sha256": "', '"sha256": "0')
    card.write_text(text.replace('"contentUrl": "data', '"contentUrl": "other'))
    (record,) = readers.read(card, limits=Limits(isolate=False))
    assert "other.parquet, which is not beside it" in record.findings[1].message
    card.write_text(text)
    first = next(readers.read(card, limits=Limits(isolate=False)))
    assert [f.rule for f in first.findings] == ["unsupported", "checksum"]


def test_polymorphs_are_told_apart_when_asked() -> None:
    """One wurtzite has the value of the rocksalts: composition cannot know."""
    rng = np.random.default_rng(0)
    metals = ["Mg", "Ca", "Sr", "Ba", "Mn", "Fe", "Co", "Ni", "Zn", "Cd"]
    pairs = [(m, x) for m in metals for x in ("O", "S", "Se", "Te")]
    records = []
    for m, x in pairs:
        for make, value in ((rocksalt, 1.0), (wurtzite, 3.0)):
            name = f"{m}{x}-{make.__name__}"
            found = 1.0 if name == "CoSe-wurtzite" else value
            noise = 0.02 * rng.standard_normal()
            records.append(crystal(make(m, x), name, e_form=found + noise))
    found = {}
    for expectation in ("composition", "structure"):
        recipe = CurationRecipe.from_mapping(
            {"outliers": {"expectation": expectation}}, source="t"
        )
        _, report = curate(records, recipe)
        found[expectation] = {x.entry.id for x in report if "outlier:" in x.reasons}
    assert found == {"composition": set(), "structure": {"CoSe-wurtzite"}}


def test_methods_are_kept_apart_unless_allowed() -> None:
    records = [
        crystal(rocksalt(), "a", "VASP 6.4; PBE", band_gap=4.5),
        crystal(perovskite(), "b", "VASP 5.4; PBE", band_gap=1.9),
        crystal(rocksalt(), "c", "HSE06", band_gap=6.5),
    ]
    dataset, _ = curate(records)
    assert dataset.properties == ("band_gap", "band_gap@HSE06")
    assert dataset[0].labels["band_gap"].value == 4.5
    allowed = CurationRecipe.from_mapping(
        {"methods": {"mixing": "allow"}, "merge": {"prefer_methods": ["HSE06"]}},
        source="t",
    )
    dataset, report = curate(records, allowed)
    assert dataset.properties == ("band_gap",)
    assert dataset[0].labels["band_gap"].value == 6.5
    assert report.outcomes == {"kept": 2, "merged": 1}


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("VASP 6.3; PBE; encut_eV=520.0", "band_gap", "PBE"),
        ("GPAW RPBE", "e_form", "RPBE"),
        ("PBE+U (MP)", "energy_above_hull", "PBE+U"),
        ("VASP r2SCAN", "energy", "VASP r2SCAN"),
        ("CP2K 2.6.2; PADE", "energy", "CP2K LDA"),
        ("ABINIT 7.8.2; encut_eV=217.7", "energy", "ABINIT 7.8.2"),
        ("", "energy", ""),
    ],
)
def test_method_families(text: str, key: str, expected: str) -> None:
    assert family(text, key) == expected


def test_volumes_that_differ_are_not_merged() -> None:
    records = [crystal(rocksalt(edge=e), str(e)) for e in (4.21, 4.25, 4.6)]
    _, report = curate(records)
    assert [line.outcome for line in report] == ["kept", "merged", "kept"]


def row(name: str, declared: dict[str, object], **labels: float) -> Entry:
    units = {"bulk_modulus": "GPa", "ionic_conductivity": "S/cm"}
    found = {k: Label(v, units[k]) for k, v in labels.items()}
    return Entry(name, None, found, declared, "table.csv")


def test_rows_find_their_structure_by_id_or_formula_and_space_group() -> None:
    structures = [
        Crystal("mp-1", rocksalt(), source={"material_id": "mp-1"}),
        Crystal("mp-2", fluorite(), source={"material_id": "mp-2"}),
    ]
    rows = [
        row("r1", {"material_id": "mp-1", "formula": "MgO"}, bulk_modulus=160),
        row("r2", {"formula": "caf2", "space_group": 225}, bulk_modulus=82),
        row("r3", {"material_id": "mp-1", "formula": "NaCl"}, bulk_modulus=24),
        row("r4", {"formula": "TiO2", "space_group": 136}, bulk_modulus=210),
    ]
    dataset, report = curate([*structures, *rows])
    outcome = {line.entry.id: line.outcome for line in report}
    assert outcome["r3"] == "quarantined"
    assert outcome["r4"] == "no-structure"
    assert sorted(dataset.values("bulk_modulus")) == [82, 160]
    assert "formula 'caf2' read as CaF2" in report[3].reasons


def test_units_of_unlisted_properties_are_harmonised() -> None:
    entries = [
        row("a", {}, ionic_conductivity=1e-3),
        row("b", {}, ionic_conductivity=2e-3),
        Entry("c", None, {"ionic_conductivity": Label(0.5, "mS/cm")}),
        Entry("d", None, {"ionic_conductivity": Label(-3.0, "log10(S/cm)", "", 0.1)}),
        Entry("e", None, {"ionic_conductivity": Label(1.0, "eV")}),
    ]
    done = harmonise(entries)
    values = [e.labels["ionic_conductivity"].value for e in done[:4]]
    assert values == pytest.approx([1e-3, 2e-3, 5e-4, 1e-3])
    assert done[3].labels["ionic_conductivity"].sigma == pytest.approx(2.3026e-4, 1e-3)
    assert done[4].verdict == "quarantine"


def test_a_forgotten_conversion_stands_apart_from_the_bulk() -> None:
    rng = np.random.default_rng(2)
    frames = []
    for i in range(20):
        energy = -8.0 * (1 + 0.01 * rng.normal())
        if i in (4, 17):
            energy /= 27.2114
        shaken = rattled(rocksalt(), 0.3, rng)
        label = {"energy": Label(energy, "eV", "PBE")}
        frames.append(Entry(str(i), crystal(shaken), label, {}, "md.xyz", format="xyz"))
    _, report = curate(frames)
    slipped = [line.entry.id for line in report if line.outcome == "quarantined"]
    assert slipped == ["4", "17"]
    assert "hartree for eV" in report[4].reasons
    assert report.outcomes["kept"] == 18  # frames of one file are not duplicates


def test_a_broad_distribution_is_no_unit_mistake() -> None:
    rng = np.random.default_rng(0)
    logs = rng.standard_t(2, 500) * 0.1
    broad = [Residual(1.0, 0.0, float(10.0**x), 0.1) for x in logs]
    assert unit_slips(broad, ["GPa"] * 500) == [None] * 500


def test_residuals_need_enough_records() -> None:
    composition = rocksalt().composition
    assert residuals([composition] * 3, np.ones(3)) == [None] * 3


def test_the_content_hash_knows_one_label() -> None:
    records = [crystal(rocksalt(), "a", band_gap=4.5), crystal(wurtzite(), "b")]
    one, _ = curate(records)
    again, _ = curate(records)
    other, _ = curate([crystal(rocksalt(), "a", band_gap=4.500001), records[1]])
    assert one.content_hash == again.content_hash != other.content_hash


def folder(path: Path) -> Path:
    rng = np.random.default_rng(5)
    source = path / "raw"
    source.mkdir(parents=True)
    for name, s in {
        "a": rocksalt(), "b": perovskite(), "c": disguised(rocksalt(), rng),
    }.items():  # fmt: skip
        s.to(filename=str(source / f"{name}.cif"), fmt="cif")
    (source / "broken.cif").write_text("data_x\n_cell_length_a oops\n")
    (source / "table.csv").write_text(
        "sample,formula,space_group,K\ns1,MgO,225,1600\ns2,SrTiO3,221,1750\n"
    )
    return source


COLUMNS = ColumnMap.from_mapping(
    {"id": "sample", "formula": "formula",
     "labels": {"bulk_modulus": {"column": "K", "unit": "kbar", "method": "PBE"}}},
    source="t",
)  # fmt: skip


def test_files_become_a_dataset_folder(tmp_path: Path) -> None:
    source = folder(tmp_path)
    dataset, report = curate_files([source], tmp_path / "ds", columns=COLUMNS)
    assert report.outcomes == {"kept": 2, "merged": 3, "rejected": 1}
    assert Dataset.open(tmp_path / "ds").content_hash == dataset.content_hash
    with (tmp_path / "ds" / "report.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(report) == 6
    assert {line["path"] for line in lines} >= {"raw/a.cif", "raw/table.csv"}
    assert sorted(dataset.values("bulk_modulus")) == pytest.approx([160, 175])
    lineage = dataset[0].source["lineage"][0]
    assert lineage["path"] == "raw/a.cif"
    assert len(lineage["byte_hash"]) == 64


def test_the_hash_does_not_depend_on_the_place(tmp_path: Path) -> None:
    hashes = {
        curate_files([folder(tmp_path / n)], tmp_path / n / "d")[0].content_hash
        for n in ("here", "there")
    }
    assert len(hashes) == 1


def test_an_interrupted_curation_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matdisco.data.curation import files

    source, calls = folder(tmp_path), []
    real = files.read_and_check

    def counted(task, *rest):  # type: ignore[no-untyped-def]
        calls.append(task.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(task, *rest)

    monkeypatch.setattr(files, "read_and_check", counted)
    with pytest.raises(KeyboardInterrupt):
        curate_files([source], tmp_path / "ds", columns=COLUMNS)
    dataset, _ = curate_files([source], tmp_path / "ds", columns=COLUMNS)
    assert len(calls) == 3 + 3  # two files of five were done
    fresh, _ = curate_files([source], tmp_path / "fresh", columns=COLUMNS)
    assert dataset.content_hash == fresh.content_hash


def test_a_journal_forgets_a_line_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    known = to_dict(Entry("x", crystal(rocksalt(), band_gap=1.0), {}))
    journal.add("one", json.dumps([known]))
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"key": "two", "format": 1, "entr')
    again = Journal(path)
    assert "one" in again
    assert "two" not in again
    again.add("two", "[]")
    assert again.get("one")[0] == from_dict(json.loads(json.dumps(known)))
    assert again.get("two") == []
    again.close()


def test_campaign_results_become_the_next_version() -> None:
    parent = Dataset(
        "start", (crystal(rocksalt(), "a", energy_above_hull=0.0),),
        {"licence": "CC BY 4.0", "version": "1.2.0"},
    )  # fmt: skip
    label = {"energy_above_hull": Label(0.03, "eV/atom", "PBE")}
    evaluations = [
        Evaluation("k1", "new", label),
        Evaluation("k2", "bad", failure=Failure(FailureKind.TIMEOUT, "slow")),
    ]
    found = from_evaluations(evaluations, {"new": crystal(fluorite(), "new")}, "run-1")
    grown, report = grow(parent, found)
    assert grown.ids == ("a", "new")
    assert grown[1].source["lineage"][0]["path"].startswith("run-1/evaluations/")
    assert report.outcomes == {"kept": 2}
    assert grown.card["parent"]["content_hash"] == parent.content_hash
    assert grown.card["version"] == "1.3.0"
    assert grown.card["licence"] == "CC BY 4.0"
    assert grown[1].source["campaign"] == "run-1"
