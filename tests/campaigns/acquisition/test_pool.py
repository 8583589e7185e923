"""The pool scorer against brute force, closed forms, BoTorch and GPyTorch."""

import gpytorch
import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import (
    LogExpectedImprovement,
    LogProbabilityOfImprovement,
    UpperConfidenceBound,
)
from botorch.models import SingleTaskGP
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist
from scipy.stats import norm

from campaigns.acquisition.beliefs import Conditioned, FactorBelief, ProcessBelief
from campaigns.acquisition.pool import greedy_batch
from campaigns.acquisition.scores import (
    ConfidenceBound,
    LogImprovement,
    LogProbability,
    LogWindow,
    Mean,
    Spread,
    Straddle,
    log_h,
)
from surrogates.base import Prediction
from surrogates.posterior import PoolModel

SCORES = [
    ConfidenceBound(4.0),
    LogImprovement(0.6),
    LogProbability(0.6),
    LogWindow(-0.2, 0.3),
    Straddle(0.4, 4.0),
    Spread(),
    Mean(),
]


class Gaussian:
    """An exact process with a squared-exponential kernel, written out in full."""

    def __init__(self, x, y, noise=1e-2, dtype=float):
        self.x, self.noise = x.astype(dtype), noise
        covariance = self.kernel(x, x) + noise * np.eye(len(x))
        self.factor = np.linalg.cholesky(covariance).astype(dtype)
        self.alpha = np.linalg.solve(covariance, y).astype(dtype)

    def kernel(self, a, b):
        return np.exp(-0.5 * cdist(a, b, "sqeuclidean")).astype(a.dtype)

    def whiten(self, b):
        return solve_triangular(self.factor, self.kernel(self.x, b), lower=True)

    def moments(self, x):
        mean = self.kernel(x, self.x) @ self.alpha
        return mean, 1 - (self.whiten(x) ** 2).sum(axis=0)


def process(seed=0, n=200, records=12, d=2, dtype=float):
    rng = np.random.default_rng(seed)
    x, pool = rng.normal(size=(records, d)), rng.normal(size=(n, d))
    gp = Gaussian(x, np.sin(2 * x[:, 0]) + x[:, 1] ** 2 / 4, dtype=dtype)
    return gp, ProcessBelief.of(gp, pool.astype(dtype))


def dense(gp, pool):
    v = gp.whiten(pool)
    return gp.kernel(pool, pool) - v.T @ v


def brute(mean, covariance, noise, score, q, pending=(), barred=()):
    """Greedy by solving the full system anew for every pick."""
    given, chosen = list(pending), []
    for row in pending:
        score = score.after(mean[row])
    while len(chosen) < q:
        variance = np.diag(covariance).copy()
        if given:
            block = covariance[np.ix_(given, given)] + noise * np.eye(len(given))
            cross = covariance[given]
            variance -= (cross * np.linalg.solve(block, cross)).sum(axis=0)
        value = np.array(score.value(mean, np.sqrt(np.maximum(variance, 0))))
        value[[*given, *barred]] = -np.inf
        row = int(value.argmax())
        given.append(row)
        chosen.append((row, value[row]))
        score = score.after(mean[row])
    return chosen


@pytest.mark.parametrize("score", SCORES, ids=lambda s: type(s).__name__)
def test_batches_are_those_of_brute_force_with_pending_and_barred(score):
    gp, belief = process()
    expected = brute(belief.mean, dense(gp, belief.x), gp.noise, score, 8, [3, 50], [7])
    for shortlist in (8, 32, 200):  # a short list must prove its answer or grow
        picks = greedy_batch(
            belief, score, 8, pending=[3, 50], barred=[7], shortlist=shortlist
        )
        assert [p.row for p in picks] == [row for row, _ in expected]
        np.testing.assert_allclose(
            [p.value for p in picks], [v for _, v in expected], rtol=1e-6, atol=1e-8
        )


def test_a_prediction_of_any_surrogate_gives_the_batches_of_its_covariance():
    rng = np.random.default_rng(1)
    prediction = Prediction(
        rng.normal(size=80), rng.normal(size=(4, 80)), rng.uniform(0.05, 0.5, 80)
    )
    for score in SCORES:
        picks = greedy_batch(FactorBelief(prediction), score, 6, shortlist=8)
        expected = brute(prediction.mean, prediction.covariance, 0.0, score, 6)
        assert [p.row for p in picks] == [row for row, _ in expected]


def test_single_precision_chooses_the_same():
    double, single = process(4, n=3000)[1], process(4, n=3000, dtype=np.float32)[1]
    assert single.x.dtype == np.float32
    for score in (ConfidenceBound(4.0), LogImprovement(0.6)):
        a, b = (greedy_batch(belief, score, 10) for belief in (double, single))
        assert [p.row for p in a] == [p.row for p in b]


