"""Selection against closed forms, BoTorch's own and brute force."""

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement as AnalyticLogEI
from scipy.stats import norm

from campaigns.acquisition.recipes import (
    Greedy,
    LevelSet,
    LogExpectedImprovement,
    MaxVariance,
    ProbabilityOfImprovement,
    RandomChoice,
    ThompsonSampling,
    UpperConfidenceBound,
)
from campaigns.acquisition.select import select, thompson
from campaigns.utility import Utility
from surrogates.base import Prediction
from surrogates.posterior import PoolModel


def belief(seed=0, n=40, r=5):
    rng = np.random.default_rng(seed)
    return Prediction(
        rng.normal(0, 1, n), 0.3 * rng.normal(size=(r, n)), rng.uniform(0.05, 0.6, n)
    )


def rng(seed=0):
    return np.random.default_rng(seed)


ALL = [
    LogExpectedImprovement(samples=64),
    UpperConfidenceBound(samples=64),
    ThompsonSampling(),
    Greedy(),
    RandomChoice(),
    LogExpectedImprovement(scorer="exact"),
    UpperConfidenceBound(scorer="exact"),
    ProbabilityOfImprovement(),
    MaxVariance(),
    LevelSet(level=0.2),
]


@pytest.mark.parametrize(
    "recipe", ALL, ids=lambda r: f"{r.kind}-{getattr(r, 'scorer', '')}"
)
def test_a_batch_has_no_duplicates_and_the_same_seed_gives_the_same(recipe):
    u = Utility(belief(), best=1.0)
    first = select(u, recipe, rng(3), batch_size=12)
    again = select(u, recipe, rng(3), batch_size=12)
    assert first == again
    assert len({c.row for c in first}) == 12
    everything = select(u, recipe, rng(), batch_size=100)
    assert sorted(c.row for c in everything) == list(range(40))


def test_single_choice_of_log_ei_is_the_analytic_maximum():
    b = belief(1)
    u = Utility(b, best=0.8)
    z = (b.mean - 0.8) / b.std
    closed = np.log(b.std * (norm.pdf(z) + z * norm.cdf(z)))
    model = PoolModel(b)
    points = torch.arange(len(b), dtype=torch.double)[:, None, None]
    botorch = AnalyticLogEI(model, best_f=0.8)(points).detach().numpy()
    np.testing.assert_allclose(botorch, closed, atol=1e-6)
    choice = select(u, LogExpectedImprovement(samples=4096), rng(), batch_size=1)[0]
    assert choice.row == int(closed.argmax())
    assert choice.value == pytest.approx(closed.max(), abs=0.05)


def test_log_ei_pair_is_the_best_pair_by_brute_force():
    b = belief(2, n=9)
    draws = rng(1).multivariate_normal(b.mean, b.covariance, 200_000)
    best = 0.5
    first = np.maximum(draws - best, 0).mean(axis=0).argmax()
    gain = [
        np.maximum(np.maximum(draws[:, first], draws[:, j]) - best, 0).mean()
        if j != first
        else -1
        for j in range(9)
    ]
    chosen = select(
        Utility(b, best), LogExpectedImprovement(samples=4096), rng(), batch_size=2
    )
    assert [c.row for c in chosen] == [first, int(np.argmax(gain))]


def test_first_of_ucb_is_the_closed_form():
    b, beta = belief(3), 4.0
    chosen = select(
        Utility(b, 0.0),
        UpperConfidenceBound(beta=beta, samples=4096),
        rng(),
        batch_size=1,
    )
    # BoTorch's qUCB in expectation: mean + sqrt(beta pi / 2) E|f - mean|
    bound = b.mean + np.sqrt(beta) * b.std
    assert chosen[0].row == int(bound.argmax())
    assert chosen[0].value == pytest.approx(bound.max(), abs=0.05)


def test_thompson_chooses_with_the_probability_of_being_best():
    b = Prediction(np.array([0.0, 0.5]), np.zeros((0, 2)), np.array([1.0, 0.2]))
    wins = np.mean([thompson(Utility(b, 0.0), rng(s), 1)[0].row for s in range(4000)])
    assert wins == pytest.approx(norm.cdf(0.5 / np.sqrt(1.04)), abs=0.025)


def test_greedy_orders_by_expected_merit_also_for_a_target_range():
    b = belief(4)
    rows = [c.row for c in select(Utility(b, 0.0), Greedy(), rng(), batch_size=40)]
    assert rows == list(np.argsort(-b.mean))

    u = Utility(b, 0.0, wanted=(0.1, 0.3))
    draws = b.mean + b.std * rng().standard_normal((100_000, 40))
    brute = -np.maximum(np.maximum(0.1 - draws, draws - 0.3), 0).mean(axis=0)
    np.testing.assert_allclose(u.expected(), brute, atol=0.012)  # sampling error


def test_random_share_draws_part_of_the_batch():
    u = Utility(belief(), 0.0)
    chosen = select(u, Greedy(random_share=0.25), rng(), batch_size=8)
    assert [c.reason for c in chosen] == ["greedy"] * 6 + ["random"] * 2
