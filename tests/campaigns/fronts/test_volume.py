"""Fronts and hypervolumes against BoTorch, closed forms, and plain counting."""

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.models.model import ModelList
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated
from scipy.stats import norm

from campaigns.fronts.volume import (
    boxes,
    expected_gain,
    hypervolume,
    inside_probability,
    layers,
    pareto,
)
from surrogates.base import Prediction
from surrogates.posterior import PoolModel

FREE = (-np.inf, np.inf)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("targets", [2, 3, 4])
def test_volumes_and_fronts_are_botorchs(targets):
    merit = rng(targets).normal(size=(40, targets))
    tensor = torch.from_numpy(merit)
    assert (pareto(merit) == is_non_dominated(tensor).numpy()).all()
    reference = np.full(targets, -1.0)
    front = tensor[is_non_dominated(tensor)]
    theirs = Hypervolume(torch.from_numpy(reference)).compute(front)
    assert hypervolume(merit, reference) == pytest.approx(theirs, rel=1e-9)


def test_closed_forms():
    # a simplex of steps: k unit squares in stairs
    stairs = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert hypervolume(stairs, np.zeros(2)) == pytest.approx(6.0)
    # two boxes in three dimensions: 1 + 1 - their common part
    pair = np.array([[1.0, 1.0, 0.5], [0.5, 1.0, 1.0]])
    assert hypervolume(pair, np.zeros(3)) == pytest.approx(0.75)
    assert hypervolume(np.array([[2.0], [5.0]]), np.array([1.0])) == 4.0
    assert hypervolume(np.array([[2.0, -1.0]]), np.zeros(2)) == 0.0


def test_layers_are_fronts_of_what_is_left():
    merit = rng(3).normal(size=(30, 2))
    found = layers(merit)
    for layer in range(found.max() + 1):
        rest = found >= layer
        assert (pareto(merit[rest]) == (found[rest] == layer)).all()


@pytest.mark.parametrize("targets", [1, 2, 3])
def test_boxes_hold_exactly_what_a_point_adds(targets):
    merit = rng(targets).uniform(0, 1, size=(12, targets))
    reference = np.full(targets, 0.2)
    lower, upper = boxes(merit, reference)
    before = hypervolume(merit, reference)
    for point in rng(9).uniform(0, 1.5, size=(25, targets)):
        side = np.clip(np.minimum(upper, point) - lower, 0, None)
        added = hypervolume(np.vstack([merit, point]), reference) - before
        assert side.prod(axis=1).sum() == pytest.approx(added, abs=1e-12)


@pytest.mark.parametrize("targets", [2, 3])
def test_gains_without_limits_are_botorchs_closed_form(targets):
    g = rng(targets + 10)
    merit = g.uniform(0, 1, size=(8, targets))
    mean, std = (
        g.uniform(0, 1.3, size=(15, targets)),
        g.uniform(0.01, 0.5, (15, targets)),
    )
    reference = np.zeros(targets)
    mine = expected_gain(
        mean, std, *boxes(merit, reference), np.array([FREE] * targets)
    )
    model = ModelList(
        *(
            PoolModel(Prediction.apart(m.copy(), s.copy()))
            for m, s in zip(mean.T, std.T, strict=True)
        )
    )
    theirs = ExpectedHypervolumeImprovement(
        model,
        reference.tolist(),
        FastNondominatedPartitioning(
            torch.zeros(targets).double(), Y=torch.from_numpy(merit)
        ),
    )
    with torch.no_grad():
        value = theirs(torch.arange(15, dtype=torch.double)[:, None, None]).numpy()
    assert mine == pytest.approx(value, rel=1e-4, abs=1e-9)  # jitter of the model


def test_gains_with_limits_are_the_mean_over_draws():
    """Limits on a goal and on a property without one, by brute force."""
    g = rng(5)
    merit = g.uniform(0, 1, size=(6, 2))
    mean = np.column_stack([g.uniform(0.3, 1.2, size=(4, 2)), g.normal(size=4)])
    std = np.full((4, 3), 0.4)
    limits = np.array([(0.7, np.inf), (0.2, 1.1), (-0.5, 0.5)])
    reference = np.zeros(2)
    mine = expected_gain(mean, std, *boxes(merit, reference), limits)
    before, counted = hypervolume(merit, reference), []
    for mu, sigma in zip(mean, std, strict=True):
        draws = mu + sigma * g.standard_normal((60_000, 3))
        useful = ((draws >= limits[:, 0]) & (draws <= limits[:, 1])).all(axis=1)
        added = [
            hypervolume(np.vstack([merit, d[:2]]), reference) - before
            for d in draws[useful][:6000]
        ]
        counted.append(useful.mean() * np.mean(added))
    assert mine == pytest.approx(counted, rel=0.08, abs=2e-3)


def test_one_goal_is_expected_improvement_times_the_chance():
    mean, std = np.array([[1.0, 0.3], [0.2, 2.0]]), np.array([[0.5, 1.0], [0.7, 0.1]])
    limits = np.array([FREE, (0.0, 1.0)])
    best = boxes(np.array([[0.6], [0.8]]), np.array([0.0]))
    z = (mean[:, 0] - 0.8) / std[:, 0]
    improvement = std[:, 0] * (norm.pdf(z) + z * norm.cdf(z))
    chance = norm.cdf(1.0, mean[:, 1], std[:, 1]) - norm.cdf(0.0, mean[:, 1], std[:, 1])
    assert expected_gain(mean, std, *best, limits) == pytest.approx(
        improvement * chance
    )
    assert inside_probability(mean, std, limits) == pytest.approx(chance)


def test_what_is_known_gains_exactly_what_it_adds():
    merit, reference = rng(2).uniform(0, 1, size=(5, 2)), np.zeros(2)
    points = rng(3).uniform(0, 1.4, size=(10, 2))
    gain = expected_gain(
        points, np.zeros((10, 2)), *boxes(merit, reference), np.array([FREE, FREE])
    )
    before = hypervolume(merit, reference)
    added = [hypervolume(np.vstack([merit, p]), reference) - before for p in points]
    assert gain == pytest.approx(added, abs=1e-9)