def test_scores_are_the_closed_forms_and_botorchs():
    rng = np.random.default_rng(2)
    prediction = Prediction(
        rng.normal(size=30), np.zeros((0, 30)), rng.uniform(0.05, 1, 30)
    )
    model, (mean, std) = PoolModel(prediction), (prediction.mean, prediction.std)
    points = model.choices()[:, None]
    pairs = [
        (LogImprovement(0.4), LogExpectedImprovement(model, best_f=0.4)),
        (LogProbability(0.4), LogProbabilityOfImprovement(model, best_f=0.4)),
        (ConfidenceBound(4.0), UpperConfidenceBound(model, beta=4.0)),
    ]
    for ours, theirs in pairs:
        with torch.no_grad():
            reference = theirs(points).numpy()
        np.testing.assert_allclose(
            ours.value(mean, std), reference, rtol=2e-6, atol=1e-6
        )
    inside = norm.cdf(0.5, mean, std) - norm.cdf(0.1, mean, std)
    np.testing.assert_allclose(
        np.exp(LogWindow(0.1, 0.5).value(mean, std)), inside, atol=1e-12
    )


def test_log_h_is_accurate_where_the_plain_formula_is_minus_infinity():
    from mpmath import erfc, exp, log, mp, mpf, pi, sqrt

    mp.dps = 60
    for z in (-5e3, -900.0, -37.0, -1.0001, -0.9999, 0.0, 6.0):
        t = mpf(z)
        exact = log(exp(-t * t / 2) / sqrt(2 * pi) + t * erfc(-t / sqrt(2)) / 2)
        # 1 - |z| Mills keeps 16 - 2 log10 |z| digits; -900 costs six of them
        assert float(log_h(np.array([z]))[0]) == pytest.approx(float(exact), rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(SCORES),
    st.floats(-3, 3),
    st.floats(1e-6, 3),
    st.floats(0, 1),
)
def test_bounds_hold_for_every_smaller_uncertainty(score, mean, std, share):
    m, s = np.array([mean]), np.array([std])
    assert score.value(m, s * share)[0] <= score.bound(m, s)[0] + 1e-9
    later = score.after(1.0)
    assert later.value(m, s * share)[0] <= score.bound(m, s)[0] + 1e-9


# BoTorch warns of values that are not standardised; variances do not depend on them
@pytest.mark.filterwarnings("ignore:Data .outcome observations.")
def test_updates_are_the_variances_of_gpytorch_conditioned_on_the_batch():
    rng = np.random.default_rng(5)
    x = torch.from_numpy(rng.uniform(size=(15, 3)))
    y = (x[:, :1] - x[:, :1].mean()) / x[:, :1].std()
    model = SingleTaskGP(
        x, y, outcome_transform=None, train_Yvar=torch.full_like(y, 0.02)
    ).eval()
    pool = torch.from_numpy(rng.uniform(size=(40, 3)))
    with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
        joint = model(pool)
        root = np.linalg.cholesky(joint.covariance_matrix.numpy() + 1e-10 * np.eye(40))
        belief = FactorBelief(
            Prediction(joint.mean.numpy(), root.T.copy(), np.zeros(40)), 0.02
        )
        fantasy = SingleTaskGP(
            torch.cat([x, pool[[4, 9]]]), torch.cat([y, y[:2]]),
            outcome_transform=None,
            train_Yvar=torch.full((17, 1), 0.02, dtype=torch.double),
        ).eval()  # fmt: skip
        fantasy.load_state_dict(model.state_dict(), strict=False)
        expected = fantasy(pool).variance.numpy()
    np.testing.assert_allclose(
        Conditioned.on(belief, [4, 9]).variance, expected, atol=1e-7
    )


def test_offsets_and_group_limits_shape_the_batch():
    _, belief = process(6)
    groups = np.arange(200) // 40
    picks = greedy_batch(
        belief, ConfidenceBound(1.0), 5, groups=groups, per_group=1, shortlist=8
    )
    assert sorted(groups[[p.row for p in picks]]) == [0, 1, 2, 3, 4]
    costly = np.where(groups == 2, 0.0, -50.0)  # log of one over a cost
    picks = greedy_batch(belief, LogImprovement(0.6), 5, offset=costly, shortlist=8)
    assert set(groups[[p.row for p in picks]]) == {2}


def test_duplicates_of_a_pick_have_nothing_left_to_tell():
    prediction = Prediction(
        np.array([1.0, 1.0, 0.0]), np.array([[1.0, 1.0, 0.1]]), np.zeros(3)
    )
    picks = greedy_batch(FactorBelief(prediction), ConfidenceBound(100.0), 3)
    assert picks[0].std == pytest.approx(1.0)
    assert picks[1].std == pytest.approx(0.0, abs=1e-6)
    assert len({p.row for p in picks}) == 3


def test_the_whole_pool_and_more_can_be_asked_for():
    _, belief = process(7, n=20)
    picks = greedy_batch(belief, Spread(), 50, barred=[0, 1])
    assert sorted(p.row for p in picks) == list(range(2, 20))
