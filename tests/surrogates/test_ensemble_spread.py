"""Chance agreement of a few members is no certainty."""

from pathlib import Path

import numpy as np
import pytest

from surrogates import metrics
from surrogates.base import Prediction
from surrogates.checkpoint import Checkpoint, load, read, write
from surrogates.ensemble_spread import LIKE, moderated, typical_spread, useful_spread
from surrogates.ensemble_state import State
from surrogates.testing import toy_crystals
from tests.surrogates.test_ensemble import NEW, fitted, shelf

__all__ = ["shelf"]


def simulated(
    n: int, members: int, draw: np.random.Generator
) -> tuple[Prediction, np.ndarray]:
    """Return an ensemble whose true error is one more draw like its members."""
    sigma = np.exp(0.3 * draw.normal(size=n))
    outputs = sigma * draw.normal(size=(members, n))
    mean = outputs.mean(axis=0)
    factors = (outputs - mean) / np.sqrt(members - 1)
    return Prediction(mean, factors, np.full(n, 1e-3)), sigma * draw.normal(size=n)


@pytest.mark.parametrize("members", [3, 4, 8])
def test_sigmas_of_few_members_fit_better_when_moderated(members: int) -> None:
    raw, y = simulated(4000, members, np.random.default_rng(members))
    even = moderated(raw, typical_spread(raw))

    def scored(found: Prediction) -> tuple[float, float]:
        k = np.sqrt((((y - found.mean) / found.std) ** 2).mean())
        return metrics.ence(y, found.mean, k * found.std), metrics.nll(
            y, found.mean, k * found.std
        )

    before, after = scored(raw), scored(even)
    assert after[0] < 0.6 * before[0] and after[1] < before[1] - 0.02


def test_moderation_is_a_posterior_mean_and_keeps_correlations() -> None:
    raw, _ = simulated(50, 4, np.random.default_rng(0))
    own = (raw.factors**2).sum(axis=0)
    even = moderated(raw, 2.0)
    variance = (even.factors**2).sum(axis=0)
    np.testing.assert_allclose(variance, (LIKE * 2.0 + 3 * own) / (LIKE + 3))
    before, after = (np.corrcoef(p.factors.T) for p in (raw, even))
    np.testing.assert_allclose(after, before, atol=1e-12)
    np.testing.assert_array_equal(even.mean, raw.mean)
    np.testing.assert_array_equal(even.residual, raw.residual)
    # many members need no help; one has no spread; no typical value changes nothing
    many, _ = simulated(50, 60, np.random.default_rng(1))
    assert np.abs(
        np.log(moderated(many, typical_spread(many)).std / many.std)
    ).max() < (0.1)
    alone = Prediction(np.zeros(3), np.zeros((1, 3)), np.ones(3))
    assert moderated(alone, 1.0) is alone and moderated(raw, 0.0) is raw


def test_the_typical_spread_of_the_base_counts_as_long_as_there_are_few_records() -> (
    None
):
    raw, _ = simulated(30, 4, np.random.default_rng(2))
    own = typical_spread(raw)
    assert typical_spread(raw, 5.0, 20.0) == pytest.approx((20 * 5 + 30 * own) / 50)
    assert typical_spread(raw.take([]), 5.0, 20.0) == 5.0
    agreed = Prediction(np.zeros(2), np.zeros((4, 2)), np.ones(2))
    assert np.isfinite(moderated(agreed, 1.0).std).all()


def test_records_decide_whether_a_typical_spread_says_more() -> None:
    draw = np.random.default_rng(3)
    alike, y = simulated(600, 4, draw)
    assert useful_spread(alike, y) == typical_spread(alike)
    # sigmas over two decades: eight members know which crystals are hard
    sigma = np.exp(1.5 * draw.normal(size=600))
    outputs = sigma * draw.normal(size=(8, 600))
    mean = outputs.mean(axis=0)
    apart = Prediction(mean, (outputs - mean) / np.sqrt(7), np.full(600, 1e-3))
    assert useful_spread(apart, sigma * draw.normal(size=600)) == 0
    assert useful_spread(apart.take([]), y[:0]) == 0


def test_it_is_kept_and_checkpoints_from_before_predict_as_before(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "surrogates.ensemble_spread.useful_spread", lambda raw, labels: 0.5
    )
    ensemble = fitted(shelf, None, NEW)
    state = ensemble.state
    assert state is not None and state.typical > 0
    ensemble.save(tmp_path / "now")
    crystals = toy_crystals(9, seed=5)
    said = ensemble.predict(crystals)
    np.testing.assert_array_equal(
        load(tmp_path / "now").predict(crystals).std, said.std
    )
    whole = read(tmp_path / "now")
    without = {k: v for k, v in whole.state.items() if k != "typical"}
    write(tmp_path / "before", Checkpoint(whole.recipe, without, whole.arrays))
    old = State.restored(read(tmp_path / "before"))
    assert old.typical == 0
    outputs = ensemble._outputs(crystals)
    np.testing.assert_array_equal(
        load(tmp_path / "before").predict(crystals).std,
        old.joint(*outputs).scaled(old.scale.k).std,
    )
