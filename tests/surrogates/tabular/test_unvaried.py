"""Labels that do not vary: no kind on features is absurdly sure, all by one rule."""

from pathlib import Path

import numpy as np
import pytest

from matdisco.crystal import Label
from matdisco.data.dataset import Dataset
from matdisco.errors import TooFewRecords
from surrogates import load
from surrogates.gp.exact import ExactGP
from surrogates.recipes import (
    AnySurrogate,
    CoregionalRecipe,
    DeepKernelRecipe,
    GaussianProcessRecipe,
    LastLayerRecipe,
    RandomForestRecipe,
)
from surrogates.spread import spread, vary
from surrogates.tabular.coregional import Coregional
from surrogates.testing import toy_crystals

CRYSTALS = toy_crystals(160)
KINDS: dict[str, AnySurrogate] = {
    "process": GaussianProcessRecipe(threads=1),
    "additive": GaussianProcessRecipe(
        features="composition+environments", kernel="additive", threads=1
    ),
    "ranks": GaussianProcessRecipe(transform="ranks", threads=1),
    "log": GaussianProcessRecipe(transform="log", threads=1),
    "interval": GaussianProcessRecipe(calibration="interval", threads=1),
    "isotonic": GaussianProcessRecipe(calibration="isotonic", threads=1),
    "forest": RandomForestRecipe(trees=30, threads=1),
    "coregional": CoregionalRecipe(auxiliary=("toy",), threads=1),
    "last_layer": LastLayerRecipe(width=8, folds=2, steps=30, threads=1),
    "deep_kernel": DeepKernelRecipe(
        inducing=8, width=8, latent=4, folds=2, steps=30, passes=0, threads=1
    ),
}  # fmt: skip


def flat(n: int, value: float) -> Dataset:
    label = {"y": Label(value, "eV")}
    rows = (c.with_labels({**c.labels, **label}) for c in CRYSTALS[:n])
    return Dataset("flat", tuple(rows))


@pytest.mark.parametrize("value", [1.3, 0.0, -1e-5])
@pytest.mark.parametrize("kind", KINDS)
def test_sigma_is_the_size_of_the_labels_less_for_each(
    kind: str, value: float, tmp_path: Path
) -> None:
    if kind == "log" and value <= 0:
        pytest.skip("logarithms are of positive labels")
    surrogate = KINDS[kind].build(0)
    surrogate.fit(flat(120, value), "y")
    found = surrogate.predict(CRYSTALS[130:])
    prior = KINDS[kind].calibration_prior  # type: ignore[union-attr]
    expected = (abs(value) or 1.0) * np.sqrt(prior / (prior + 120))
    assert np.sqrt(np.mean(found.std**2)) == pytest.approx(expected, rel=0.3)
    np.testing.assert_allclose(found.mean, value, atol=0.05 * expected)
    assert "nothing tells how far" in surrogate.describe()["uncertainty_scale"]
    surrogate.save(tmp_path / "flat")
    loaded = load(tmp_path / "flat")
    np.testing.assert_array_equal(loaded.predict(CRYSTALS[130:]).std, found.std)
    assert loaded.describe() == surrogate.describe()


@pytest.mark.parametrize("kind", KINDS)
def test_few_equal_labels_are_less_sure_than_many(kind: str) -> None:
    surrogate = KINDS[kind].build(0)
    surrogate.fit(flat(4, 1.3), "y")
    std = surrogate.predict(CRYSTALS[130:]).std
    assert 0.5 < np.sqrt(np.mean(std**2)) < 3.0
    for n in (1, 2):
        with pytest.raises(TooFewRecords, match=f"{n} records? with label y"):
            KINDS[kind].build(0).fit(flat(n, 1.3), "y")


def test_a_process_knows_nearby_rows_better() -> None:
    x = np.linspace(0, 1, 12)[:, None]
    gp = ExactGP.fit(x, np.full(12, 1.3))
    near, far = gp.variance(np.array([[0.5], [4.0]]))
    assert near < 0.1 * far and far == pytest.approx(1.3**2, rel=0.05)
    one = ExactGP.fit(x[:1], np.array([-0.5]))
    assert one.variance(np.array([[3.0]]))[0] == pytest.approx(0.25, rel=0.1)


def test_an_auxiliary_label_that_does_not_vary_says_so_alone() -> None:
    surrogate = Coregional(CoregionalRecipe(auxiliary=("y",), threads=1))
    surrogate.fit(flat(60, 1.3), "toy")
    both = surrogate.predict_all(CRYSTALS[130:])
    toy = np.array([c.value("toy") for c in CRYSTALS[130:]])
    alone = GaussianProcessRecipe(threads=1).build(0)
    alone.fit(flat(60, 1.3), "toy")
    error = np.abs(alone.predict(CRYSTALS[130:]).mean - toy).mean()
    assert np.abs(both["toy"].mean - toy).mean() < 1.1 * error
    assert both["y"].std.mean() == pytest.approx(1.3 * np.sqrt(20 / 80), rel=0.3)
    assert "uncertainty_scale" in surrogate.describe()
    assert "nothing tells" not in surrogate.describe()["uncertainty_scale"]


def test_rounding_is_no_variation() -> None:
    assert not vary(np.full(7, 1.3) + 1e-12) and not vary(np.zeros(0))
    assert not vary(np.array([0.1 + 0.2, 0.3]))
    assert vary(np.array([-1000.0, -1000.001])) and vary(np.array([0.0, 1e-30]))
    assert spread(np.full(99, 1.3)) == 1.3  # its standard deviation is 2e-16
