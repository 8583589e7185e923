"""A monotone curve from predicted to observed standard deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from matdisco.errors import SurrogateError
from surrogates.base import Prediction

LEAST = 30
"""Records left out; fewer cannot carry a curve."""


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
        """Fit on records left out.

        Raises:
            SurrogateError: fewer than :data:`LEAST`.
        """
        if len(y) < LEAST:
            raise SurrogateError(
                f"isotonic calibration expects at least {LEAST} records "
                f"(got {len(y)}); "
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
        return prediction.scaled(wanted / prediction.std)
