"""How often copies of what is known, and other candidates, keep what draws promise."""

from __future__ import annotations

import numpy as np

REMEMBERED = 0.8
"""Weight of what a batch found when the next is known: some five batches count, as what
is easily found is found first."""


class Claims:
    """What the draws' claims came to, for candidates like an evaluated one and others.

    A candidate that another evaluator relaxed into the same structure as one that was
    evaluated is most often that phase again, exactly; a Gaussian belief cannot say so,
    and calls it a coin toss whether it undercuts it. The worth of either kind is
    therefore multiplied by the finds that earlier picks of that kind made over those
    that the draws had claimed for them.

    Args:
        alike: group of each candidate of the pool, shape (n,); None weighs nothing.
    """

    def __init__(self, alike: np.ndarray | None) -> None:
        self.alike = alike
        self.claimed, self.made = np.zeros(2), np.zeros(2)

    @property
    def ratio(self) -> np.ndarray:
        """Finds over claims of each kind, shape (2,)."""
        # one find for one claim stands for what is believed before there are any
        value: np.ndarray = (1.0 + self.made) / (1.0 + self.claimed)
        return value

    def again(self, rows: np.ndarray, some: np.ndarray) -> np.ndarray:
        """Return which of ``some`` candidates are like one of ``rows``, 0 or 1."""
        assert self.alike is not None
        return np.isin(self.alike[some], self.alike[rows]).astype(int)

    def weight(self, rows: np.ndarray, free: np.ndarray) -> np.ndarray | None:
        """Return the weights of the ``free`` candidates, where ``rows`` are known."""
        if self.alike is None:
            return None
        weights: np.ndarray = self.ratio[self.again(rows, free)]
        return weights

    def learn(
        self, rows: np.ndarray, batch: np.ndarray, value: np.ndarray, found: np.ndarray
    ) -> None:
        """Take a batch into account.

        Args:
            rows: evaluated before it.
            batch: rows of the pool, shape (q,).
            value: finds that were expected of each, weights included, shape (q,).
            found: whether each lies below the hull of before, shape (q,).
        """
        if self.alike is None:
            return
        kind = self.again(rows, batch)
        unweighted = value / self.ratio[kind]
        self.claimed *= REMEMBERED
        self.made *= REMEMBERED
        np.add.at(self.claimed, kind, unweighted)
        np.add.at(self.made, kind, found)
