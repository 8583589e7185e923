"""How often copies of what is known, and other candidates, keep what draws promise."""

from __future__ import annotations

import numpy as np

REMEMBERED = 0.8
"""Weight of what a batch found when the next is known: some five batches count, as what
is easily found is found first."""
KINDS = 3
"""Like nothing that is evaluated; a copy of what lies above the hull; of a phase."""


class Claims:
    """What the draws' claims came to, for candidates like an evaluated one and others.

    A candidate that another evaluator relaxed into the same structure as one that was
    evaluated is most often that structure again, exactly. Rules draw what it would be
    if it were another, and know nothing of how rarely it is. The worth of each kind is
    therefore multiplied by the finds that earlier picks of that kind made over those
    that the draws had claimed for them. Copies of phases on the hull are a kind of
    their own: most claims are theirs, since they lie nearest to it, and they come to
    least, as a better one is most often a relaxation that ended elsewhere.

    Args:
        alike: group of each candidate of the pool, shape (n,); None weighs nothing.
    """

    def __init__(self, alike: np.ndarray | None) -> None:
        self.alike = alike
        self.claimed, self.made = np.zeros(KINDS), np.zeros(KINDS)

    @property
    def ratio(self) -> np.ndarray:
        """Finds over claims of each kind, shape (3,)."""
        # one find for one claim stands for what is believed before there are any
        value: np.ndarray = (1.0 + self.made) / (1.0 + self.claimed)
        return value

    def kinds(
        self, rows: np.ndarray, phases: np.ndarray, some: np.ndarray
    ) -> np.ndarray:
        """Return the kind of each of ``some`` candidates, see :data:`KINDS`.

        Args:
            rows: evaluated.
            phases: those of them that are on the hull, or as good as.
            some: rows of the pool, shape (m,).
        """
        assert self.alike is not None
        kind = np.isin(self.alike[some], self.alike[rows]).astype(int)
        kind[np.isin(self.alike[some], self.alike[phases])] = 2
        return kind

    def weight(
        self, rows: np.ndarray, phases: np.ndarray, free: np.ndarray
    ) -> np.ndarray | None:
        """Return the weights of the ``free`` candidates; see :meth:`kinds`."""
        if self.alike is None:
            return None
        weights: np.ndarray = self.ratio[self.kinds(rows, phases, free)]
        return weights

    def learn(
        self,
        rows: np.ndarray,
        phases: np.ndarray,
        batch: np.ndarray,
        value: np.ndarray,
        found: np.ndarray,
    ) -> None:
        """Take a batch into account.

        Args:
            rows: evaluated before it.
            phases: those of them that were on the hull, or as good as.
            batch: rows of the pool, shape (q,).
            value: finds that were expected of each, weights included, shape (q,).
            found: whether each lies below the hull of before, shape (q,).
        """
        if self.alike is None:
            return
        kind = self.kinds(rows, phases, batch)
        unweighted = value / self.ratio[kind]
        self.claimed *= REMEMBERED
        self.made *= REMEMBERED
        np.add.at(self.claimed, kind, unweighted)
        np.add.at(self.made, kind, found)
