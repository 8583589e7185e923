"""The same crystal from every format: physics is the test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from matdisco.data import readers
from matdisco.data.readers import Limits, RawRecord

from . import samples

HERE = Limits(isolate=False)


def read(path: Path, **options: object) -> list[RawRecord]:
    return list(readers.read(path, limits=HERE, **options))  # type: ignore[arg-type]


def one(path: Path) -> RawRecord:
    (record,) = read(path)
    return record


@pytest.mark.parametrize("form", sorted(samples.SAMPLES))
def test_every_format_gives_the_same_crystal(form: str, tmp_path: Path) -> None:
    text, has_energy = samples.SAMPLES[form]
    path = tmp_path / "no_telling_name"
    path.write_text(text)
    record = one(path)
    assert record.format == form, record.findings
    assert record.crystal is not None, record.findings
    structure = record.crystal.structure
    assert record.crystal.formula == "MgO"
    assert structure.volume / len(structure) == pytest.approx(
        samples.A**3 / 8, rel=1e-4
    )
    neighbours = structure.get_neighbors(structure[0], samples.A / 2 + 0.1)
    assert len(neighbours) == 6
    assert {n.specie.symbol for n in neighbours} == {"O"}
    assert np.allclose([n.nn_distance for n in neighbours], samples.A / 2, atol=2e-3)
    if has_energy:
        label = record.crystal.labels["energy"]
        assert label.value == pytest.approx(samples.ENERGY, abs=1e-5)
        assert label.unit == "eV"
        assert record.crystal.value("energy_per_atom") == pytest.approx(-6.25, abs=1e-5)
    else:
        assert "energy" not in record.crystal.labels


def test_records_carry_their_origin(tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "a.txt"
    path.write_text(samples.VASPRUN)
    record = one(tmp_path)
    assert record.crystal is not None
    assert record.byte_hash == hashlib.sha256(samples.VASPRUN.encode()).hexdigest()
    source = record.crystal.source
    assert source["file"] == "deep/a.txt"
    assert source["method"]["functional"] == "PBE"
    method = record.crystal.labels["energy"].method
    assert method.startswith("VASP 6.4.2; PBE; PAW_PBE Mg, PAW_PBE O; encut_eV=520")
    assert record.crystal.value("band_gap") == pytest.approx(4.5)
    assert record.crystal.value("max_force") == pytest.approx(0.03)


def test_frames_of_a_trajectory_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(samples.XDATCAR)
    (last,) = read(path)
    assert [f.rule for f in last.findings] == ["frames-skipped"]
    assert last.record == 1
    assert len(read(path, frames="all")) == 2


def test_numbers_that_run_into_each_other(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(samples.XDATCAR.replace("0.4 0.5 0.5", "0.50000000-0.50000000 0.5"))
    first, second = read(path, frames="all")
    assert first.crystal is not None
    assert first.crystal.structure.frac_coords[1].tolist() == [0.5, -0.5, 0.5]
    assert second.crystal is not None


def test_vasp4_species_are_not_invented(tmp_path: Path) -> None:
    path = tmp_path / "POSCAR"
    path.write_text(samples.POSCAR.replace("Mg O\n", ""))
    record = one(path)
    assert record.crystal is not None
    assert not any(e in record.crystal.elements for e in ("H", "He"))
    assert [(f.rule, f.severity) for f in record.findings] == [
        ("unnamed-species", "quarantine")
    ]


def test_molecules_are_boxed_and_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "water"
    path.write_text("3\nwater\nO 0 0 0\nH 0.76 0.59 0\nH -0.76 0.59 0\n")
    record = one(path)
    assert record.crystal is not None
    assert record.crystal.n_atoms == 3
    assert [(f.rule, f.severity) for f in record.findings] == [
        ("no-cell", "quarantine")
    ]
    assert min(record.crystal.structure.lattice.abc) >= 10


def test_disordered_sites_stay_disordered(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(
        samples.CIF.replace("Mg1 Mg 0 0 0 1", "Mg1 Mg 0 0 0 0.5\nFe1 Fe 0 0 0 0.25")
    )
    record = one(path)
    assert record.crystal is not None
    assert not record.crystal.structure.is_ordered
    assert record.fields["declared_formula"] == "Mg O"


def test_each_cif_block_is_a_record(tmp_path: Path) -> None:
    path = tmp_path / "x"
    second = samples.CIF.replace("data_MgO", "data_CaO").replace("Mg", "Ca")
    broken = samples.CIF.replace("data_MgO", "data_bad").replace(
        f"_a {samples.A}", "_a -3"
    )
    path.write_text("data_global\n_journal_year 2020\n" + samples.CIF + broken + second)
    first, bad, last = read(path)
    assert first.crystal is not None
    assert first.crystal.formula == "MgO"
    assert last.crystal is not None
    assert last.crystal.source["name"] == "CaO"
    assert [f.rule for f in bad.findings] == ["flat-cell"]


def test_ase_files(tmp_path: Path) -> None:
    import ase.io
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.db import connect

    h = samples.H
    atoms = Atoms(
        "MgO", [[0, 0, 0], [h, h, h]], cell=[[0, h, h], [h, 0, h], [h, h, 0]], pbc=True
    )
    atoms.calc = SinglePointCalculator(
        atoms, energy=samples.ENERGY, forces=np.zeros((2, 3))
    )
    for name in ("a.db", "b.json"):
        with connect(tmp_path / name) as database:
            database.write(atoms, sample="lab-7")
    ase.io.write(tmp_path / "c.traj", [atoms, atoms])
    ase.io.write(tmp_path / "d.xsf", atoms)
    found = {Path(r.path).name: r for r in read(tmp_path)}
    assert {n: r.format for n, r in found.items()} == {
        "a.db": "ase-sqlite", "b.json": "json", "c.traj": "ase-traj", "d.xsf": "xsf",
    }  # fmt: skip
    for name, record in found.items():
        assert record.crystal is not None, (name, record.findings)
        assert record.crystal.formula == "MgO"
        if name != "d.xsf":
            assert record.crystal.value("energy") == samples.ENERGY
    assert found["a.db"].fields == found["b.json"].fields == {"sample": "lab-7"}


def test_our_own_dataset_reads_back_with_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(samples.VASPRUN)
    crystal = one(path).crystal
    assert crystal is not None
    from matdisco.data import store
    from matdisco.data.dataset import Dataset

    stored = store.write(Dataset("d", (crystal,)), tmp_path / "data.parquet")
    again = one(stored).crystal
    assert again is not None
    assert again.labels == crystal.labels
    assert again.structure_hash == crystal.structure_hash


def test_documented_schemas_give_labels(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(samples.JARVIS)
    record = one(path)
    assert record.crystal is not None
    label = record.crystal.labels["formation_energy_per_atom"]
    assert (label.value, label.unit) == (-3.0, "eV/atom")
    assert "JARVIS" in label.method


def test_a_number_without_unit_becomes_no_label(tmp_path: Path) -> None:
    data = json.loads(samples.JARVIS)[0]
    path = tmp_path / "x"
    atoms = data["atoms"]
    rows = [
        {"id": "a", "band_gap": 4.5, "structure": atoms},
        {"id": "b", "band_gap": {"value": 4500, "unit": "meV"}, "structure": atoms},
    ]
    path.write_text(json.dumps(rows))
    bare, stated = read(path)
    assert "band_gap" not in bare.labels
    assert [f.rule for f in bare.findings] == ["unit-unstated"]
    assert stated.labels["band_gap"].value == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty-file"),
        ("\n  \n", "empty-file"),
        ("Dear colleague, here are the files.", "unknown-format"),
        ("<!DOCTYPE html><html><body>404</body></html>", "unsupported"),
        (samples.POSCAR.replace("0.5 0.5 0.5\n", ""), "truncated"),
        (samples.POSCAR.replace("Mg O", "Mg Zz"), "unknown-species"),
        (samples.POSCAR.replace("0 0 0\n", "0 nan 0\n"), "bad-number"),
        (samples.POSCAR.replace("0.5 0.5 0.0", "0.0 0.5 0.5"), "flat-cell"),
        (samples.CIF.replace("0.5 0.5 0.5 1", "0.5 0.5 0.5 1.6"), "occupancy"),
        (samples.CIF.replace("O3 O 0 0.5", f"O3 O 0 {'1' * 400}"), "bad-number"),
        (samples.VASPRUN[:300], "truncated"),
        ("{\"a\": [1, 2", "unreadable"),
    ],
)  # fmt: skip
def test_refusals_have_a_rule_and_a_reason(
    text: str, rule: str, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    record = one(path)
    assert record.crystal is None
    assert [f.rule for f in record.findings] == [rule]
    assert record.rejected
    assert len(record.findings[0].message) > 10


def test_every_rule_is_explained() -> None:
    """A rule that a reader applies must stand in the table of rules."""
    import re

    folder = Path(readers.__file__).parent
    used = set()
    for file in folder.glob("*.py"):
        used |= set(
            re.findall(
                r'(?:Unreadable|Finding|refused)\(\s*(?:blob, )?"([a-z-]+)"',
                file.read_text(),
            )
        )
    assert used <= set(readers.RULES)
    assert len(used) > 25


def test_a_missing_path_is_the_callers_mistake(tmp_path: Path) -> None:
    from matdisco.errors import DataError

    with pytest.raises(DataError, match="no such file or folder"):
        readers.read(tmp_path / "nothing")


def test_gpaw_restart_files(tmp_path: Path) -> None:
    from ase.io import ulm

    h = samples.H
    path = tmp_path / "x"
    with ulm.open(path, "w", tag="gpaw") as writer:
        writer.write(gpaw_version="24.6.0")
        atoms = writer.child("atoms")
        atoms.write(
            numbers=np.array([12, 8]),
            positions=np.array([[0, 0, 0], [h, h, h]]),
            cell=np.array([[0, h, h], [h, 0, h], [h, h, 0]]),
            pbc=np.ones(3, bool),
        )
        writer.child("results").write(energy=samples.ENERGY)
        writer.child("parameters").write(xc="PBE", mode={"name": "pw", "ecut": 500})
    record = one(path)
    assert record.format == "gpaw-gpw"
    assert record.crystal is not None
    label = record.crystal.labels["energy"]
    assert (label.value, label.method) == (samples.ENERGY, "GPAW 24.6.0; PBE; mode=pw")


WRITERS = (
    "abinit-in", "aims", "castep-cell", "castep-geom", "castep-md", "cfg", "cif",
    "cube", "dmol-arc", "dmol-incoor", "elk-in", "extxyz", "gen", "gromacs",
    "gromos", "magres",
    "proteindatabank", "res", "rmc6f", "runnerdata", "struct", "v-sim", "vasp",
    "vasp-xdatcar", "xsd", "xsf",
)  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
def test_what_ase_writes_is_recognised_by_content(writer: str, tmp_path: Path) -> None:
    import warnings

    from ase.io import write

    path = tmp_path / "x"
    path.write_text(samples.CIF)
    first = one(path).crystal
    assert first is not None
    path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(path, first.to_atoms(), format=writer)
    crystal = read(path)[-1].crystal
    assert crystal is not None
    assert crystal.formula == "MgO"
    volume = crystal.structure.volume / crystal.n_atoms
    assert volume == pytest.approx(samples.A**3 / 8, rel=1e-3)
