"""Sigma of chemistry that the training set lacks: wider, and by no more than needed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element
from scipy.special import ndtri

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from surrogates import load
from surrogates.base import Prediction
from surrogates.calibration.unseen import UnseenChemistry, shared_out
from surrogates.tabular.deep_kernel import DeepKernel
from surrogates.tabular.gaussian_process import GaussianProcess
from surrogates.tabular.last_layer import LastLayer
from surrogates.tabular.recipes import GaussianProcessRecipe
from surrogates.tabular.trained_recipes import DeepKernelRecipe, LastLayerRecipe
from tests.matdisco.data.builders import rocksalt

METALS = (
    "Li", "Na", "K", "Mg", "Ca", "Sr", "Mn", "Fe", "Co", "Ni", "Zn", "Cd", "Ti", "V",
    "Cr", "Cu",
)  # fmt: skip
SHIFT = dict(zip(METALS, np.random.default_rng(5).normal(size=16), strict=True))
"""What each metal adds to the label: nothing tells it but records of that metal."""


LAST_LAYER = pytest.param(
    LastLayerRecipe(width=16, steps=200, threads=1), id="last_layer"
)


def crystals(metals: tuple[str, ...], n: int, seed: int) -> list[Crystal]:
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        metal = metals[rng.integers(len(metals))]
        a = 4.0 + 0.6 * rng.random()
        value = a + SHIFT[metal] + 0.05 * rng.normal()
        out.append(Crystal(f"c{i}", rocksalt(metal, edge=a), {"x": Label(value, "eV")}))
    return out


def fitted(metals: tuple[str, ...]) -> GaussianProcess:
    surrogate = GaussianProcess(GaussianProcessRecipe(features="composition"))
    surrogate.fit(Dataset("toy", tuple(crystals(metals, 240, 0))), "x")
    return surrogate


def test_an_element_never_seen_is_covered(tmp_path: Path) -> None:
    inside = {True: 0, False: 0}
    left_out = METALS[::3]
    for metal in left_out:
        surrogate = fitted(tuple(m for m in METALS if m != metal))
        assert surrogate.unseen is not None and surrogate.unseen.factor > 1.0
        assert metal not in surrogate.unseen.elements
        new, like = crystals((metal,), 10, 1), crystals(METALS[:3], 10, 2)
        truth = np.array([c.labels["x"].value for c in new])
        wide = surrogate.predict(new)
        known = [c for c in like if metal not in c.elements]
        seen = surrogate.predict(known).std if known else None
        kept = surrogate.unseen
        surrogate.unseen = None
        narrow = surrogate.predict(new)
        np.testing.assert_allclose(wide.std, kept.factor * narrow.std)
        if seen is not None:  # nothing changes for what was seen
            np.testing.assert_array_equal(surrogate.predict(known).std, seen)
        for on, p in ((True, wide), (False, narrow)):
            inside[on] += int((np.abs(truth - p.mean) < 1.645 * p.std).sum())
        surrogate.unseen = kept
    n = 10 * len(left_out)
    assert inside[True] >= 0.8 * n > inside[False]

    surrogate.save(tmp_path / "kept")
    again = load(tmp_path / "kept").predict(new)
    np.testing.assert_array_equal(again.std, wide.std)
    assert "uncertainty_of_unseen_chemistry" in surrogate.describe()


def test_a_new_mixture_of_known_anions_is_unseen() -> None:
    seen = UnseenChemistry(
        frozenset({"Ta", "O", "N"}), frozenset({"O10", "N10", "N5-O5"}),
        factor=1.5, mixture_factor=2.0, groups=12,
    )  # fmt: skip
    made = [("Ta", "O"), ("Ta", "N"), ("Ta", "N", "O"), ("Ta", "O", "O", "N"), ("Ti",)]
    things = [
        Crystal.from_arrays(
            "x",
            4.0 * np.eye(3),
            list(species),
            np.linspace([0, 0, 0], [0.8, 0.7, 0.6], len(species)),
        )
        for species in made
    ]
    assert seen.factors(things).tolist() == [1.0, 1.0, 1.0, 2.0, 2.0]
    assert seen.factors([Crystal("w", rocksalt("W", "O"))]).tolist() == [1.5]
    assert UnseenChemistry.from_dict(seen.to_dict()) == seen


def test_too_few_chemistries_say_nothing() -> None:
    few = tuple(crystals(METALS[:4], 120, 0))
    surrogate = GaussianProcess(GaussianProcessRecipe(features="composition"))
    surrogate.fit(Dataset("toy", few), "x")
    assert surrogate.unseen is None


def test_honest_intervals_are_not_widened() -> None:
    """Where every chemistry left out is predicted as well as it says: factor near 1."""
    things = crystals(METALS, 320, 3)
    rng = np.random.default_rng(0)
    y = rng.normal(size=len(things))

    def without(groups: Sequence[np.ndarray]) -> Prediction:
        n = sum(map(len, groups))
        return Prediction(np.zeros(n), np.zeros((0, n)), np.ones(n))

    found = UnseenChemistry.fit(things, y, without)
    assert found is not None and found.groups == 16
    assert found.factor == pytest.approx(1.25, abs=0.25)  # 20 records each: noise


def test_a_new_element_is_served_with_95_percent_and_a_new_mixture_by_the_worst() -> (
    None
):
    """Every chemistry needs a factor that is known beforehand: ranks decide."""
    metals = [Element.from_Z(z).symbol for z in range(20, 61) if z not in range(31, 37)
              and z not in (52, 53, 54)]  # fmt: skip
    metals += ["Li", "Na", "Mg", "Al", "Ga", "K"]
    things = [Crystal(m + x, rocksalt(m, x)) for m in metals for x in ("OSSN" * 5)]
    needs = dict(zip(metals, np.linspace(1.1, 2.1, len(metals)), strict=True))

    def without(groups: Sequence[np.ndarray]) -> Prediction:
        common = [set.intersection(*(set(things[i].elements) for i in g))
                  for g in groups]  # fmt: skip
        need = [needs.get(next(iter(c)), 1.2) for c in common]
        std = 1 / np.repeat(need, [len(g) for g in groups])
        return Prediction(np.full(len(std), ndtri(0.95)), np.zeros((0, len(std))), std)

    found = UnseenChemistry.fit(things, np.zeros(len(things)), without)
    assert found is not None and found.groups == 38 + 3 + 3
    assert found.factor == pytest.approx(np.sort(list(needs.values()))[-2])
    assert found.mixture_factor == pytest.approx(2.1)


@pytest.mark.parametrize(
    "recipe",
    [
        LAST_LAYER,
        pytest.param(
            DeepKernelRecipe(
                width=16, latent=4, inducing=32, folds=2, steps=200, threads=1
            ),
            id="deep_kernel",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_models_that_missed_chemistry_tell_of_it(
    recipe: LastLayerRecipe | DeepKernelRecipe, tmp_path: Path
) -> None:
    """Each metal shifts the label by what nothing else tells: factors of several."""
    out = METALS[4:7]
    known = tuple(m for m in METALS if m not in out)
    surrogate = recipe.build(0)
    assert isinstance(surrogate, LastLayer | DeepKernel)
    surrogate.fit(Dataset("toy", tuple(crystals(known, 240, 0))), "x")
    assert surrogate.unseen is not None and surrogate.unseen.factor > 1.5
    new = crystals(out, 60, 1)
    truth = np.array([c.labels["x"].value for c in new])
    wide = surrogate.predict(new)
    surrogate.save(tmp_path / "kept")
    np.testing.assert_array_equal(load(tmp_path / "kept").predict(new).std, wide.std)
    surrogate.unseen = None
    narrow = surrogate.predict(new)
    inside = [float((np.abs(truth - p.mean) < 1.645 * p.std).mean())
              for p in (wide, narrow)]  # fmt: skip
    assert inside[0] > inside[1] + 0.3


@pytest.mark.parametrize(
    "recipe",
    [
        LAST_LAYER,
        pytest.param(
            DeepKernelRecipe(
                width=16, latent=4, inducing=16, folds=2, steps=150, threads=1
            ),
            id="deep_kernel",
        ),
    ],
)
def test_models_that_tell_are_as_good_and_as_sure_as_those_that_answer(
    recipe: LastLayerRecipe | DeepKernelRecipe,
) -> None:
    """They learnt half as much; where nothing is new that may not show."""
    surrogate = recipe.build(0)
    assert isinstance(surrogate, LastLayer | DeepKernel)
    data = Dataset("toy", tuple(crystals(METALS[:6], 240, 0)))
    surrogate.fit(data, "x")
    assert surrogate.held is not None
    groups = np.array_split(np.random.default_rng(0).permutation(240), 12)
    rows = np.concatenate(groups)
    left, held = surrogate._without(groups), surrogate.held.prediction
    y = surrogate._y[rows]
    sizes = [
        float(np.sqrt(np.mean(part**2)))
        for part in (left.std, held.std[rows], left.mean - y, held.mean[rows] - y)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.15)
    assert sizes[2] == pytest.approx(sizes[3], rel=0.35)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 8))
def test_groups_are_dealt_out_evenly(sizes: list[int], shares: int) -> None:
    dealt = shared_out(sizes, shares)
    assert sorted(g for own in dealt for g in own) == list(range(len(sizes)))
    loads = [sum(sizes[g] for g in own) for own in dealt]
    assert len(dealt) == min(shares, len(sizes)) and min(loads) > 0
    # the one with most would have been no better off without its last group
    assert max(loads) - min(loads) <= max(sizes)
