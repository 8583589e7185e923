"""Batches of two minds: what a rule thinks likely, and what it knows least about."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from campaigns.acquisition.beliefs import Conditioned, FactorBelief
from campaigns.acquisition.pool import Pick
from surrogates.base import Prediction


def interleaved(
    belief: Prediction,
    ranked: Mapping[int, float],
    share: float,
    q: int,
    *,
    least: float = 0.0,
) -> list[Pick]:
    """Return a batch of which a share is chosen by confidence bound, in between.

    The bound is mean + sigma given that all picks before it are evaluated (exact, by
    :class:`Conditioned`). The first q of q + 1 are the batch of q.

    Args:
        belief: depth below the known hull, eV/atom.
        ranked: all rows, best first, and their worth.
        share: of picks by bound, from 0 to 1.
        q: size.
        least: a pick worth less than this is chosen by bound, too.
    """
    now = Conditioned.on(FactorBelief(belief))
    queue, picks = list(ranked), list[Pick]()
    open_ = np.ones(len(belief), dtype=bool)
    for i in range(min(q, len(belief))):
        std = np.sqrt(now.variance)
        row = next(r for r in queue if open_[r])
        turn = math.floor((i + 1) * share) > math.floor(i * share)
        if turn or ranked[row] < least:
            row = int(np.where(open_, now.mean + std, -np.inf).argmax())
        open_[row] = False
        picks.append(Pick(row, ranked[row], float(now.mean[row]), float(std[row])))
        now = now.given(row)
    return picks
