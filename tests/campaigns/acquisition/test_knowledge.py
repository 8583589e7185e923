"""Entropy, knowledge, noise, paths, hypervolume, weights: referees for each."""

import numpy as np
import pytest
import torch
from botorch.acquisition.max_value_entropy_search import qMaxValueEntropy
from botorch.models import SingleTaskGP
from botorch.utils.multi_objective.hypervolume import (
    Hypervolume,
    infer_reference_point,
)
from botorch.utils.multi_objective.pareto import is_non_dominated
from scipy.integrate import quad
from scipy.stats import norm

from campaigns.acquisition.batch import Aim, choose, thompson_batch
from campaigns.acquisition.beliefs import FactorBelief, ProcessBelief, Shifted, joint
from campaigns.acquisition.feasibility import success_probability
from campaigns.acquisition.hypervolume import hypervolume_batch
from campaigns.acquisition.knowledge import (
    MaxValueEntropy,
    knowledge_batch,
    knowledge_gradient,
    max_values,
)
from campaigns.acquisition.pathwise import Paths
from campaigns.acquisition.process import PoolProcess
from campaigns.acquisition.recipes import (
    KnowledgeGradient,
    LogExpectedImprovement,
    NoisyLogExpectedImprovement,
    ProbabilityOfImprovement,
    Quantile,
    UpperConfidenceBound,
)
from campaigns.acquisition.recipes import MaxValueEntropy as EntropyRecipe
from campaigns.acquisition.scores import Quantile as QuantileScore
from campaigns.acquisition.select import select
from campaigns.utility import Utility
from matdisco.errors import ConfigError
from surrogates.base import Prediction
from surrogates.gp.exact import ExactGP
from surrogates.gp.kernels import Term
from surrogates.testing import toy_crystals

NONE = np.zeros(0, dtype=int)


def rng(seed=0):
    return np.random.default_rng(seed)


def belief(seed=0, n=12, r=3):
    g = rng(seed)
    return Prediction(
        g.normal(0, 1, n), 0.5 * g.normal(size=(r, n)), g.uniform(0.05, 0.5, n)
    )


def test_entropy_of_the_maximum_is_that_of_a_truncated_normal():
    mean, std, best = np.array([0.3]), np.array([0.7]), 1.1
    below = norm.cdf(best, 0.3, 0.7)

    def surprise(y):
        p = norm.pdf(y, 0.3, 0.7) / below
        return -p * np.log(p)

    cut = quad(surprise, 0.3 - 9 * 0.7, best, epsabs=1e-10)[0]
    lost = norm(0.3, 0.7).entropy() - cut
    score = MaxValueEntropy(np.array([best]))
    assert score.value(mean, std)[0] == pytest.approx(float(lost), abs=1e-8)
    both = MaxValueEntropy(np.array([best, 2.0])).value(mean, std)[0]
    other = MaxValueEntropy(np.array([2.0])).value(mean, std)[0]
    assert both == pytest.approx((float(lost) + other) / 2)
    odd = score.value(np.array([-90.0, 1.1, 5.0]), np.array([1e-9, 1e-9, 0.0]))
    assert np.isfinite(odd).all()


# BoTorch warns of values that are not standardised
@pytest.mark.filterwarnings("ignore:Data .outcome observations.")
def test_entropy_is_botorchs_where_answers_have_no_noise():
    g = rng(3)
    x = torch.from_numpy(g.uniform(size=(8, 2)))
    y = torch.sin(5 * x[:, :1])
    y = (y - y.mean()) / y.std()
    model = SingleTaskGP(
        x, y, outcome_transform=None, train_Yvar=torch.full_like(y, 1e-6)
    ).eval()
    pool = torch.from_numpy(g.uniform(size=(15, 2)))
    maxima = np.array([2.5, 3.0, 4.0])
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)  # BoTorch draws the answers that it integrates over
        theirs = qMaxValueEntropy(model, pool, num_mv_samples=3, num_y_samples=2048)
        theirs.posterior_max_values = torch.from_numpy(maxima)[:, None]
        expected = theirs(pool[:, None, :]).numpy()
        found = model.posterior(pool)
    mean, std = found.mean.numpy()[:, 0], found.variance.numpy()[:, 0] ** 0.5
    ours = MaxValueEntropy(maxima).value(mean, std)
    # its sampling is what is left at a noise of 1e-6
    np.testing.assert_allclose(ours, expected, atol=0.02)


def test_drawn_maxima_are_those_of_the_joint_belief_of_what_is_free():
    b = FactorBelief(belief(1))
    free = np.ones(12, dtype=bool)
    free[int(b.mean.argmax())] = False
    drawn = max_values(b, free, 4000, rng(1))
    draws = rng(2).multivariate_normal(b.mean, b.prediction.covariance, 4000)[:, free]
    brute = np.maximum(draws.max(axis=1), b.mean[free].max())
    assert drawn.mean() == pytest.approx(brute.mean(), abs=0.05)
    assert drawn.min() >= b.mean[free].max()


