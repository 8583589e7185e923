"""How likely an evaluation is to give an answer, learnt from those that did not.

Each candidate's chance is the mean of a Beta distribution: the campaign's overall rate
counts as :data:`PRIOR` evaluations, and every evaluated crystal adds its outcome,
weighed by how alike it is. No fit, nothing to tune, and far from all failures the
overall rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matdisco.crystal import Crystal
from matdisco.similarity import Neighbours

PRIOR = 2.0
"""Evaluations that the overall rate counts for."""
REACH = 0.25
"""Distance (:mod:`matdisco.similarity`) at which an outcome counts for 1/e: about that
of two structure types of one composition."""


def success_probability(
    candidates: Sequence[Crystal], known: Sequence[Crystal], worked: np.ndarray
) -> np.ndarray:
    """Return the chance of an answer for each candidate, shape (n,).

    Args:
        candidates: to be judged.
        known: evaluated crystals, as proposed.
        worked: whether each gave an answer, shape (len(known),), bool.
    """
    rate = (float(worked.sum()) + 1.0) / (len(worked) + 2.0)
    if len(known) == 0 or worked.all():
        return np.full(len(candidates), rate)
    far = Neighbours.of(known).distances(candidates)
    weight = np.exp(-((far / REACH) ** 2))
    chance: np.ndarray = (PRIOR * rate + weight @ worked) / (PRIOR + weight.sum(axis=1))
    return chance
