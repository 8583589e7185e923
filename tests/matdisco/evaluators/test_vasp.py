"""VASP's files: what it is given, stored outputs of VASP itself, and the way between.

Nobody here can run VASP; a program in its place computes by EMT.
"""

import gzip
import json
import shlex
import sys
from functools import partial
from pathlib import Path

import ase.test
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.dft.bandgap import bandgap
from campaign_files import SUPPORT

from matdisco.crystal import Crystal
from matdisco.errors import SetupError
from matdisco.evaluators.base import EvaluationFailed, FailureKind
from matdisco.evaluators.dft import vasp
from matdisco.evaluators.dft.recipe import DftRecipe

ASE_FILES = Path(ase.test.__file__).parent / "testdata" / "vasp"
STANDIN = [sys.executable, str(SUPPORT / "vasp_standin.py")]


def recipe(**settings):
    return DftRecipe.model_validate({"code": "vasp", "static": True, **settings})


@pytest.fixture
def without_potcars(monkeypatch):
    """POTCARs are licensed: their names are written instead."""
    names = partial(vasp.write_inputs, potcars=False)
    monkeypatch.setattr(vasp, "write_inputs", names)


def mixed():
    """Atoms in an order that VASP's POSCAR cannot have, out of their places."""
    atoms = Atoms(
        "AuCuAuCu", cell=[4.0, 4.1, 4.3], pbc=True,
        scaled_positions=[[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    )  # fmt: skip
    atoms.rattle(0.1, seed=5)
    return atoms


def test_inputs_hold_what_was_asked(tmp_path):
    silicon = Crystal.from_atoms(bulk("Si"), "si")
    vasp.write_inputs(
        silicon.structure, tmp_path / "in",
        recipe(cutoff=520, kpoint_density=3.0, settings={"EDIFF": 1e-7}),
        {"mixing": 0.02, "smearing": 0.2}, potcars=False,
    )  # fmt: skip
    incar = (tmp_path / "in" / "INCAR").read_text()
    for line in ("ENCUT = 520", "EDIFF = 1e-07", "AMIX = 0.02", "SIGMA = 0.2",
                 "NSW = 0"):  # fmt: skip
        assert line in incar
    assert "Si" in (tmp_path / "in" / "POSCAR").read_text()
    # 2 pi / 3.135 Å between planes, 3 points for each Å⁻¹ of that: 6.01, so 7
    kpoints = (tmp_path / "in" / "KPOINTS").read_text().splitlines()
    assert kpoints[2].startswith("G") and kpoints[3].split() == ["7", "7", "7"]
    vasp.write_inputs(
        silicon.structure, tmp_path / "warm", recipe(smearing=0.1), {}, potcars=False
    )
    incar = (tmp_path / "warm" / "INCAR").read_text()
    assert "ISMEAR = -1" in incar and "SIGMA = 0.1" in incar


def test_forces_come_back_in_the_order_of_the_atoms(tmp_path, without_potcars):
    engine = recipe(command=shlex.join(STANDIN)).engine()
    atoms = mixed()
    atoms.calc = engine.calculator(atoms, tmp_path, {})
    expected = mixed()
    expected.calc = EMT()
    assert atoms.get_forces() == pytest.approx(expected.get_forces(), abs=1e-6)
    assert atoms.get_stress() == pytest.approx(expected.get_stress(), abs=1e-7)
    energy = expected.get_potential_energy()
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-6)
    assert engine.versions == {"vasp": "0.0.standin"}
    # the site order of POSCAR is not the atoms'
    assert "Cu Au" in (tmp_path / "vasp-000" / "POSCAR").read_text().splitlines()[5]


def test_custodian_mends_what_it_knows_and_runs_again(tmp_path, without_potcars):
    pytest.importorskip("custodian", reason="not installed: matdisco[vasp]")
    command = shlex.join([*STANDIN, "--first-fails"])
    engine = recipe(command=command, custodian=True).engine()
    atoms = mixed()
    atoms.calc = engine.calculator(atoms, tmp_path, {})
    expected = mixed()
    expected.calc = EMT()
    energy = expected.get_potential_energy()
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-6)
    (log,) = json.loads((tmp_path / "vasp-000" / "custodian.json").read_text())
    (mended,) = log["corrections"]
    assert "zbrent" in mended["errors"] and mended["actions"]


