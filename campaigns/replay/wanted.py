"""Which candidates of a labelled pool count as found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from campaigns.fronts.volume import pareto
from campaigns.replay.tables import logged
from campaigns.replay.targets import (
    AnyWanted,
    Front,
    Limit,
    Stable,
    Target,
    Threshold,
)


def least_merits(targets: Sequence[Target]) -> np.ndarray:
    """Return the least useful merit of each target, minus infinity for no limit."""
    given = [_number(t.limit) for t in targets]
    known = np.array([[1.0 if v is None else v for v in given]], dtype=float)
    merit = (logged(known, targets, "targets.limit") * signs(targets))[0]
    return np.where([v is None for v in given], -np.inf, merit)


def _number(limit: float | Limit | None) -> float | None:
    if isinstance(limit, Limit):
        return limit.at_most if limit.at_least is None else limit.at_least
    return limit


def signs(targets: Sequence[Target]) -> np.ndarray:
    """Return 1 where more of a target is better and -1 where less is, shape (n,)."""

    def up(target: Target) -> bool:
        if isinstance(target.limit, Limit):
            return target.limit.at_least is not None
        return target.goal == "maximise"

    return np.array([1.0 if up(t) else -1.0 for t in targets])


def mark(
    wanted: AnyWanted, targets: Sequence[Target], merit: np.ndarray, useful: np.ndarray
) -> np.ndarray:
    """Return which candidates count as found, shape (n,).

    Args:
        wanted: the rule; not that of stable phases.
        targets: what the columns of ``merit`` are.
        merit: higher is better, shape (n, targets).
        useful: which candidates meet the limits that have no goal, shape (n,), bool.
    """
    if isinstance(wanted, Front):
        within = useful & np.asarray((merit >= least_merits(targets)).all(axis=1))
        front = np.zeros(len(merit), dtype=bool)
        front[within] = pareto(merit[within])
        return front
    first = merit[:, 0]
    if isinstance(wanted, Threshold):
        limit = logged(np.array([[wanted.value]]), targets[:1], "wanted.value")[0, 0]
        result: np.ndarray = useful & (first > signs(targets)[0] * limit)
        return result
    assert not isinstance(wanted, Stable)
    if not useful.any():
        return useful
    count = max(1, round(wanted.fraction * int(useful.sum())))
    best = np.argsort(np.where(useful, -first, np.inf), kind="stable")[:count]
    chosen = np.zeros(len(first), dtype=bool)
    chosen[best] = True
    return chosen


def numbered(mask: np.ndarray) -> np.ndarray:
    """Return 0, 1, 2, ... where a mask is true and -1 elsewhere, shape (n,).

    >>> numbered(np.array([False, True, True])).tolist()
    [-1, 0, 1]
    """
    return np.where(mask, np.cumsum(mask) - 1, -1)
