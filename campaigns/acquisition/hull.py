"""Probability of being on the hull, from joint draws of all candidates.

A candidate is not stable because its own energy is low but because no mixture of
others is lower, and most of those others are candidates too, as uncertain as itself.
Each posterior draw is therefore a whole world: every candidate gets an energy, drawn
jointly, and the hull of that world is built from the draws and the phases already
known. The share of worlds in which a candidate is a vertex is its probability of being
stable, and a batch of the q highest maximises the expected number of stable phases
found, since expectations add up whatever the correlations.
"""

from __future__ import annotations

import numpy as np

from matdisco.thermo import Hull
from surrogates.base import Prediction

MARGIN = 0.005
"""eV/atom by which a candidate must undercut the known phases. Several candidates
relax to one structure, with energies within a few meV/atom of each other: without a
margin a copy of a known phase looks like a coin toss for a new one."""


def probability_on_hull(
    belief: Prediction,
    x: np.ndarray,
    known: Hull,
    rng: np.random.Generator,
    *,
    draws: int,
) -> np.ndarray:
    """Return each candidate's probability of being on the hull, shape (n,).

    Args:
        belief: depth below the known hull, eV/atom, positive is below.
        x: atomic fractions of the candidates, shape (n, n_elements).
        known: the hull of all answers so far.
        rng: source of the draws.
        draws: worlds to draw.
    """
    height = known.height(x)
    counts = np.zeros(len(belief))
    for _ in range(draws):
        shared = rng.standard_normal(len(belief.factors)) @ belief.factors
        own = belief.residual * rng.standard_normal(len(belief))
        depth = belief.mean + shared + own - MARGIN
        # Only what lies below today's hull can be a vertex of the new one.
        below = np.flatnonzero(depth > 0)
        if len(below) == 0:
            continue
        formation = height[below] - depth[below]
        world = Hull(
            known.elements,
            np.vstack([known.x, x[below]]),
            np.concatenate([known.formation, formation]),
        )
        counts[below] += world.stable[len(known.x) :]
    return counts / draws
