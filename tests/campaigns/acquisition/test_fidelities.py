"""What to ask at which fidelity: closed forms against brute force and Monte Carlo."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from campaigns.acquisition.beliefs import FactorBelief
from campaigns.acquisition.best_value import information, looked_up
from campaigns.acquisition.fidelities import _Batch, ask_batch
from campaigns.acquisition.fidelity_belief import FidelityBelief
from campaigns.acquisition.knowledge import MaxValueEntropy
from campaigns.acquisition.recipes import (
    FidelityEntropy,
    FidelityImprovement,
    Promotion,
)
from campaigns.acquisition.scores import log_h
from surrogates.base import Prediction
from surrogates.gp.exact import root


def entropy_on_a_grid(g, r):
    """Entropy of y given f < g, the joint density summed over a grid of f."""
    y, f = np.linspace(-9, 9, 1201), np.linspace(-9, g, 2401)
    law = multivariate_normal([0, 0], [[1, r], [r, 1]])
    joint = law.pdf(np.stack(np.meshgrid(y, f, indexing="ij"), axis=-1))
    density = np.trapezoid(joint, f, axis=1)
    density /= np.trapezoid(density, y)
    return -np.trapezoid(density * np.log(np.maximum(density, 1e-300)), y)


@pytest.mark.parametrize(
    ("g", "r"), [(-1.0, 0.3), (0.0, 0.7), (0.7, -0.72), (2.5, 0.97)]
)
def test_information_is_the_entropy_that_a_bound_on_the_dearest_takes(g, r):
    expected = 0.5 * np.log(2 * np.pi * np.e) - entropy_on_a_grid(g, r)
    assert float(information(np.array(g), np.array(r))) == pytest.approx(
        expected, abs=2e-5
    )


def test_information_by_monte_carlo():
    rng, g, r = np.random.default_rng(1), 0.4, 0.8
    f = rng.standard_normal(400_000)
    y = r * f + np.sqrt(1 - r**2) * rng.standard_normal(len(f))
    kept = y[f < g]
    counts, edges = np.histogram(kept, bins=120)
    share, width = counts / counts.sum(), np.diff(edges)
    full = share > 0
    entropy = -(share[full] * np.log(share[full] / width[full])).sum()
    found = float(information(np.array(g), np.array(r)))
    assert found == pytest.approx(0.5 * np.log(2 * np.pi * np.e) - entropy, abs=4e-3)


def test_of_the_dearest_itself_it_is_max_value_entropy_and_of_a_stranger_nothing():
    mean, std = np.array([0.0, -1.0, 0.4]), np.array([1.0, 0.3, 0.2])
    g = (0.5 - mean) / std
    usual = MaxValueEntropy(np.array([0.5])).value(mean, std)
    assert information(g, np.ones(3)) == pytest.approx(usual)
    assert information(g, np.zeros(3)) == pytest.approx(0, abs=1e-12)
    # it grows with the correlation, whichever sign that has
    r = np.linspace(0, 1, 41)
    grown = information(np.full(41, 0.3), r)
    assert (np.diff(grown) > -1e-9).all()
    assert information(np.full(41, 0.3), -r) == pytest.approx(grown)


def test_the_table_says_what_the_integral_says():
    rng = np.random.default_rng(2)
    g, r = rng.uniform(-2, 7, 300), rng.uniform(-1, 1, 300)
    assert looked_up(g, r) == pytest.approx(information(g, r), abs=2e-3)


def three_fidelities(n=7, seed=0):
    """A joint prior of three fidelities, what is answered, and the posterior."""
    rng = np.random.default_rng(seed)
    parts = []
    for scale in (1.0, 0.5, 0.3):
        a = rng.normal(size=(n, n))
        parts.append(scale * (a @ a.T / n + 0.1 * np.eye(n)))
    slopes = (0.8, -1.5)
    low = parts[0]
    mid = slopes[0] ** 2 * low + parts[1]
    top = slopes[1] ** 2 * mid + parts[2]
    a, b = slopes[0] * low, slopes[1] * mid
    c = slopes[1] * a
    prior = np.block([[low, a, c], [a.T, mid, b], [c.T, b.T, top]])
    answered = [np.array([0, 1, 2, 3]), np.array([1, 3]), np.array([3])]
    seen = np.concatenate([level * n + at for level, at in enumerate(answered)])
    gain = np.linalg.solve(prior[np.ix_(seen, seen)], prior[seen])
    posterior = prior - prior[:, seen] @ gain
    deltas, unknown = [], np.ones((3, n))
    for level, (part, at) in enumerate(zip(parts, answered, strict=True)):
        left = part - part[:, at] @ np.linalg.solve(part[np.ix_(at, at)], part[at])
        factors = root(left, 1.0)
        deltas.append(FactorBelief(Prediction(np.zeros(n), factors, np.zeros(n))))
        unknown[level, at] = 0
    mean = rng.normal(size=3 * n)
    return FidelityBelief(tuple(deltas), slopes, unknown, mean), posterior


def test_the_joint_posterior_of_nested_answers_is_that_of_brute_force():
    belief, posterior = three_fidelities()
    every = np.arange(21)
    assert belief.columns(every, every) == pytest.approx(posterior, abs=1e-5)
    assert belief.variance == pytest.approx(np.diag(posterior), abs=1e-5)
    some = np.array([5, 2])
    there = np.concatenate([some, 7 + some, 14 + some])
    part = belief.about(some)
    assert part.columns(np.arange(6), np.arange(6)) == pytest.approx(
        posterior[np.ix_(there, there)], abs=1e-5
    )
    assert part.mean == pytest.approx(belief.mean[there])
    target = belief.dearest().restricted(some)
    assert target.columns(np.arange(2), np.arange(2)) == pytest.approx(
        posterior[np.ix_(14 + some, 14 + some)], abs=1e-5
    )


def test_a_batch_conditions_all_fidelities_exactly():
    belief, posterior = three_fidelities(seed=3)
    batch = _Batch(belief, belief.unknown > 0, np.array([[0.1], [0.3], [1]]), 0.0, None)
    for candidate, level in ((4, 0), (2, 1), (5, 2)):
        at = level * 7 + candidate
        column = posterior[:, at]
        posterior = posterior - np.outer(column, column) / column[at]
        batch.take(candidate, level)
    assert batch.now.variance == pytest.approx(np.diag(posterior), abs=1e-4)
    shared = np.array([[posterior[k * 7 + i, 14 + i] for i in range(7)]
                       for k in range(3)])  # fmt: skip
    assert batch.shared == pytest.approx(shared, abs=1e-4)


@pytest.mark.parametrize("rule", [FidelityImprovement(), FidelityEntropy(draws=3)])
def test_the_first_ask_has_the_greatest_worth_per_cost(rule):
    for seed in range(6):
        belief, posterior = three_fidelities(seed=seed)
        costs, best = (0.05, 0.2, 1.0), 0.3
        rng = np.random.default_rng(seed)
        asked = ask_batch(belief, rule, best, costs, (1, 1, 1), rng)
        asks = [(a.candidate, a.level) for a in asked]
        std = np.sqrt(np.maximum(np.diag(posterior), 1e-24)).reshape(3, 7)
        mean = belief.mean[14:]
        free = [i for i in range(7) if belief.unknown[2, i]]
        maxima = None
        if isinstance(rule, FidelityEntropy):
            from campaigns.acquisition.knowledge import max_values

            rows = np.array(free)
            part = belief.dearest().restricted(rows)
            again = np.random.default_rng(seed)
            maxima = max_values(part, np.ones(len(rows), bool), 3, again)
        worth = {}
        for level in range(3):
            for i in free:
                if not belief.unknown[level, i]:
                    continue
                price = sum(
                    costs[k] for k in range(level + 1) if belief.unknown[k, i]
                )  # fmt: skip
                r = posterior[level * 7 + i, 14 + i] / (std[level, i] * std[2, i])
                z = (mean[i] - best) / std[2, i]
                if maxima is None:
                    gain = np.exp(log_h(z)) * std[2, i] * abs(r)
                else:
                    g = (maxima - mean[i]) / std[2, i]
                    gain = information(g, np.full(3, r)).mean()
                worth[(i, level)] = gain / price
        top = max(worth.values())
        assert worth[asks[0]] == pytest.approx(top, rel=0.02)
        first = asked[0]
        assert np.exp(first.value) == pytest.approx(top, rel=0.02)
        i, level = asks[0]
        r = posterior[level * 7 + i, 14 + i] / (std[level, i] * std[2, i])
        assert first.link == pytest.approx(r, abs=1e-4)
        for level, rival in enumerate(first.rivals):
            best_left = max((w for (_, k), w in worth.items() if k == level), default=0)
            assert np.exp(rival) == pytest.approx(best_left, rel=0.02, abs=1e-12)
        assert len({i for i, _ in asks}) == len(asks)
        counts = np.bincount([level for _, level in asks], minlength=3)
        assert (counts <= 1).all()


def promoted(belief, **options):
    asks = ask_batch(
        belief, Promotion(beta=0.0), 0.0, (0.1, 0.3, 1.0), (2, 1, 1),
        np.random.default_rng(0), **options,
    )  # fmt: skip
    return {k: [a.candidate for a in asks if a.level == k] for k in range(3)}


def test_promotion_asks_full_batches_and_promotes_only_what_is_answered_below():
    belief, _ = three_fidelities()
    by_level = promoted(belief)
    assert by_level[2] == [1]  # 3 is answered everywhere, 1 in the middle
    assert by_level[1] == [max((0, 2), key=lambda i: belief.mean[14 + i])]
    expected = sorted((4, 5, 6), key=lambda i: -belief.mean[14 + i])[:2]
    assert by_level[0] == expected


def test_what_is_barred_or_pending_is_not_asked_and_pending_counts_as_known():
    belief, _ = three_fidelities()
    barred = np.zeros((3, 7), dtype=bool)
    barred[:, 4] = True
    asked = promoted(belief, barred=barred, pending=[(5, 0)])
    assert asked[0] == [6] and asked[2] == [1]
    rng = np.random.default_rng
    costs, sizes = (0.05, 0.2, 1.0), (3, 3, 3)
    rule = FidelityImprovement()
    first = ask_batch(belief, rule, 0.3, costs, sizes, rng(0))[0]
    rest = ask_batch(
        belief, rule, 0.3, costs, sizes, rng(0),
        pending=[(first.candidate, first.level)],
    )  # fmt: skip
    whole = ask_batch(belief, rule, 0.3, costs, sizes, rng(0))
    assert first.candidate not in [a.candidate for a in rest]
    assert (rest[0].candidate, rest[0].level) == (whole[1].candidate, whole[1].level)
    assert rest[0].value == pytest.approx(whole[1].value, abs=2e-3)
    barred[:] = True
    barred[0, [5, 6]] = False
    only = ask_batch(belief, rule, 0.3, costs, sizes, rng(0), barred=barred)
    assert sorted((a.candidate, a.level) for a in only) == [(5, 0), (6, 0)]
    # a candidate's own price decides among equals
    dear = np.tile(np.array(costs)[:, None], 7)
    dear[0, only[0].candidate] *= 1e6
    again = ask_batch(belief, rule, 0.3, dear, sizes, rng(0), barred=barred)
    assert again[0].candidate != only[0].candidate


def test_improvement_of_the_dearest_is_its_expectation():
    rng = np.random.default_rng(0)
    draws = rng.normal(0.2, 0.7, 400_000)
    closed = np.exp(log_h(np.array((0.2 - 0.5) / 0.7))) * 0.7
    assert float(closed) == pytest.approx(np.maximum(draws - 0.5, 0).mean(), rel=0.02)
