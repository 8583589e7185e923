"""Site slots of a prototype, and joining features by name."""

import numpy as np
import pytest

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from surrogates.featurizers.elements import COLUMNS
from surrogates.featurizers.sites import site_features, site_order
from surrogates.featurizers.table import blocks, features
from surrogates.testing import toy_crystals, variants

SPOTS = np.array(
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
)


def perovskite(a: str, b: str, x: list[str], edge: float = 3.9) -> Crystal:
    return Crystal.from_arrays(f"{a}{b}", edge * np.eye(3), [a, b, *x], SPOTS)


def test_slots_are_b_then_anions_then_a() -> None:
    crystal = perovskite("Sr", "Ti", ["O", "O", "N"])
    symbols = [crystal.structure[int(i)].specie.symbol for i in site_order(crystal)]
    assert symbols == ["Ti", "N", "O", "O", "Sr"]
    swapped = perovskite("Ti", "Sr", ["O", "O", "N"])
    assert not np.allclose(site_features([crystal]), site_features([swapped]))


def test_slots_do_not_depend_on_how_the_cell_is_written() -> None:
    crystal = perovskite("Ba", "Zr", ["O", "O", "O"])
    draw = np.random.default_rng(3)
    moved = Crystal.from_arrays(
        "moved", 3.9 * np.eye(3) * 1.01, ["Ba", "Zr", "O", "O", "O"],
        SPOTS + 0.01 * draw.standard_normal((5, 3)),
    )  # fmt: skip
    for one in (crystal, moved):
        others = {k: c for k, c in variants(one).items() if k != "supercell"}
        rows = site_features([one, *others.values()])
        elements = len(COLUMNS) * 5
        np.testing.assert_allclose(
            rows[1:, :elements], rows[:1, :elements].repeat(4, 0)
        )
    np.testing.assert_array_equal(
        site_features([crystal])[:, :elements], site_features([moved])[:, :elements]
    )


def test_sites_need_one_prototype() -> None:
    with pytest.raises(SurrogateError, match=r"toy-.*: . sites, but most have"):
        site_features(toy_crystals(10))
    assert site_features([]).shape == (0, 4)


def test_features_are_joined_by_name() -> None:
    crystals = [perovskite("Sr", "Ti", ["O"] * 3), perovskite("Ba", "Ti", ["O"] * 3)]
    both = features("sites+composition", crystals)
    first, second = blocks("sites+composition", crystals)
    np.testing.assert_array_equal(both, np.hstack([first, second]))
    with pytest.raises(
        SurrogateError, match="unknown features 'site'; did you mean sites"
    ):
        features("site+composition", crystals)
