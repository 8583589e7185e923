"""Fronts and hypervolumes: who is beaten by nobody, and how much they dominate.

Expected gains are exact for independent Gaussian targets: the space that the front
leaves is cut into boxes, and the expectation of a box is a product of expected
improvements (M. Emmerich et al., IEEE CEC 2011; K. Yang et al., J. Global Optim. 75, 3
(2019)), each over the part of its target that lies inside its limits.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

LEAST = 1e-12
"""Standard deviations below this count as this: a value that is known."""
CHUNK = 4096
"""Candidates whose gains are worked out together, to keep memory small."""


def pareto(merit: np.ndarray) -> np.ndarray:
    """Return which rows no other row dominates, shape (n,).

    >>> pareto(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])).tolist()
    [True, True, False]
    """
    keep = np.ones(len(merit), dtype=bool)
    for i, row in enumerate(merit):
        at_least = (merit >= row).all(axis=1)
        keep[i] = not (at_least & (merit > row).any(axis=1)).any()
    return keep


def layers(merit: np.ndarray) -> np.ndarray:
    """Return the layer of each row, shape (n,): 0 is the front, 1 the front without it.

    >>> layers(np.array([[2.0, 2.0], [1.0, 1.0], [0.0, 3.0]])).tolist()
    [0, 1, 0]
    """
    found = np.zeros(len(merit), dtype=int)
    left, layer = np.arange(len(merit)), 0
    while len(left):
        top = pareto(merit[left])
        found[left[top]] = layer
        left, layer = left[~top], layer + 1
    return found


def hypervolume(merit: np.ndarray, reference: np.ndarray) -> float:
    """Return the volume that rows dominate above a reference point.

    Args:
        merit: higher is better, shape (n, targets).
        reference: shape (targets,).

    >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros(2))
    3.0
    """
    inside = merit[(merit > reference).all(axis=1)]
    if len(inside) == 0:
        return 0.0
    if merit.shape[1] == 1:
        return float(inside.max() - reference[0])
    if merit.shape[1] > 2:
        from botorch.utils.multi_objective.hypervolume import Hypervolume
        from torch import from_numpy

        front = np.ascontiguousarray(inside[pareto(inside)])
        return float(Hypervolume(from_numpy(reference)).compute(from_numpy(front)))
    order = np.lexsort((-inside[:, 1], -inside[:, 0]))
    total, top = 0.0, float(reference[1])
    for x, y in inside[order]:
        if y > top:
            total += float((x - reference[0]) * (y - top))
            top = float(y)
    return total


def boxes(merit: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes above a reference point that no row dominates.

    Args:
        merit: higher is better, shape (n, targets).
        reference: shape (targets,).

    Returns:
        Lower and upper corners, each of shape (boxes, targets); upper ones may be
        infinite.
    """
    inside = merit[(merit > reference).all(axis=1)]
    if merit.shape[1] == 1:
        best = max([float(reference[0]), *inside[:, 0]])
        return np.array([[best]]), np.array([[np.inf]])
    if len(inside) == 0:
        return reference[None].astype(float), np.full((1, merit.shape[1]), np.inf)
    from botorch.utils.multi_objective.box_decompositions.non_dominated import (
        FastNondominatedPartitioning,
    )
    from torch import from_numpy

    front = np.ascontiguousarray(inside[pareto(inside)].astype(float))
    cut = FastNondominatedPartitioning(
        from_numpy(reference.astype(float)), Y=from_numpy(front)
    )
    lower, upper = cut.get_hypercell_bounds().numpy()
    return lower, upper


def expected_gain(
    mean: np.ndarray,
    std: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    limits: np.ndarray,
) -> np.ndarray:
    """Return the expected hypervolume that each candidate alone would add, (n,).

    Args:
        mean: expected merits, shape (n, targets), those with a goal first.
        std: standard deviations, the same shape; targets are independent.
        lower: lower corners of the boxes, shape (boxes, goals).
        upper: upper corners.
        limits: lowest and highest merit of use, shape (targets, 2).
    """
    goals = lower.shape[1]
    rest = slice(goals, None)
    chance = inside_probability(mean[:, rest], std[:, rest], limits[rest])
    gain = np.empty(len(mean))
    for start in range(0, len(mean), CHUNK):
        part = slice(start, start + CHUNK)
        product = np.ones((len(mean[part]), len(lower)))
        for k in range(goals):
            mu, sigma = mean[part, k, None], np.maximum(std[part, k, None], LEAST)
            product *= _above(mu, sigma, lower[:, k], limits[k]) - _above(
                mu, sigma, upper[:, k], limits[k]
            )
        gain[part] = np.maximum(product, 0.0).sum(axis=1)
    return np.asarray(gain * chance)


def inside_probability(
    mean: np.ndarray, std: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Return the probability of meeting all limits, shape (n,).

    Args:
        mean: shape (n, targets).
        std: the same shape; targets are independent.
        limits: lowest and highest value of use, shape (targets, 2).
    """
    sigma = np.maximum(std, LEAST)
    with np.errstate(invalid="ignore"):
        low, high = (limits[:, 0] - mean) / sigma, (limits[:, 1] - mean) / sigma
    # the mirror image keeps both ends in the accurate lower tail
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    each: np.ndarray = np.maximum(ndtr(b) - ndtr(a), 0.0)
    return np.asarray(each.prod(axis=1))


def _above(
    mean: np.ndarray, sigma: np.ndarray, bar: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Return E[(y - bar)+ ; y inside the limits] of normal y, shape (n, bars)."""
    low = np.maximum(bar, limits[0])
    high = np.maximum(np.full_like(low, limits[1]), low)
    a, b = (low - mean) / sigma, (high - mean) / sigma
    known = np.isfinite(bar)
    gap = mean - np.where(known, bar, 0.0)
    flip = a > 0
    share = np.where(flip, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a))
    found = gap * share + sigma * (_density(a) - _density(b))
    return np.asarray(np.where(known, np.maximum(found, 0.0), 0.0))


def _density(z: np.ndarray) -> np.ndarray:
    density: np.ndarray = np.exp(-0.5 * np.minimum(z**2, 1400.0)) / np.sqrt(2 * np.pi)
    return density
