"""Judges at no cost: records that part of an ensemble happened not to learn.

Members that learn resampled records each miss a third of them, and predict those as new
(L. Breiman, Out-of-bag estimation, Berkeley (1996)). A few hundred records so give
several times the judges that are left out for all members. Fewer members predict each
of them, so errors are larger than those of all; by how much follows from the members'
variance (A. Krogh and J. Vedelsby, NeurIPS 7, 231 (1994)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogates.base import Prediction


@dataclass(frozen=True, eq=False)
class OutOfBag:
    """Which records were missed by how many members, each by the same number."""

    rows: np.ndarray
    """Positions among the learnt records, ascending, shape (m,)."""
    members: np.ndarray
    """Members that missed each of them, shape (L, m)."""
    share: float = 1.0
    """m over the records that as many members missed, whoever knew their group."""

    @classmethod
    def of(cls, weights: np.ndarray, groups: Sequence[str]) -> OutOfBag:
        """Find records whose whole group was missed by half of the members or more.

        Two at least, if there are two: one alone has no spread. Where more than half
        missed a record, members take turns.

        Args:
            weights: how often each member sees each record, shape (S, n).
            groups: of the n records; a member that saw one of a group knows it.
        """
        count = len(weights)
        _, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        seen = np.zeros((count, int(group.max(initial=-1)) + 1))
        for member in range(count):
            np.add.at(seen[member], group, weights[member])
        missed = seen[:, group] == 0  # (S, n)
        wanted = max((count + 1) // 2, min(count, 2))
        rows = np.flatnonzero(missed.sum(axis=0) >= wanted)
        alone = int(((weights == 0).sum(axis=0) >= wanted).sum())
        turn = (np.arange(count)[:, None] - np.arange(len(rows))) % count
        order = np.argsort(np.where(missed[:, rows], turn, count), axis=0)
        return cls(rows, order[:wanted], len(rows) / max(alone, 1))

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, outputs: np.ndarray) -> np.ndarray:
        """Return what the members that missed each record say of it.

        Args:
            outputs: of all members for the records at ``rows``, shape (S, m, T).

        Returns:
            Shape (L, m, T).
        """
        picked: np.ndarray = np.take_along_axis(
            outputs, self.members[..., None], axis=0
        )
        return picked


def error_of_all(raw: Prediction, labels: np.ndarray, members: int) -> float:
    """Return the error of all S members over that of the L in ``raw``, at most 1.

    Averaging more members removes variance and nothing else: the mean square error is
    smaller by ``v (1/L - 1/S)``, ``v`` their variance, and never below ``v / S``.

    Args:
        raw: uncalibrated, a row of factors for each of L members.
        labels: of its n records, shape (n,).
        members: S.

    >>> draw = np.random.default_rng(0)
    >>> said = draw.normal(size=(2, 100_000)) + draw.normal(size=100_000)
    >>> two = Prediction(said.mean(0), said - said.mean(0), np.ones(100_000))
    >>> round(error_of_all(two, np.zeros(100_000), 4) ** 2, 2)  # (1 + 1/4) / (1 + 1/2)
    0.83
    """
    few = len(raw.factors)
    square = float(((labels - raw.mean) ** 2).mean()) if len(labels) else 0.0
    if square == 0 or few >= members:
        return 1.0
    variance = float((raw.factors**2).sum(axis=0).mean())
    less = max(square - variance * (1 / few - 1 / members), variance / members)
    return min(float(np.sqrt(less / square)), 1.0)
