"""Labels by rank: the map, the way back, and what heavy tails then cost."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from matdisco.crystal import Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates import load
from surrogates.base import Prediction
from surrogates.checkpoint import Checkpoint, read, write
from surrogates.recipes import AnySurrogate
from surrogates.tabular.gaussian_process import GaussianProcess
from surrogates.tabular.recipes import GaussianProcessRecipe
from surrogates.tabular.transforms import Log, NormalScores, Plain, Transform
from surrogates.testing import toy_crystals

FLOATS = st.lists(
    st.integers(-10_000, 10_000).map(lambda i: i / 16), min_size=1, max_size=40
)


@given(known=FLOATS, values=FLOATS)
def test_scores_keep_the_order_and_are_normal(
    known: list[float], values: list[float]
) -> None:
    k, v = np.array(known), np.unique(values)
    ranks = NormalScores.of(k)
    scores = ranks.learnt(v)
    assert (np.diff(scores) > 0).all()
    own = ranks.learnt(k)
    assert abs(own.mean()) < 0.4 and own.std() <= 1.0
    # any other scale with the same order gives the known ones the same scores
    np.testing.assert_array_equal(own, NormalScores.of(k**3).learnt(k**3))
    # what is better than all known ones stays better
    better = ranks.learnt(np.array([k.max() + 1, k.max() + 2]))
    assert own.max() < better[0] < better[1]
    np.testing.assert_allclose(ranks.original(scores), v, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "log", "ranks"])
def test_the_way_back_keeps_medians_and_intervals(kind: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.exp(rng.normal(size=300))
    chosen: Transform = {
        "none": Plain(), "log": Log(), "ranks": NormalScores.of(labels),
    }[kind]  # fmt: skip
    y = chosen.learnt(labels)
    np.testing.assert_allclose(chosen.original(y), labels)
    n = 50
    raw = Prediction(
        rng.normal(size=n), 0.05 * rng.normal(size=(3, n)), np.full(n, 0.02)
    )
    found = chosen.back(raw)
    np.testing.assert_allclose(found.mean, chosen.original(raw.mean))
    ends = [chosen.original(raw.mean + k * raw.std) for k in (-1.6449, 1.6449)]
    np.testing.assert_allclose(2 * 1.6449 * found.std, ends[1] - ends[0], rtol=1e-4)
    # what two crystals share stays shared
    np.testing.assert_allclose(
        np.corrcoef(found.factors.T), np.corrcoef(raw.factors.T), atol=1e-9
    )


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0])
def test_the_interval_covers_what_it_should(sigma: float) -> None:
    n = 20_000
    y = sigma * np.random.default_rng(0).normal(size=n)
    found = Log().back(Prediction(np.zeros(n), np.zeros((0, n)), np.full(n, sigma)))
    inside = np.abs(np.exp(y) - found.mean) < 1.6449 * found.std
    assert inside.mean() == pytest.approx(0.9, abs=0.01)


def heavy(n: int) -> tuple[Dataset, Dataset]:
    """Return crystals whose labels a few giants stretch, and others without giants."""
    rng = np.random.default_rng(3)
    toys = toy_crystals(n + 200)
    calm = [c.labels["toy"].value for c in toys]
    giants = np.where(rng.random(n) < 0.04, 60.0, 1.0)
    train = [
        c.with_labels({"x": Label(float(v * g), "")})
        for c, v, g in zip(toys[:n], calm[:n], giants, strict=True)
    ]
    test = [
        c.with_labels({"x": Label(float(v), "")})
        for c, v in zip(toys[n:], calm[n:], strict=True)
    ]
    return Dataset("heavy", tuple(train)), Dataset("calm", tuple(test))


def test_giants_do_not_decide_the_scale(tmp_path: Path) -> None:
    train, test = heavy(200)
    errors, sigmas = {}, {}
    for kind in ("none", "ranks"):
        recipe = TypeAdapter(AnySurrogate).validate_python(
            {"kind": "gaussian_process", "transform": kind}
        )
        surrogate = recipe.build(0)
        surrogate.fit(train, "x")
        found = surrogate.predict(test.crystals)
        errors[kind] = np.median(np.abs(test.values("x") - found.mean))
        sigmas[kind] = np.median(found.std)
    assert errors["ranks"] < 0.7 * errors["none"]
    assert sigmas["ranks"] < 0.7 * sigmas["none"]
    surrogate.save(tmp_path / "ranks")
    again = load(tmp_path / "ranks")
    same = again.predict(test.crystals)
    np.testing.assert_array_equal(same.mean, found.mean)
    np.testing.assert_array_equal(same.std, found.std)
    assert isinstance(again, GaussianProcess)
    rows, labels, _ = again.held_out()
    np.testing.assert_allclose(labels, train.values("x")[rows])


def test_sigmas_matched_in_another_unit_are_a_sentence(tmp_path: Path) -> None:
    surrogate = GaussianProcess(GaussianProcessRecipe(transform="ranks"))
    surrogate.fit(heavy(20)[0], "x")
    surrogate.save(tmp_path / "now")
    whole = read(tmp_path / "now")
    state = {k: v for k, v in whole.state.items() if k != "calibrated"}
    write(tmp_path / "before", Checkpoint(whole.recipe, state, whole.arrays))
    with pytest.raises(SurrogateError, match=r"before: .* ranks were .* fit it again"):
        load(tmp_path / "before")


def test_equal_labels_are_learnt_too() -> None:
    toys = toy_crystals(20)
    same = [c.with_labels({"x": Label(2.5, "")}) for c in toys]
    surrogate = GaussianProcess(GaussianProcessRecipe(transform="ranks"))
    surrogate.fit(Dataset("same", tuple(same)), "x")
    found = surrogate.predict(same)
    np.testing.assert_allclose(found.mean, 2.5, atol=1e-6)
    assert np.isfinite(found.std).all()


def test_labels_that_help_each_other_keep_their_values() -> None:
    with pytest.raises(ValidationError, match="expected none or log, got ranks"):
        TypeAdapter(AnySurrogate).validate_python(
            {"kind": "coregional", "auxiliary": ["y"], "transform": "ranks"}
        )
