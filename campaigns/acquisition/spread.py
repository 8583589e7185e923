"""Space filling: candidates least like anything known, without any surrogate.

Greedy k-centre (T. F. Gonzalez, Theor. Comput. Sci. 38, 293 (1985)): each pick is the
candidate farthest from everything known and from the picks before it, by structure and
composition (:mod:`matdisco.similarity`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matdisco.crystal import Crystal
from matdisco.similarity import Neighbours

LOOKED_AT = 2000
"""Candidates considered, drawn at random from larger pools; describing one takes about
a millisecond."""


def space_filling(
    candidates: Sequence[Crystal],
    known: Sequence[Crystal],
    q: int,
    rng: np.random.Generator,
) -> list[int]:
    """Return the positions of ``q`` candidates, first the least known.

    Args:
        candidates: to choose from.
        known: evaluated, pending or chosen already.
        q: how many.
        rng: draws which candidates of a large pool are considered.
    """
    rows = np.arange(len(candidates))
    if len(rows) > LOOKED_AT:
        rows = np.sort(rng.choice(rows, size=LOOKED_AT, replace=False))
    among = Neighbours.of([*(candidates[int(i)] for i in rows), *known]).rows
    mine = among[: len(rows)]
    far = np.full(len(rows), np.inf)
    if len(known):
        far = 1.0 - (mine @ among[len(rows) :].T).toarray().max(axis=1)
    picks: list[int] = []
    while len(picks) < min(q, len(rows)):
        pick = int(far.argmax())
        picks.append(pick)
        far = np.minimum(far, 1.0 - (mine @ mine[[pick]].T).toarray()[:, 0])
        far[picks] = -np.inf
    return [int(rows[i]) for i in picks]