@pytest.mark.parametrize("seed", range(6))
def test_the_knowledge_gradient_is_the_integral_of_the_best_line(seed):
    g = rng(seed)
    mean, slopes = g.normal(size=7), g.normal(size=7)
    slopes[3] = slopes[2]  # two alternatives that move together
    exact = quad(
        lambda z: (mean + slopes * z).max() * norm.pdf(z), -9, 9, limit=200, epsabs=1e-9
    )[0]
    found = knowledge_gradient(mean, slopes)
    assert found == pytest.approx(exact - mean.max(), abs=1e-7)
    assert knowledge_gradient(mean, np.full(7, 0.3)) == pytest.approx(0.0)


def test_a_batch_of_knowledge_is_greedy_by_brute_force():
    b = belief(2, n=9)
    noise, rows = 0.04, [4]
    picks = knowledge_batch(FactorBelief(b, noise), 3, np.array([4]), np.array([7]))
    for pick in picks:
        block = b.covariance[np.ix_(rows, rows)] + noise * np.eye(len(rows))
        cross = b.covariance[:, rows]
        left = b.covariance - cross @ np.linalg.solve(block, cross.T)
        values = {
            i: knowledge_gradient(b.mean, left[:, i] / np.sqrt(left[i, i] + noise))
            for i in range(9) if i not in (*rows, 7)
        }  # fmt: skip
        assert pick.row == max(values, key=values.__getitem__)
        assert pick.value == pytest.approx(values[pick.row], rel=1e-6)
        rows.append(pick.row)


def test_quantiles_are_quantiles_and_low_ones_prefer_what_is_sure():
    b = belief(3)
    for level in (0.1, 0.9):
        expected = norm.ppf(level, b.mean, b.std)
        np.testing.assert_allclose(QuantileScore(level).value(b.mean, b.std), expected)
        first = choose(FactorBelief(b), Quantile(level=level), Aim(0.0), rng(), 1)[0]
        assert first.row == int(expected.argmax())


def process(several):
    g = rng(4)
    x = g.normal(size=(30, 3))
    y = np.sin(2 * x[:, 0]) + 0.3 * x[:, 1] + 0.05 * g.normal(size=30)
    terms = [Term(0, 2), Term(2, 3, "linear")] if several else None
    return PoolProcess.of(ExactGP.fit(x, y, terms=terms), single=False), g


@pytest.mark.parametrize("several", [False, True])
def test_paths_have_the_mean_and_covariance_of_the_posterior(several):
    gp, g = process(several)
    pool = g.normal(size=(40, 3))
    drawn = np.concatenate([Paths(gp, 64, rng(s))(pool) for s in range(16)], axis=1)
    mean, variance = gp.moments(pool)
    v = gp.whiten(pool)
    covariance = gp.kernel(pool, pool) - v.T @ v
    np.testing.assert_allclose(np.diag(covariance), variance, atol=1e-9)
    spread = np.sqrt(variance.max())
    assert np.abs(drawn.mean(axis=1) - mean).max() < 0.15 * spread  # 1,024 draws
    assert np.abs(np.cov(drawn) - covariance).max() < 0.2 * spread**2


def test_thompson_by_paths_wins_as_often_as_by_joint_draws(monkeypatch):
    from campaigns.acquisition import batch

    gp, g = process(several=False)
    pool = g.normal(size=(25, 3))
    b = Shifted(ProcessBelief.of(gp, pool), np.zeros(25)).base
    wins = {}
    for limit in (2000, 10):  # above the second, paths take over
        monkeypatch.setattr(batch, "JOINT", limit)
        rows = [thompson_batch(b, rng(s), 1)[0].row for s in range(150)]
        wins[limit] = np.bincount(rows, minlength=25) / 150
    assert np.abs(wins[2000] - wins[10]).sum() / 2 < 0.2  # total variation
    picks = thompson_batch(b, rng(0), 25, barred=[3])
    assert sorted(p.row for p in picks) == [i for i in range(25) if i != 3]


def test_a_shifted_and_scaled_belief_is_that_of_its_draws():
    b = belief(6)
    moved = Shifted(FactorBelief(b, 0.01), np.arange(12.0), 2.0)
    whole = joint(moved, np.array([1, 5]))
    np.testing.assert_allclose(whole.mean, b.mean[[1, 5]] + [1, 5])
    expected = 4 * b.covariance[np.ix_([1, 5], [1, 5])]
    np.testing.assert_allclose(whole.covariance, expected)
    np.testing.assert_allclose(moved.columns(np.array([1]), np.array([5])),
                               expected[:1, 1:])  # fmt: skip
    assert moved.noise == pytest.approx(0.04)


