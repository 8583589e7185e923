"""Batches for several targets: brute force where all is known, closed forms else."""

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective import logei
from botorch.models.model import ModelList
from scipy.stats import norm

from campaigns.acquisition import directions
from campaigns.acquisition.chebyshev import AUGMENTED, chebyshev
from campaigns.acquisition.directions import front_batch
from campaigns.acquisition.hypervolume import samplers
from campaigns.acquisition.recipes import (
    Greedy,
    HypervolumeImprovement,
    LogExpectedImprovement,
    ThompsonSampling,
    UpperConfidenceBound,
)
from campaigns.fronts.belief import FrontBelief
from campaigns.fronts.front import Front
from campaigns.fronts.recipe import FrontObjective
from campaigns.fronts.volume import hypervolume
from surrogates.base import Prediction
from surrogates.posterior import PoolModel

TWO = (
    {"property": "a", "goal": "maximise", "reference": -2},
    {"property": "b", "goal": "maximise", "reference": -2},
)
RULES = (
    HypervolumeImprovement(),
    LogExpectedImprovement(),
    UpperConfidenceBound(),
    ThompsonSampling(),
    Greedy(),
)


def rng(seed=0):
    return np.random.default_rng(seed)


def believed(mean, std, known, targets=TWO):
    """Beliefs about candidates (n, targets) beside answers (m, targets)."""
    objective = FrontObjective.model_validate({"kind": "front", "targets": targets})
    front = Front(objective, known, np.ones(len(known), dtype=bool))
    own = [
        Prediction.apart(s * m.copy(), d.copy())
        for s, m, d in zip(front.signs, mean.T, std.T, strict=True)
    ]
    beside = [
        Prediction.apart(
            s * np.concatenate([m, k]), np.concatenate([d, np.full(len(k), 1e-3)])
        )
        for s, m, d, k in zip(front.signs, mean.T, std.T, known.T, strict=True)
    ]
    return FrontBelief(front, tuple(own), tuple(beside))


def along(merit, known, weights):
    """The number that a direction makes of merits, written out anew."""
    low, high = known.min(axis=0), known.max(axis=0)
    scaled = weights * (merit - low) / (high - low)
    return scaled.min(axis=1) + AUGMENTED * scaled.sum(axis=1)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.kind)
def test_where_all_is_known_every_pick_is_the_best_of_its_direction(rule):
    g = rng(1)
    known, mean = g.normal(size=(8, 2)), g.normal(size=(30, 2)) + 0.5
    belief = believed(mean, np.full((30, 2), 1e-6), known)
    picks = front_batch(belief, rule, rng(2), 3)
    assert len({p.row for p in picks}) == 3
    if rule.kind == "hypervolume_improvement":
        reference, so_far = np.full(2, -2.0), known
        for pick in picks:
            added = [hypervolume(np.vstack([so_far, m]), reference) for m in mean]
            assert pick.row == int(np.argmax(added))
            so_far = np.vstack([so_far, mean[pick.row]])
        return
    if rule.kind == "log_expected_improvement":
        # improvement on the best answer, and on the picks before
        weights = rng(2).dirichlet(np.ones(2))
        value = along(mean, known, weights)
        best = along(known, known, weights).max()
        assert value.max() > best
        assert picks[0].row == int(value.argmax())
        return
    again = rng(2)
    for n, pick in enumerate(picks):
        value = along(mean, known, again.dirichlet(np.ones(2)))
        again.integers(2**31)
        if rule.kind == "thompson":
            again.standard_normal((2, 76))  # the draws of both targets
            continue
        value[[p.row for p in picks[:n]]] = -np.inf
        assert pick.row == int(value.argmax())


@pytest.mark.slow  # half a minute of the compiler, once per installation
def test_the_compiled_kernel_chooses_the_same(monkeypatch):
    g = rng(3)
    known, mean = g.normal(size=(20, 2)), g.normal(size=(200, 2))
    belief = believed(mean, g.uniform(0.1, 0.5, size=(200, 2)), known)
    plain = front_batch(belief, HypervolumeImprovement(), rng(2), 4)
    monkeypatch.setattr(logei, "_load_attempted", False)
    monkeypatch.setattr(logei, "_C", None)
    compiled = front_batch(belief, HypervolumeImprovement(), rng(2), 4)
    assert logei._C is not None
    assert [p.row for p in compiled] == [p.row for p in plain]
    assert [p.value for p in compiled] == pytest.approx([p.value for p in plain])


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.kind)
def test_batches_are_nested_repeatable_and_inside_the_limits(rule):
    g = rng(4)
    known, mean = g.normal(size=(10, 2)), g.normal(size=(40, 2))
    std = np.full((40, 2), 0.05)
    targets = (TWO[0], {**TWO[1], "limit": {"at_least": -0.4, "at_most": 0.6}})
    belief = believed(mean, std, known, targets)
    inside = (mean[:, 1] > -0.55) & (mean[:, 1] < 0.75)
    rows = [p.row for p in front_batch(belief, rule, rng(5), 5)]
    assert inside[rows].all()
    assert not inside.all()
    assert rows[:3] == [p.row for p in front_batch(belief, rule, rng(5), 3)]


