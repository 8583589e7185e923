"""Simulators by name: checked before spending, right against literature and ASE."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from matdisco.crystal import Crystal
from matdisco.errors import SetupError
from matdisco.evaluators.base import EvaluationFailed, FailureKind
from matdisco.evaluators.calculators import CalculatorRecipe
from matdisco.evaluators.equation_of_state import fit
from matdisco.evaluators.measuring import averages
from matdisco.evaluators.references import known, structure
from matdisco.evaluators.results import read_result

L12 = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def crystal(atoms, name="x"):
    return Crystal.from_atoms(atoms, name)


def values(recipe, thing, folder):
    answer = recipe.build().evaluate(thing, folder / "evaluations" / "key")
    return {k: v.value for k, v in answer.labels.items()}, answer


def test_the_equation_of_state_gives_back_its_own_parameters():
    # Birch-Murnaghan with E0 = -3 eV, V0 = 40 Å³, B0 = 1 eV/Å³ (160.2 GPa), B' = 4
    v = np.linspace(37, 43, 7)
    eta = (40 / v) ** (2 / 3)
    e = -3 + 9 * 40 / 16 * ((eta - 1) ** 3 * 4 + (eta - 1) ** 2 * (6 - 4 * eta))
    found = fit(v, e)
    assert (found.volume, found.energy) == pytest.approx((40, -3), abs=1e-6)
    assert found.bulk_modulus == pytest.approx(160.2177, abs=1e-3)
    with pytest.raises(EvaluationFailed, match="no minimum"):
        fit(v, -e)


def test_both_ways_of_relaxing_a_cell_agree(tmp_path):
    thing = crystal(bulk("Cu", a=3.75))
    by_volume = CalculatorRecipe.model_validate(
        {"calculator": "emt", "relax": {"by": "equation_of_state"}}
    )
    a, answer = values(by_volume, thing, tmp_path)
    b, _ = values(CalculatorRecipe.model_validate(
        {"calculator": "emt", "relax": {"fmax": 0.001}}), thing, tmp_path)  # fmt: skip
    assert a["volume_per_atom"] == pytest.approx(b["volume_per_atom"], rel=1e-3)
    # EMT's copper: 134 GPa in ASE's own tests of the potential
    modulus = answer.provenance["equation_of_state_bulk_modulus_GPa"]
    assert modulus == pytest.approx(134, abs=4)


def test_properties_of_emt_aluminium_and_nickel(tmp_path):
    recipe = CalculatorRecipe(
        calculator="emt", compute=("bulk_modulus", "elasticity", "formation_energy")
    )
    found, answer = values(
        recipe,
        crystal(Atoms("AlNi3", scaled_positions=L12, cell=[3.6] * 3, pbc=True)),
        tmp_path,
    )  # fmt: skip
    references = answer.provenance["references_eV_per_atom"]
    expected = found["energy_per_atom"] - (references["Al"] + 3 * references["Ni"]) / 4
    assert found["formation_energy_per_atom"] == pytest.approx(expected)
    # references are evaluations of the same recipe, made once and kept
    (home,) = (tmp_path / "references").iterdir()
    kept = read_result(home / "Al")
    assert kept.labels["energy_per_atom"].value == pytest.approx(references["Al"])
    other = recipe.model_copy(update={"compute": ("formation_energy",)})
    assert other.build().fidelity() == recipe.build().fidelity()
    rough = CalculatorRecipe.model_validate(
        {"calculator": "emt", "relax": {"fmax": 0.2}}
    )
    assert rough.build().fidelity() != recipe.build().fidelity()
    import json

    tensor = np.array(
        json.loads((tmp_path / "evaluations/key/elastic.json").read_text())["tensor"]
    )
    c11, c12, c44 = tensor[0, 0], tensor[0, 1], tensor[3, 3]
    assert tensor == pytest.approx(tensor.T)
    assert tensor[[1, 2], [1, 2]] == pytest.approx(c11, abs=1)  # cubic
    # of a cubic crystal the tensor's own bulk modulus is the equation of state's
    assert (c11 + 2 * c12) / 3 == pytest.approx(found["bulk_modulus"], rel=0.03)
    voigt = (c11 - c12 + 3 * c44) / 5
    reuss = 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    assert averages(tensor)[1] == pytest.approx((voigt + reuss) / 2, rel=1e-2)
    assert found["shear_modulus"] == pytest.approx(averages(tensor)[1], rel=1e-3)


def test_lennard_jones_argon_and_any_calculator_by_import_path(tmp_path):
    lj = CalculatorRecipe.model_validate(
        {"calculator": "lennard-jones", "relax": {"fmax": 1e-4}}
    )
    found, _ = values(lj, crystal(bulk("Ar", a=5.4)), tmp_path)
    # experiment at 4 K: 5.31 Å, -0.080 eV/atom
    assert (4 * found["volume_per_atom"]) ** (1 / 3) == pytest.approx(5.26, abs=0.1)
    path = CalculatorRecipe(calculator="ase.calculators.emt:EMT", relax=None)
    path.check(frozenset({"Cu"}))
    named = CalculatorRecipe(calculator="emt", relax=None)
    one, _ = values(path, crystal(bulk("Cu")), tmp_path)
    two, _ = values(named, crystal(bulk("Cu")), tmp_path)
    assert one == two


def test_a_relaxation_that_does_not_converge_climbs_its_ladder(tmp_path):
    from matdisco.evaluators.simulator import Simulator

    class Stubborn(CalculatorRecipe):
        def ladder(self):
            return ({"optimizer": "FIRE"}, {"optimizer": "LBFGS"})

    recipe = Stubborn.model_validate(
        {"calculator": "emt", "relax": {"steps": 1, "fmax": 1e-4}}
    )
    atoms = bulk("Cu", a=3.75)
    with pytest.raises(EvaluationFailed) as caught:
        Simulator(recipe, recipe.engine()).evaluate(crystal(atoms), tmp_path)
    assert caught.value.kind is FailureKind.NOT_CONVERGED
    # every try has left its own log
    logs = {str(p.parent.relative_to(tmp_path)) for p in tmp_path.rglob("relax.log")}
    assert logs == {".", "retry-1", "retry-2"}


def body_centred(ratio):
    return Atoms("Cu2", scaled_positions=[[0] * 3, [0.5] * 3],
                 cell=[2.9, 2.9, 2.9 * ratio], pbc=True)  # fmt: skip


def test_a_candidate_that_becomes_another_crystal_is_noticed(tmp_path):
    # a body-centred tetragonal cell of copper slides down Bain's path to fcc, c/a = √2
    loose = CalculatorRecipe(calculator="emt")
    strict = CalculatorRecipe.model_validate(
        {"calculator": "emt", "relax": {"must_stay": True}}
    )
    _, answer = values(loose, crystal(body_centred(1.1)), tmp_path)
    a, _, c = answer.relaxed.structure.lattice.abc
    assert c / a == pytest.approx(2**0.5, abs=0.02)
    assert answer.provenance["same_crystal"] is False
    with pytest.raises(EvaluationFailed, match="another one than") as caught:
        values(strict, crystal(body_centred(1.1)), tmp_path)
    assert caught.value.kind is FailureKind.SYMMETRY_CHANGED
    # volume, noise and the choice of cell do not make it another one
    noisy = bulk("Cu", a=3.8, cubic=True)
    noisy.rattle(0.1, seed=3)
    for same in (noisy, body_centred(1.4), bulk("Cu", "bcc", a=3.0)):
        _, answer = values(strict, crystal(same), tmp_path)
        assert answer.provenance["same_crystal"] is True


def test_phonons_of_copper_are_ases_and_bcc_copper_is_unstable(tmp_path):
    from ase.calculators.emt import EMT
    from ase.phonons import Phonons
    from ase.units import _e, _hplanck

    recipe = CalculatorRecipe.model_validate(
        {"calculator": "emt", "compute": ["phonons"],
         "relax": {"keep_symmetry": True, "fmax": 0.001}}
    )  # fmt: skip
    found, answer = values(recipe, crystal(bulk("Cu", a=3.61)), tmp_path)
    atoms = answer.relaxed.to_atoms()
    referee = Phonons(
        atoms, EMT(), supercell=(3, 3, 3), delta=0.01, name=str(tmp_path / "phonons")
    )
    referee.run()
    referee.read(acoustic=True)
    grid = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(3)])
    energies = referee.band_structure(grid[1:] / 3, verbose=False)  # eV
    lowest = energies.min() * _e / _hplanck / 1e12
    assert found["lowest_phonon_frequency"] == pytest.approx(lowest, rel=0.01)
    # experiment: the lowest branch of copper at these points lies near 3 THz
    assert 2 < lowest < 4
    bcc, _ = values(recipe, crystal(bulk("Cu", "bcc", a=2.85)), tmp_path)
    assert bcc["lowest_phonon_frequency"] < -0.1


def test_magnetic_moment_of_iron_and_none_of_copper(tmp_path):
    pytest.importorskip("chgnet")
    recipe = CalculatorRecipe(relax=None, compute=("magnetic_moment",))
    iron, _ = values(recipe, crystal(bulk("Fe", a=2.866)), tmp_path)
    # measured 2.22 μB; the potential was trained on moments in PAW spheres
    assert iron["magnetic_moment_per_atom"] == pytest.approx(2.22, abs=0.3)
    copper, _ = values(recipe, crystal(bulk("Cu")), tmp_path)
    assert copper["magnetic_moment_per_atom"] < 0.05


@pytest.mark.parametrize(
    ("recipe", "elements", "message"),
    [
        (
            {"calculator": "mace"},
            {"Si"},
            "mace-torch is not installed; install it with",
        ),
        (
            {"calculator": "no.such.package:Thing"},
            {"Si"},
            "cannot import 'no.such.pack",
        ),
        (
            {"calculator": "emt", "weights": "nowhere.pt"},
            {"Cu"},
            "no such file: nowher",
        ),
        ({"calculator": "emt", "compute": ["band_gap"]}, {"Cu"}, "no electrons"),
        (
            {"calculator": "emt", "compute": ["magnetic_moment"]},
            {"Cu"},
            "emt gives no magnetic_moment",
        ),
        (
            {"calculator": "lennard-jones", "compute": ["formation_energy"]},
            {"S", "Cu"},
            "no reference structure is known for S; give one each",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_spent(
    recipe, elements, message
):
    with pytest.raises(SetupError, match=message.replace("(", r"\(")):
        CalculatorRecipe.model_validate(recipe).check(frozenset(elements))


def test_reference_structures_are_the_elements_own():
    assert len(known()) > 75
    for symbol in ("Bi", "Te", "Ga", "P", "Sn", "O", "Fe"):
        thing = structure(symbol)
        assert thing.elements == (symbol,)
        distance = thing.structure.distance_matrix
        if thing.n_atoms > 1:
            assert distance[distance > 0].min() > 0.7
    # densities of the crystals (g/cm³, CRC Handbook)
    for symbol, density in (("Bi", 9.79), ("Te", 6.24), ("Ga", 5.91), ("P", 2.69)):
        assert structure(symbol).structure.density == pytest.approx(density, rel=0.03)