def test_without_custodian_the_same_error_is_a_kind_of_failure(
    tmp_path, without_potcars
):
    engine = recipe(command=shlex.join([*STANDIN, "--first-fails"])).engine()
    atoms = mixed()
    atoms.calc = engine.calculator(atoms, tmp_path, {})
    with pytest.raises(EvaluationFailed, match="no complete vasprun") as caught:
        atoms.get_potential_energy()
    failure = engine.recognise(caught.value, tmp_path)
    assert failure.kind is FailureKind.NOT_CONVERGED and "ZBRENT" in str(failure)


@pytest.mark.skipif(not ASE_FILES.is_dir(), reason="ASE came without its test files")
def test_stored_outputs_of_vasp_6(tmp_path):
    stored = ASE_FILES / "vasprun_pstress.xml"
    (tmp_path / "vasprun.xml").write_bytes(stored.read_bytes())
    found = vasp.read_outputs(tmp_path)
    atoms = ase.io.read(stored, format="vasp-xml")
    assert found["version"] == "6.3.0"
    # 1 kbar of external pressure times 11.37 Å³ is not part of the energy
    assert found["energy"] == pytest.approx(-20.24010135 - 11.37482 / 1602.17663)
    assert found["forces"] == pytest.approx(atoms.get_forces())
    assert found["stress"] == pytest.approx(atoms.get_stress())


def test_stored_outputs_of_vasp_5(tmp_path, shared_data):
    """VASP 5 leaves 0 where VASP 6 has the energy of a geometry."""
    home = shared_data / "messy" / "raw" / "pymatgen"
    static = home / "vasp__fixtures__static_silicon__vasprun.xml.gz"
    (tmp_path / "vasprun.xml").write_bytes(gzip.decompress(static.read_bytes()))
    oszicar = home / "vasp__fixtures__static_silicon__OSZICAR"
    (tmp_path / "OSZICAR").write_bytes(oszicar.read_bytes())
    found = vasp.read_outputs(tmp_path)
    assert found["energy"] == pytest.approx(-10.64527774)
    assert found["magmom"] == pytest.approx(0.0)
    atoms = ase.io.read(tmp_path / "vasprun.xml", format="vasp-xml")
    referee, _, _ = bandgap(atoms.calc, output=None)
    assert found["band_gap"] == pytest.approx(referee)
    assert np.abs(found["forces"]).max() < 1e-6
    cut = tmp_path / "cut"
    cut.mkdir()
    text = (tmp_path / "vasprun.xml").read_text()
    (cut / "vasprun.xml").write_text(text[: len(text) // 2])
    with pytest.raises(EvaluationFailed, match=r"no complete vasprun\.xml"):
        vasp.read_outputs(cut)
    never = home / "vasp__outputs__vasprun.dfpt.unconverged.xml.gz"
    (cut / "vasprun.xml").write_bytes(gzip.decompress(never.read_bytes()))
    with pytest.raises(EvaluationFailed, match="did not converge") as caught:
        vasp.read_outputs(cut)
    assert caught.value.kind is FailureKind.NOT_CONVERGED


def test_what_is_missing_is_said_before_anything_is_spent(monkeypatch, tmp_path):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
    monkeypatch.setattr(vasp, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="'LDA' would be ignored; with vasp the input"):
        recipe(command="true", functional="LDA").check(frozenset({"Si"}))
    with pytest.raises(SetupError, match=r"custodian.*matdisco\[vasp\]"):
        recipe(command="true", custodian=True).check(frozenset({"Si"}))
