"""Metrics against uncertainty-toolbox and closed forms."""

import numpy as np
import pytest
from uncertainty_toolbox import metrics_calibration as theirs
from uncertainty_toolbox import metrics_scoring_rule as scoring

from surrogates import metrics

draw = np.random.default_rng(4)
STD = draw.uniform(0.3, 2.0, 2000)
MEAN = draw.normal(size=2000)
Y = draw.normal(MEAN, 1.6 * STD)  # overconfident on purpose


def test_calibration_agrees_with_uncertainty_toolbox() -> None:
    area = theirs.miscalibration_area(MEAN, STD, Y, num_bins=1000, vectorized=True)
    assert metrics.miscalibration_area(Y, MEAN, STD) == pytest.approx(area, abs=1e-3)
    assert metrics.sharpness(STD) == pytest.approx(theirs.sharpness(STD))
    for level in (0.5, 0.9):
        observed = theirs.get_proportion_in_interval(MEAN, STD, Y, level)
        assert metrics.coverage(Y, MEAN, STD, level) == pytest.approx(observed)


def test_scores_agree_with_uncertainty_toolbox() -> None:
    assert metrics.nll(Y, MEAN, STD) == pytest.approx(
        scoring.nll_gaussian(MEAN, STD, Y)
    )
    assert metrics.crps(Y, MEAN, STD) == pytest.approx(
        scoring.crps_gaussian(MEAN, STD, Y)
    )


def test_ence_of_one_wrong_factor() -> None:
    # root mean squared error is 1.6 std in every bin: relative gap 0.6
    assert metrics.ence(Y, MEAN, STD) == pytest.approx(0.6, abs=0.05)


def test_ause_is_between_perfect_and_useless() -> None:
    error = np.abs(draw.normal(size=20_000))
    zero = np.zeros_like(error)
    assert metrics.ause(error, zero, error) == 0.0
    random = metrics.ause(error, zero, draw.random(error.size))
    # half-normal errors: removal by error leaves the mean ∫ over quantiles, so the
    # area of removal at random is 1 - ∫ E[|x| : |x| < q] / (p E|x|) dp = 0.562
    p = (np.arange(2000) + 0.5) / 2000
    from scipy.special import ndtri

    q = ndtri(0.5 + p / 2)
    partial = (1 - np.exp(-(q**2) / 2)) / p  # E[|x| : |x| < q] / E|x|, over p
    assert random == pytest.approx(1 - partial.mean(), abs=0.02)
    half = metrics.ause(error, zero, error + draw.random(error.size))
    assert 0 < half < random
    assert metrics.ause(zero, zero, error) == 0.0
