"""Closed-form scores of single candidates, from mean and standard deviation.

Each has a ``bound``: no smaller standard deviation (with the same mean) scores higher.
That is what lets :mod:`campaigns.acquisition.pool` find exact batches without looking
at every candidate again after every pick.

Sources: upper confidence bound, N. Srinivas et al., ICML 2010; expected improvement,
D. R. Jones et al., J. Global Optim. 13, 455 (1998), in logarithms after S. Ament et
al., NeurIPS 2023 (arXiv:2310.20708); probability of improvement, H. J. Kushner, J.
Basic Eng. 86, 97 (1964); straddle for level sets, B. Bryan et al., NeurIPS 2005.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr, ndtri
from typing_extensions import override

LEAST = 1e-12
"""Standard deviations below this count as this: a value that is known."""


_FLOOR = -1e6
"""Logarithms of probabilities end here: hopeless candidates are all alike."""


class Score(Protocol):
    """What a candidate is worth; higher is better."""

    @property
    def logarithmic(self) -> bool:
        """Whether a factor (a probability, one over a cost) may be added as its log."""
        ...

    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Return the scores, shape (n,)."""
        ...

    def bound(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Return the highest score at this mean and any std up to ``std``, (n,)."""
        ...

    def after(self, mean: float) -> Self:
        """Return the score once a candidate of this mean is in the batch."""
        ...


@dataclass(frozen=True, slots=True)
class Monotone:
    """Scores that grow with the standard deviation: the bound is the value."""

    @property
    def logarithmic(self) -> bool:
        """See :class:`Score`."""
        return False

    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """See :class:`Score`."""
        raise NotImplementedError

    def bound(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """See :class:`Score`."""
        return self.value(mean, std)

    def after(self, mean: float) -> Self:
        """See :class:`Score`."""
        return self


@dataclass(frozen=True, slots=True)
class Mean(Monotone):
    """The expected value: no exploration."""

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        return np.asarray(mean)


@dataclass(frozen=True, slots=True)
class Spread(Monotone):
    """The standard deviation: exploration only."""

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        return np.asarray(std)


@dataclass(frozen=True, slots=True)
class ConfidenceBound(Monotone):
    """``mean + sqrt(beta) std``."""

    beta: float

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        result: np.ndarray = mean + np.sqrt(self.beta) * std
        return result


@dataclass(frozen=True, slots=True)
class Quantile(Monotone):
    """A quantile of the belief: above one half it explores, below it plays safe."""

    level: float

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        result: np.ndarray = mean + ndtri(self.level) * std
        return result

    @override
    def bound(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        return np.asarray(mean) if self.level < 0.5 else self.value(mean, std)


@dataclass(frozen=True, slots=True)
class LogImprovement(Monotone):
    """Logarithm of the expected improvement on ``best``.

    In a batch the bar rises to the highest mean chosen (kriging believer).
    """

    best: float

    @property
    @override
    def logarithmic(self) -> bool:
        return True

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        sigma = np.maximum(std, LEAST)
        result: np.ndarray = np.log(sigma) + log_h((mean - self.best) / sigma)
        return result

    @override
    def after(self, mean: float) -> Self:
        return replace(self, best=max(self.best, mean))


@dataclass(frozen=True, slots=True)
class LogProbability(Monotone):
    """Logarithm of the probability of exceeding ``best``."""

    best: float

    @property
    @override
    def logarithmic(self) -> bool:
        return True

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        result: np.ndarray = log_ndtr((mean - self.best) / np.maximum(std, LEAST))
        return result

    @override
    def bound(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        # a mean above the bar becomes surer as the spread shrinks
        return np.where(mean >= self.best, 0.0, self.value(mean, std))

    @override
    def after(self, mean: float) -> Self:
        return replace(self, best=max(self.best, mean))


@dataclass(frozen=True, slots=True)
class LogWindow(Monotone):
    """Logarithm of the probability of lying in a range."""

    low: float
    high: float

    @property
    @override
    def logarithmic(self) -> bool:
        return True

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        sigma = np.maximum(std, LEAST)
        # the mirror image keeps both ends in the accurate lower tail
        a, b = (self.low - mean) / sigma, (self.high - mean) / sigma
        flip = a + b > 0
        upper, lower = np.where(flip, -a, b), np.where(flip, -b, a)
        top, bottom = log_ndtr(upper), log_ndtr(lower)
        with np.errstate(divide="ignore"):
            share = np.log1p(-np.exp(np.minimum(bottom - top, 0.0)))
        result: np.ndarray = np.maximum(top + share, _FLOOR)
        return result

    @override
    def bound(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        outside = np.maximum(np.maximum(self.low - mean, mean - self.high), 0.0)
        beyond: np.ndarray = log_ndtr(-outside / np.maximum(std, LEAST))
        return np.where(outside > 0, np.maximum(beyond, _FLOOR), 0.0)


@dataclass(frozen=True, slots=True)
class Straddle(Monotone):
    """``sqrt(beta) std - |mean - level|``: where the boundary of a level set runs."""

    level: float
    beta: float

    @override
    def value(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.sqrt(self.beta) * std - np.abs(mean - self.level)
        return result


def log_h(z: np.ndarray) -> np.ndarray:
    """Return ``log(phi(z) + z Phi(z))``, accurate in both tails.

    Below -1 the sum cancels; ``phi (1 + z Phi/phi)`` with the scaled complementary
    error function does not, down to -1e3, below which its series ``phi / z²`` is exact
    in double precision (Ament et al. 2023, appendix A).

    >>> [round(float(v), 6) for v in log_h(np.array([0.0, -10.0]))]
    [-0.918939, -55.553122]
    """
    z = np.asarray(z, dtype=float)
    low = np.minimum(z, -1.0)
    log_phi = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    with np.errstate(invalid="ignore", divide="ignore"):
        mills = np.sqrt(np.pi / 2) * erfcx(-low / np.sqrt(2))  # Phi / phi
        tail = np.where(low < -1e3, -2 * np.log(-low), np.log1p(low * mills))
        middle = np.log(np.exp(log_phi) + z * ndtr(z))
    result: np.ndarray = np.where(z < -1.0, log_phi + tail, middle)
    return result
