"""Predictions, metrics and calibration against closed forms and simulation."""

import numpy as np
import pytest

from matdisco.errors import SurrogateError
from surrogates import metrics
from surrogates.base import Prediction
from surrogates.calibration import ConformalInterval, IsotonicScale, Scale, z_scores

draw = np.random.default_rng(0)


def diagonal(mean: np.ndarray, std: np.ndarray) -> Prediction:
    return Prediction(mean, np.zeros((0, len(mean))), std)


def simulated(n: int, overconfidence: float = 1.0) -> tuple[np.ndarray, Prediction]:
    std = draw.uniform(0.5, 2.0, n)
    mean = draw.normal(size=n)
    return draw.normal(mean, std), diagonal(mean, std / overconfidence)


def test_prediction_is_consistent() -> None:
    p = Prediction(draw.normal(size=6), draw.normal(size=(3, 6)), draw.random(6))
    np.testing.assert_allclose(p.std, np.sqrt(np.diag(p.covariance)))
    np.testing.assert_allclose(p.scaled(2.0).covariance, 4 * p.covariance)
    rows = [4, 1]
    np.testing.assert_allclose(
        p.take(rows).covariance, p.covariance[np.ix_(rows, rows)]
    )
    with pytest.raises(SurrogateError, match="factors"):
        Prediction(np.zeros(3), np.zeros((1, 2)), np.zeros(3))
    with pytest.raises(SurrogateError, match="NaN"):
        Prediction(np.array([np.nan]), np.zeros((0, 1)), np.ones(1))


def test_perfectly_calibrated_predictions_score_so() -> None:
    y, p = simulated(40_000)
    assert metrics.coverage(y, p.mean, p.std) == pytest.approx(0.9, abs=0.01)
    assert metrics.ence(y, p.mean, p.std) < 0.02
    assert metrics.miscalibration_area(y, p.mean, p.std) < 0.01
    _, bad = y, p.scaled(0.25)
    assert metrics.miscalibration_area(y, bad.mean, bad.std) > 0.2
    assert metrics.nll(y, bad.mean, bad.std) > metrics.nll(y, p.mean, p.std)
    assert metrics.crps(y, bad.mean, bad.std) > metrics.crps(y, p.mean, p.std)


def test_crps_equals_its_integral() -> None:
    from scipy.special import ndtr

    y, mean, std = 0.7, 0.2, 1.3
    t = np.linspace(-20, 20, 400_001)
    integral = ((ndtr((t - mean) / std) - (t >= y)) ** 2).sum() * (t[1] - t[0])
    ours = metrics.crps(np.array([y]), np.array([mean]), np.array([std]))
    assert ours == pytest.approx(integral, abs=1e-4)


def test_miscalibration_area_limits() -> None:
    y = np.ones(100)
    assert metrics.miscalibration_area(
        y, np.zeros(100), np.full(100, 1e-9)
    ) == pytest.approx(0.5, abs=1e-3)


def test_evaluate_names_are_known_and_finite() -> None:
    y, p = simulated(50)
    assert set(metrics.evaluate(y, p)) == set(metrics.NAMES)
    assert set(metrics.evaluate(y[:3], p.take([0, 1, 2]))) < set(metrics.NAMES)


def test_scale_recovers_overconfidence_and_shrinks() -> None:
    y, p = simulated(5000, overconfidence=3.0)
    found = Scale().updated(z_scores(y, p))
    assert found.k == pytest.approx(3.0, rel=0.05)
    few = Scale(1.0, 20.0).updated(z_scores(y, p)[:2])
    assert 0.9 < few.k < 2.5
    assert Scale().updated(np.zeros(0)).k == 1.0
    assert found.capped(10).n == 10


def test_interval_scale_covers_despite_heavy_tails() -> None:
    y = draw.standard_t(2.5, 20_000)
    p = diagonal(np.zeros_like(y), np.ones_like(y))
    wide = p.scaled(Scale().updated(z_scores(y, p)).k)
    right = p.scaled(Scale().covering(z_scores(y, p)).k)
    assert metrics.coverage(y, wide.mean, wide.std) > 0.93
    assert metrics.coverage(y, right.mean, right.std) == pytest.approx(0.9, abs=0.005)
    assert metrics.miscalibration_area(
        y, right.mean, right.std
    ) < metrics.miscalibration_area(y, wide.mean, wide.std)
    assert Scale(2.0, 3.0).covering(y[:5]).n == 8


def test_isotonic_repairs_a_bent_scale() -> None:
    std = draw.uniform(0.5, 2.0, 20_000)
    y = draw.normal(0, std)
    bent = diagonal(np.zeros_like(y), std**2 / 3)
    fixed = IsotonicScale.fit(y, bent).apply(bent)
    assert metrics.ence(y, fixed.mean, fixed.std) < 0.05
    with pytest.raises(SurrogateError, match="at least 30"):
        IsotonicScale.fit(y[:5], bent.take(range(5)))


def test_conformal_covers_without_gaussians() -> None:
    y = draw.standard_t(3, 20_000)
    p = diagonal(np.zeros_like(y), np.ones_like(y))
    half = len(y) // 2
    interval = ConformalInterval.fit(y[:half], p.take(range(half)), 0.9)
    low, high = interval.apply(p.take(range(half, len(y))))
    inside = ((y[half:] >= low) & (y[half:] <= high)).mean()
    assert inside == pytest.approx(0.9, abs=0.015)
    with pytest.raises(SurrogateError, match="at least 9"):
        ConformalInterval.fit(y[:5], p.take(range(5)), 0.9)
