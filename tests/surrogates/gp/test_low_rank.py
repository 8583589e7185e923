"""Many candidates: a joint of low rank with every variance exact."""

import numpy as np
import pytest

from matdisco.crystal import Label
from matdisco.data.dataset import Dataset
from surrogates.gp.low_rank import JOINT_LIMIT, chosen, low_rank
from surrogates.posterior import to_botorch
from surrogates.recipes import (
    CoregionalRecipe,
    DeepKernelRecipe,
    GaussianProcessRecipe,
)
from surrogates.tabular.recipes import OnFeatures
from surrogates.testing import toy_crystals

DATA = Dataset(
    "toy",
    tuple(
        c.with_labels({**c.labels, "other": Label(2 * c.value("toy"), "eV/atom")})
        for c in toy_crystals(60)
    ),
)


def test_what_stands_for_all_takes_no_more_room() -> None:
    assert chosen(4000, 4000).tolist() == list(range(4000))
    for n in (4001, 18_928, 400_000):
        rows = chosen(n, JOINT_LIMIT)
        assert len(set(rows)) == len(rows) and rows.max() < n
        assert 0.9 * 16e6 < len(rows) * n <= 16e6
    assert len(chosen(2000, 40)) == 1  # one at least


def test_all_chosen_is_exact_and_some_are_exact_among_themselves() -> None:
    draw = np.random.default_rng(0)
    a = draw.normal(size=(8, 30))
    covariance = a.T @ a + 0.1 * np.eye(30)
    variance = np.diag(covariance)
    for some in (np.arange(30), np.array([2, 9, 11, 20, 25])):
        own, cross = covariance[np.ix_(some, some)], covariance[some]
        factors, left = low_rank(own, cross, variance, 1.0)
        found = factors.T @ factors + np.diag(left)
        np.testing.assert_allclose(np.diag(found), variance)
        np.testing.assert_allclose(found[some], cross, atol=1e-6)


@pytest.mark.parametrize(
    ("recipe", "module"),
    [
        (GaussianProcessRecipe(), "tabular.gaussian_process"),
        (CoregionalRecipe(auxiliary=("other",)), "gp.coregional"),
        (
            DeepKernelRecipe(inducing=16, folds=2, steps=60, threads=1),
            "tabular.deep_kernel",
        ),
    ],
)
def test_large_pools_keep_correlations(
    recipe: OnFeatures, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = recipe.build(0)  # type: ignore[attr-defined]
    process.fit(DATA[:40], "toy")
    whole = process.predict(DATA.crystals)
    monkeypatch.setattr(f"surrogates.{module}.JOINT_LIMIT", 45)
    some = process.predict(DATA.crystals)
    assert some.factors.shape == (45**2 // 60, 60)
    np.testing.assert_allclose(some.mean, whole.mean, atol=1e-8)
    np.testing.assert_allclose(some.std, whole.std, rtol=1e-4)
    rows = chosen(60, 45)
    expected = whole.covariance[np.ix_(rows, rows)]
    scale = float(np.diag(expected).max())
    np.testing.assert_allclose(
        some.covariance[np.ix_(rows, rows)], expected, atol=1e-4 * scale
    )
    model = to_botorch(process, DATA.crystals)
    pair = model.posterior(model.choices()[rows[:2]]).distribution.covariance_matrix
    assert float(pair[0, 1]) == pytest.approx(expected[0, 1], abs=1e-4 * scale)
