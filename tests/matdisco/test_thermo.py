"""The hull, against pymatgen's PhaseDiagram and against a linear programme."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from scipy.optimize import linprog

from matdisco.errors import DataError
from matdisco.thermo import Hull, fractions, reference_energies

SYMBOLS = ("Al", "Ni", "Ti", "Cu", "Mg", "Zn")


def random_phases(rng, n_elements, n):
    elements = SYMBOLS[:n_elements]
    compositions = [Composition({e: 1}) for e in elements]
    energies = list(rng.normal(-4, 1, n_elements))
    for _ in range(n):
        amounts = rng.integers(0, 4, n_elements)
        if amounts.sum() == 0:
            amounts[0] = 1
        c = Composition(
            {e: int(a) for e, a in zip(elements, amounts, strict=True) if a}
        )
        mixture = sum(
            c.get_atomic_fraction(e) * energies[i] for i, e in enumerate(elements)
        )
        compositions.append(c)
        energies.append(mixture + rng.normal(-0.2, 0.3))
    return elements, compositions, np.array(energies)


@pytest.mark.parametrize("n_elements", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(4))
def test_energy_above_hull_agrees_with_pymatgen(n_elements, seed):
    rng = np.random.default_rng(seed)
    elements, compositions, energies = random_phases(rng, n_elements, 40)
    hull = Hull.of(compositions, energies, elements)
    entries = [
        PDEntry(c, e * c.num_atoms) for c, e in zip(compositions, energies, strict=True)
    ]
    diagram = PhaseDiagram(entries)
    expected = [diagram.get_e_above_hull(e) for e in entries]
    np.testing.assert_allclose(hull.energies_above, expected, atol=1e-8)
    formation = [diagram.get_form_energy_per_atom(e) for e in entries]
    np.testing.assert_allclose(hull.formation, formation, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n_elements=st.integers(2, 6))
def test_height_is_the_best_mixture_of_phases(seed, n_elements):
    """The hull at x is the cheapest mixture of phases with composition x."""
    rng = np.random.default_rng(seed)
    elements, compositions, energies = random_phases(rng, n_elements, 15)
    hull = Hull.of(compositions, energies, elements)
    x = rng.dirichlet(np.ones(n_elements), 3)
    for row, height in zip(x, hull.height(x), strict=True):
        best = linprog(hull.formation, A_eq=hull.x.T, b_eq=row, bounds=(0, None))
        assert height == pytest.approx(best.fun, abs=1e-7)


def test_a_phase_below_the_hull_is_negative_above_it():
    compositions = [Composition(f) for f in ("Al", "Ni", "AlNi")]
    hull = Hull.of(compositions, [-3.0, -5.0, -4.5], ("Al", "Ni"))
    x = fractions([Composition("AlNi")], ("Al", "Ni"))
    assert hull.above(x, np.array([-4.7]))[0] == pytest.approx(-0.2)
    assert hull.stable.tolist() == [True, True, True]


def test_missing_reference_and_nan_are_sentences():
    with pytest.raises(DataError, match="pure element Ni"):
        Hull.of([Composition("Al"), Composition("AlNi")], [0.0, -1.0], ("Al", "Ni"))
    with pytest.raises(DataError, match="energy nan"):
        Hull.of([Composition("Al")], [float("nan")], ("Al",))
    with pytest.raises(DataError, match="outside the chemical space"):
        fractions([Composition("Al2O3")], ("Al", "Ni"))


def test_reference_energies_are_the_lowest():
    cs = [Composition("Al4"), Composition("Al"), Composition("AlNi")]
    assert reference_energies(cs, [-3.7, -3.6, -9.0]) == {"Al": -3.7}
