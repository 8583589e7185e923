"""Charges against compounds whose oxidation states everybody knows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from surrogates.featurizers.charges import NAMES, charge, charge_features, charge_table
from surrogates.testing import toy_crystals, variants


def row(formula: str) -> dict[str, float]:
    amounts = Composition(formula).get_el_amt_dict()
    return dict(zip(NAMES, charge_table([amounts])[0].tolist(), strict=True))


@pytest.mark.parametrize(
    "formula", ["NaCl", "SrTiO3", "Al2O3", "BaTaNO2", "Li3N", "GaAs"]
)
def test_compounds_that_everybody_knows_are_neutral(formula: str) -> None:
    assert row(formula)["neutral"] == 1 and row(formula)["charge"] == 0


@pytest.mark.parametrize(
    ("formula", "left", "atoms"),
    [("NaTiO3", 1, 5), ("NaCl2", 1, 3), ("SrTiO2F", 1, 5), ("Li0.5La0.5TiO3", 0, 5)],
)
def test_what_is_left_is_counted_per_atom(formula: str, left: int, atoms: int) -> None:
    found = row(formula)
    assert found["charge"] == pytest.approx(left / atoms, abs=2e-5)
    assert found["neutral"] == (left == 0)


def test_shells_are_counted_as_in_the_periodic_table() -> None:
    assert row("SrTiO3")["surplus"] == 0  # 2 + 4 electrons for 3 x 2 holes
    assert row("LaTiO3")["surplus"] == pytest.approx(1 / 5)
    assert row("TiAl")["surplus"] == pytest.approx(3.5)


@given(
    st.dictionaries(
        st.sampled_from(["Li", "Fe", "Mn", "O", "S", "F", "Nb", "Xe"]),
        st.integers(1, 6), min_size=1,
    ),
    st.integers(2, 4),
)  # fmt: skip
def test_any_multiple_of_a_formula_is_the_same_compound(
    amounts: dict[str, int], times: int
) -> None:
    more = {e: times * n for e, n in reversed(amounts.items())}
    one, other = charge_table([amounts, more])
    np.testing.assert_allclose(one, other, atol=1e-4)
    highest = sum(
        n * max(map(abs, Element(e).common_oxidation_states or [8]))
        for e, n in amounts.items()
    )
    assert 0 <= charge(amounts) <= highest / sum(amounts.values()) + 1e-4


def test_every_way_to_write_a_cell_is_the_same() -> None:
    crystal = toy_crystals(1)[0]
    first = charge_features([crystal])
    for name, other in variants(crystal).items():
        np.testing.assert_allclose(charge_features([other]), first, err_msg=name)
    assert charge_features([]).shape == (0, len(NAMES))
