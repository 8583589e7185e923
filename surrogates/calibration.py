"""Making predicted uncertainties agree with errors on data that was not fitted.

All three take a :class:`~surrogates.base.Prediction` and true values, both from
records that the surrogate did not learn from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from matdisco.errors import SurrogateError
from surrogates.base import Prediction

_FLOOR, _CEILING = 1e-2, 1e2
"""A scale outside these says that the surrogate is broken, not overconfident."""


@dataclass(frozen=True)
class Scale:
    """One factor for every standard deviation, with the weight of its evidence."""

    k: float = 1.0
    """Calibrated over raw standard deviation."""
    n: float = 0.0
    """Records behind it (fractional where a prior counts for less)."""

    def updated(self, z: np.ndarray) -> Scale:
        """Shrink towards this scale while there are few new errors.

        k² = (n₀k₀² + Σz²) / (n₀ + n): the posterior mean of a variance under a
        conjugate prior of n₀ pseudo-records (Gelman et al., Bayesian Data Analysis,
        section 2.6). A single scale is what repairs deep ensembles at least cost
        (Palmer et al., npj Comput. Mater. 8, 115 (2022)).

        Args:
            z: errors over *raw* standard deviations, shape (n,).

        >>> round(Scale(k=2.0, n=2.0).updated(np.array([1.0, 1.0])).k ** 2, 9)
        2.5
        """
        total = self.n + len(z)
        if total == 0:
            return self
        k2 = (self.n * self.k**2 + float((z**2).sum())) / total
        return Scale(float(np.clip(np.sqrt(k2), _FLOOR, _CEILING)), total)

    def capped(self, n: float) -> Scale:
        """Return the same factor resting on at most ``n`` records."""
        return Scale(self.k, min(self.n, n))


def z_scores(y: np.ndarray, prediction: Prediction) -> np.ndarray:
    """Return (y - mean) / std, shape (n,)."""
    scores: np.ndarray = (y - prediction.mean) / prediction.std
    return scores


@dataclass(frozen=True, eq=False)
class IsotonicScale:
    """A monotone map from predicted to observed standard deviation.

    Isotonic regression of squared error on predicted std (in the spirit of Kuleshov et
    al., ICML 2018); it can also repair the *order of size*, which one factor cannot.
    """

    raw: np.ndarray
    """Knots: raw standard deviations, ascending, shape (m,)."""
    calibrated: np.ndarray
    """Their calibrated values, shape (m,)."""

    @classmethod
    def fit(cls, y: np.ndarray, prediction: Prediction) -> IsotonicScale:
        """Fit on at least 30 records; fewer cannot carry a curve."""
        if len(y) < 30:
            raise SurrogateError(
                f"isotonic calibration expects at least 30 records (got {len(y)}); "
                "use the scalar scale"
            )
        model = IsotonicRegression(out_of_bounds="clip")
        model.fit(prediction.std, (y - prediction.mean) ** 2)
        floor = float(((y - prediction.mean) ** 2).mean()) * 1e-2
        knots = np.asarray(model.X_thresholds_, dtype=float)
        values = np.maximum(np.asarray(model.y_thresholds_, dtype=float), floor)
        return cls(knots, np.sqrt(values))

    def apply(self, prediction: Prediction) -> Prediction:
        """Return the prediction with every column of its covariance root rescaled."""
        wanted = np.interp(prediction.std, self.raw, self.calibrated)
        factor = wanted / prediction.std
        return Prediction(
            prediction.mean, prediction.factors * factor, prediction.residual * factor
        )


@dataclass(frozen=True)
class ConformalInterval:
    """Split conformal intervals: mean ± width · std, valid without assuming Gaussians.

    Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005); normalised
    scores as in Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018). Coverage is at least
    ``level`` on average if new records are exchangeable with the calibration ones,
    which candidates of an active-learning campaign are not: read it as a check.
    """

    level: float
    """Wanted coverage, 0 to 1."""
    width: float
    """Half width in predicted standard deviations."""

    @classmethod
    def fit(
        cls, y: np.ndarray, prediction: Prediction, level: float
    ) -> ConformalInterval:
        """Take the ⌈(n + 1) · level⌉-th smallest normalised error."""
        scores = np.sort(np.abs(z_scores(y, prediction)))
        rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
        if rank > len(scores):
            raise SurrogateError(
                f"{len(scores)} records are too few for a conformal interval at level "
                f"{level}; expected at least {int(np.ceil(level / (1 - level) - 1e-9))}"
            )
        return cls(level, float(scores[rank - 1]))

    def apply(self, prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper ends, each shape (n,)."""
        half = self.width * prediction.std
        return prediction.mean - half, prediction.mean + half
