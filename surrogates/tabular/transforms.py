"""What is learnt instead of the labels themselves, and the way back to their unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from surrogates.base import Prediction
from surrogates.spread import spread

NINETY = float(ndtri(0.95))
"""Standard deviations from the middle of a normal 90 % interval to its ends."""
_TAIL = 0.1  # outermost share of the labels that says how a map goes on beyond them


class Transform(Protocol):
    """A monotone map from labels to what is learnt."""

    def learnt(self, labels: np.ndarray) -> np.ndarray:
        """Map labels, shape (n,)."""
        ...

    def original(self, y: np.ndarray) -> np.ndarray:
        """Map back what :meth:`learnt` gave, shape (n,)."""
        ...

    def back(self, learnt: Prediction) -> Prediction:
        """Return a prediction of the labels from one of what is learnt."""
        ...


class Plain:
    """The labels themselves."""

    def learnt(self, labels: np.ndarray) -> np.ndarray:
        """Return them."""
        return labels

    def original(self, y: np.ndarray) -> np.ndarray:
        """Return them."""
        return y

    def back(self, learnt: Prediction) -> Prediction:
        """Return it."""
        return learnt


class Log:
    """Natural logarithms of positive labels."""

    def learnt(self, labels: np.ndarray) -> np.ndarray:
        """Return the logarithms."""
        logs: np.ndarray = np.log(labels)
        return logs

    def original(self, y: np.ndarray) -> np.ndarray:
        """Return the exponentials."""
        values: np.ndarray = np.exp(y)
        return values

    def back(self, learnt: Prediction) -> Prediction:
        """Return the median, and the sigma of :func:`as_wide`."""
        return as_wide(self, learnt)


@dataclass(frozen=True, eq=False)
class NormalScores:
    """Where each label stands among those known, as a normal deviate.

    A Gaussian process believes in one noise and one amplitude everywhere. Where a few
    labels lie far from all others (exfoliation energies above 1 eV/atom among tens of
    meV), they decide both. Ranks keep the order and bring every distribution of labels
    to a normal one (B. L. van der Waerden, Indag. Math. 14, 453 (1952); on such outputs
    in optimisation A. Cowen-Rivers et al., J. Artif. Intell. Res. 74, 1269 (2022)).

    >>> known = np.array([1.0, 5.0, 100.0])
    >>> NormalScores.of(known).learnt(known).round(2)
    array([-0.97,  0.  ,  0.97])
    """

    values: np.ndarray
    """Labels known, each once, ascending, shape (m,)."""
    scores: np.ndarray
    """Their scores, ascending, shape (m,)."""

    @classmethod
    def of(cls, known: np.ndarray) -> Self:
        """Let labels, at least one, shape (n,), define the map; equal ones share one.

        A map that has to go on beyond them goes on as over their outermost tenth.
        """
        scores = ndtri((rankdata(known) - 0.5) / len(known))
        values, first = np.unique(known, return_index=True)
        return cls(values, scores[first])

    def learnt(self, labels: np.ndarray) -> np.ndarray:
        """Return scores of labels, linear between known ones."""
        return _joined(labels, self.values, self.scores)

    def original(self, y: np.ndarray) -> np.ndarray:
        """Return labels of scores, linear between known ones."""
        return _joined(y, self.scores, self.values)

    def back(self, learnt: Prediction) -> Prediction:
        """Return the median, and the sigma of :func:`as_wide`."""
        return as_wide(self, learnt)


def as_wide(transform: Transform, learnt: Prediction) -> Prediction:
    """Return a prediction of the labels whose 90 % interval is as wide as it should be.

    The interval of what is learnt, mapped back, is not symmetric; one about the mapped
    median that is, and is as wide, covers nearly as much (90.3 % and 89.4 % for a sigma
    of half and of one in logarithms). For small sigmas this is the first order.
    """
    reach = NINETY * learnt.std
    low, median, high = (
        transform.original(learnt.mean + k * reach) for k in (-1.0, 0.0, 1.0)
    )
    ratio = (high - low) / (2.0 * reach)
    return Prediction(median, learnt.factors * ratio, learnt.residual * ratio)


def _joined(x: np.ndarray, at: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Interpolate (at, to), both ascending, and go on beyond as over the last tenth."""
    inside: np.ndarray
    if len(at) == 1:  # all labels are equal: their own size is the one scale
        inside = (x - at[0]) * (spread(to) / spread(at)) + to[0]
        return inside
    n = max(1, round(_TAIL * len(at)))
    below = (to[n] - to[0]) / (at[n] - at[0])
    above = (to[-1] - to[-1 - n]) / (at[-1] - at[-1 - n])
    inside = np.interp(x, at, to)
    inside += below * np.minimum(x - at[0], 0.0) + above * np.maximum(x - at[-1], 0.0)
    return inside


def transform(name: str, labels: np.ndarray) -> Transform:
    """Return the transform that a recipe names, fitted to labels in their unit."""
    if name == "ranks":
        return NormalScores.of(labels)
    return Log() if name == "log" else Plain()