def test_noisy_improvement_is_plain_improvement_where_answers_are_sure():
    b = belief(7, n=20)
    known = Prediction(np.array([0.4, -1.0]), np.zeros((3, 2)), np.full(2, 1e-6))
    beside = Prediction(
        np.concatenate([b.mean, known.mean]),
        np.concatenate([b.factors, known.factors], axis=1),
        np.concatenate([b.residual, known.residual]),
    )
    u = Utility(b, best=0.4, beside=beside)
    noisy = select(u, NoisyLogExpectedImprovement(samples=512), rng(), batch_size=3)
    plain = select(u, LogExpectedImprovement(samples=512), rng(), batch_size=3)
    assert [c.row for c in noisy] == [c.row for c in plain]
    assert noisy[0].value == pytest.approx(plain[0].value, abs=0.05)
    torch.rand(3)  # whatever else has drawn: the same again
    again = select(u, NoisyLogExpectedImprovement(samples=512), rng(), batch_size=3)
    assert again == noisy
    # an answer that is in doubt: the bar is drawn with it
    doubt = Prediction(
        beside.mean, beside.factors, np.append(beside.residual[:-2], [2.0, 1e-6])
    )
    chosen = select(
        Utility(b, best=0.4, beside=doubt), NoisyLogExpectedImprovement(samples=2048),
        rng(), batch_size=1,
    )[0]  # fmt: skip
    draws = rng(1).multivariate_normal(doubt.mean, doubt.covariance, 200_000)
    gain = np.maximum(draws[:, :20] - draws[:, 20:].max(axis=1)[:, None], 0).mean(0)
    assert chosen.row == int(gain.argmax())
    assert chosen.value == pytest.approx(np.log(gain.max()), abs=0.05)


def test_hypervolume_batch_is_the_best_by_brute_force_and_respects_limits():
    """Where everything is known, the gain of a candidate is plain geometry."""
    g = rng(8)
    labelled, known = np.arange(6), g.uniform(0, 1, size=(6, 2))
    merit = np.vstack([known, g.uniform(0.5, 1.5, size=(10, 2))])
    beliefs = [
        Prediction(m.copy(), np.zeros((0, 16)), np.full(16, 1e-3)) for m in merit.T
    ]
    front = torch.from_numpy(known)[is_non_dominated(torch.from_numpy(known))]
    volume = Hypervolume(infer_reference_point(front))
    before = volume.compute(front)
    gains = np.array(
        [
            volume.compute(torch.cat([front, torch.from_numpy(row)[None]])) - before
            for row in merit[6:]
        ]
    )
    found = hypervolume_batch(beliefs, labelled, known, 1, 0, samples=64)[0]
    assert found.row == 6 + int(gains.argmax())
    assert np.exp(found.value) == pytest.approx(gains.max(), rel=0.05)
    least = float(np.sort(merit[6:, 0])[-2])  # all but two are of no use
    limited = hypervolume_batch(
        beliefs,
        labelled,
        known,
        2,
        0,
        samples=64,
        limits=np.array([(least - 0.01, np.inf), (-np.inf, np.inf)]),
    )
    assert all(merit[p.row, 0] >= least for p in limited)


def test_costs_divide_and_limits_per_formula_hold():
    b = belief(9, n=30)
    cost = np.where(np.arange(30) < 15, np.log(100.0), 0.0)
    u = Utility(b, best=0.5, offset=-cost)
    rows = [c.row for c in select(u, LogExpectedImprovement(), rng(), batch_size=1)]
    z = (b.mean - 0.5) / b.std
    per_cost = b.std * (norm.pdf(z) + z * norm.cdf(z)) / np.exp(cost)
    assert rows == [int(per_cost.argmax())]
    grouped = Utility(b, best=0.5, formulas=np.arange(30) // 10)
    for rule in (UpperConfidenceBound(per_formula=1), Quantile(per_formula=1),
                 ProbabilityOfImprovement(per_formula=1),
                 EntropyRecipe(per_formula=1)):  # fmt: skip
        rows = [c.row for c in select(grouped, rule, rng(), batch_size=3)]
        assert sorted(r // 10 for r in rows) == [0, 1, 2]
    with pytest.raises(ConfigError, match="cannot be weighed"):
        choose(FactorBelief(b), Quantile(), Aim(0.0), rng(), 1, offset=cost)


def test_the_chance_of_an_answer_falls_near_failures_and_nowhere_else():
    crystals = toy_crystals(24, seed=1)
    known, others = crystals[:16], crystals[16:]
    worked = np.ones(16, dtype=bool)
    assert success_probability(others, known, worked).min() > 0.9
    worked[0] = False
    chance = success_probability([known[0], *others], known, worked)
    assert chance[0] == chance.min() and chance[0] < 0.75
    assert chance.min() > 0 and chance.max() < 1
    far = success_probability(others, known[:1], np.array([False]))
    assert far.max() <= 1 / 3 + 1e-9  # nothing but one failure is known


def test_rules_choose_alike_in_campaigns_and_whatever_is_pending():
    b = belief(10, n=40)
    for rule in (EntropyRecipe(), KnowledgeGradient(), Quantile()):
        u = Utility(b, best=0.5)
        first = select(u, rule, rng(1), batch_size=6)
        assert first == select(u, rule, rng(1), batch_size=6)
        assert len({c.row for c in first}) == 6
        picks = choose(
            FactorBelief(b), rule, Aim(0.5), rng(1), 5, pending=[first[0].row],
            barred=[first[1].row],
        )  # fmt: skip
        assert not {p.row for p in picks} & {first[0].row, first[1].row}