def test_one_goal_with_limits_is_constrained_expected_improvement():
    g = rng(6)
    targets = (
        {"property": "a", "goal": "minimise"},
        {"property": "c", "limit": {"at_most": 0.0}},
    )
    known = g.normal(size=(10, 2))
    mean, std = g.normal(size=(25, 2)), g.uniform(0.3, 1.0, size=(25, 2))
    belief = believed(mean, std, known, targets)
    best = known[known[:, 1] <= 0, 0].min()
    z = (best - mean[:, 0]) / std[:, 0]
    improvement = std[:, 0] * (norm.pdf(z) + z * norm.cdf(z))
    worth = improvement * norm.cdf(-mean[:, 1] / std[:, 1])
    assert belief.gain == pytest.approx(worth, rel=1e-6)
    pick = front_batch(belief, LogExpectedImprovement(samples=4096), rng(7), 1)[0]
    assert worth[pick.row] > 0.9 * worth.max()
    # the worth is in units of what the answers span, a little of the sum added
    span = np.ptp(known[:, 0]) / (1 + AUGMENTED)
    assert np.exp(pick.value) * span == pytest.approx(worth[pick.row], rel=0.1)


def test_before_anything_is_inside_the_limits_likely_candidates_come_first():
    g = rng(8)
    targets = (
        {"property": "a", "goal": "maximise"},
        {"property": "c", "limit": {"at_least": 5.0}},
    )
    known = g.normal(size=(8, 2))
    mean = np.column_stack([np.zeros(20), np.linspace(0, 4.5, 20)])
    belief = believed(mean, np.full((20, 2), 0.5), known, targets)
    assert belief.front.best != belief.front.best
    for rule in (LogExpectedImprovement(), UpperConfidenceBound(), Greedy()):
        rows = [p.row for p in front_batch(belief, rule, rng(9), 3)]
        assert rows == [19, 18, 17]


def test_what_is_being_evaluated_is_not_chosen_for_the_same_gain_twice():
    """A pending twin of the best candidate leaves nothing for it to add."""
    known = np.array([[0.0, 1.0], [1.0, 0.0]])
    mean = np.array([[1.5, 1.5], [0.9, 0.9], [1.6, 0.2]])
    belief = believed(mean, np.full((3, 2), 1e-3), known)
    assert front_batch(belief, HypervolumeImprovement(), rng(), 1)[0].row == 0
    twin = tuple(
        Prediction.apart(np.append(b.mean, 1.5), np.append(b.std, 1e-3))
        for b in belief.beside
    )
    waiting = FrontBelief(belief.front, belief.beliefs, twin)
    assert front_batch(waiting, HypervolumeImprovement(), rng(), 1)[0].row == 2


def test_large_pools_are_looked_at_where_it_matters(monkeypatch):
    g = rng(10)
    known, mean = g.normal(size=(10, 2)), g.normal(size=(6000, 2))
    belief = believed(mean, np.full((6000, 2), 1e-3), known)
    few = front_batch(belief, Greedy(), rng(11), 4)
    monkeypatch.setattr(directions, "LOOKED_AT", 10_000)
    assert [p.row for p in few] != []
    every = front_batch(belief, Greedy(), rng(11), 4)
    best = mean.max()
    assert all(mean[p.row].max() > 0.3 * best for p in (*few, *every))


@pytest.mark.parametrize("seed", range(6))
def test_independent_targets_are_drawn_independently(seed):
    """Scrambled Sobol sequences of their own correlate by up to 0.94."""
    model = ModelList(
        *(PoolModel(Prediction.apart(np.zeros(3), np.ones(3))) for _ in range(3))
    )
    sampler = samplers(3, 256, seed)
    for rows in ([0.0], [0.0, 1.0, 2.0]):
        posterior = model.posterior(torch.tensor(rows, dtype=torch.double)[:, None])
        draws = sampler(posterior).reshape(256, -1).numpy()
        assert draws.mean(axis=0) == pytest.approx(0, abs=0.02)
        apart = np.corrcoef(draws.T) - np.eye(draws.shape[1])
        assert np.abs(apart).max() < 0.2


def test_the_number_of_a_direction():
    scaled = np.array([[[1.0, 0.0], [0.5, 0.5]]])
    assert chebyshev(scaled, np.array([0.5, 0.5])).tolist() == [
        [pytest.approx(0.025), pytest.approx(0.275)]
    ]
