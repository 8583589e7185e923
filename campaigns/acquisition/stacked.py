"""Fidelities learnt one on another, for campaigns and replays alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from campaigns.acquisition.beliefs import Belief
from campaigns.acquisition.fidelity_belief import FidelityBelief

RIDGE = 1e-2
"""Weight of a slope of 0 beside the labels, times the root of their number: as weak as
that of a replay's other prior means."""
Learn = Callable[[int, np.ndarray, np.ndarray], Belief]
"""Fidelity, rows answered at it, and what their answers are beyond the line in the
fidelity below, to the belief about that for all n candidates."""


def stacked(
    n: int, rows: Sequence[np.ndarray], answers: Sequence[np.ndarray], learn: Learn
) -> FidelityBelief:
    """Return the joint belief about n candidates at all fidelities.

    Args:
        n: candidates.
        rows: answered candidates of each fidelity, the cheapest first; those of a
            dearer one are among those of the cheaper ones.
        answers: their values, higher is better.
        learn: what a fidelity adds to the one below; for the cheapest, itself.
    """
    levels = len(rows)
    below, above = np.zeros(n), np.zeros((levels, n))
    deltas: list[Belief] = []
    slopes: list[float] = []
    unknown = np.ones((levels, n))
    for level, (at, y) in enumerate(zip(rows, answers, strict=True)):
        unknown[level, at] = 0.0
        slope, trend = line(below, at, y) if level else (0.0, np.zeros(n))
        if level:
            slopes.append(slope)
        delta = learn(level, at, y - trend[at])
        deltas.append(delta)
        below = trend + delta.mean
        below[at] = y  # an answer is no longer a guess
        above[level] = below
    return FidelityBelief(tuple(deltas), tuple(slopes), unknown, above.ravel())


def line(below: np.ndarray, at: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return rho and the line that the fidelity below predicts, shape (n,)."""
    x = below[at]
    unit = max(float(x.std()), 1e-12)
    a = (x - x.mean()) / unit
    slope = float(a @ (y - y.mean())) / (len(at) + RIDGE * len(at) ** 0.5) / unit
    return slope, y.mean() + slope * (below - x.mean())
