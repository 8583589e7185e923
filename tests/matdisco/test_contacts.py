"""What is near is told apart from what has fused."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from matdisco.contacts import CLOSEST, ratios
from matdisco.evaluators.base import EvaluationFailed, FailureKind
from matdisco.evaluators.relax import check_contacts


def test_the_ratio_is_of_covalent_radii() -> None:
    found = ratios(np.array([0.74, 1.89]), np.array([1, 11]), np.array([1, 11]))
    np.testing.assert_allclose(found, [0.74 / 0.62, 1.89 / 3.32])
    assert found.min() > CLOSEST, "hydrogen's bond, and sodium at 320 GPa"


def hydrogen() -> Atoms:
    atoms = molecule("H2")  # 0.74 Å
    atoms.set_cell([6, 6, 6])
    atoms.pbc = True
    return atoms


@pytest.mark.parametrize(
    "atoms",
    [hydrogen(), bulk("MgO", "rocksalt", a=4.21 * 0.7), bulk("Al", a=4.05 * 0.6)],
    ids=["H2", "MgO at a third of its volume", "Al at a fifth"],
)
def test_what_is_dense_is_no_wreck(atoms: Atoms) -> None:
    check_contacts(atoms)


def test_fused_atoms_of_an_evaluation_are_a_failure() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.positions[1] = atoms.positions[0] + [0.0, 0.0, 1.2]
    with pytest.raises(EvaluationFailed, match=r"1\.200 Å apart, 0\.45 of") as error:
        check_contacts(atoms)
    assert error.value.kind is FailureKind.OVERLAPPING_ATOMS
