"""From raw sigma to calibrated: a factor by chemistry, then one scale or a curve.

The same for every kind of surrogate, and always from records that it did not learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np

from matdisco.crystal import Crystal
from surrogates.base import Prediction
from surrogates.calibration.errors import LEAST, ErrorModel, chemistry_table
from surrogates.calibration.isotonic import LEAST as LEAST_CURVE
from surrogates.calibration.isotonic import IsotonicScale
from surrogates.calibration.scale import Scale, z_scores

CalibrationName = Literal["errors", "scale", "interval", "isotonic"]
"""``errors``: a factor that depends on the chemistry; ``scale``: one factor that makes
the variance right; ``interval``: one that makes the 90 % interval cover 90 %;
``isotonic``: a monotone curve."""


@dataclass(frozen=True, eq=False)
class Steps:
    """What was learnt of sigma from errors on records left out."""

    scale: Scale = field(default_factory=Scale)
    """One factor; on top of the one by chemistry where there is one."""
    curve: IsotonicScale | None = None
    """Stands in for the factor."""
    errors: ErrorModel | None = None
    """The factor by chemistry."""

    @classmethod
    def fit(
        cls,
        kind: CalibrationName,
        y: np.ndarray,
        raw: Prediction,
        crystals: Sequence[Crystal],
        prior: Scale,
        *,
        seed: int = 0,
        ratio: float = 1.0,
    ) -> Self:
        """Match sigma to the errors on n records that were left out.

        With fewer records than a step needs it is left out, and one factor serves.

        Args:
            kind: which steps.
            y: labels, shape (n,).
            raw: predictions by something that did not learn the records.
            crystals: the n records.
            prior: the scale before them.
            seed: of the trees of ``errors``.
            ratio: of the errors that are meant over those of ``raw``
                (:func:`~surrogates.calibration.error_of_all`).
        """
        meant = y if ratio == 1.0 else raw.mean + ratio * (y - raw.mean)
        errors = None
        if kind == "errors":
            errors = ErrorModel.fit(chemistry_table(crystals), meant, raw, seed)
        if errors is not None:
            raw = raw.scaled(errors.left_out)
            # the model holds the size of errors too: what is left has no other prior
            prior = Scale(1.0, prior.n)
        z = ratio * z_scores(y, raw)
        scale = prior.covering(z) if kind == "interval" else prior.updated(z)
        curve = None
        if kind == "isotonic" and len(y) >= LEAST_CURVE:
            curve = IsotonicScale.fit(meant, raw)
        return cls(scale, curve, errors)

    @classmethod
    def unvaried(cls, raw: Prediction, unit: float, prior: float, n: int) -> Self:
        """Return the one factor where labels do not vary: there are no errors.

        Sigma of records left out becomes ``unit`` on average, shrunk by n errors of
        zero as :class:`~surrogates.calibration.Scale` shrinks; how it differs between
        crystals stays.

        Args:
            raw: of records left out.
            unit: the scale that stands for what labels do not tell
                (:func:`surrogates.spread.spread`).
            prior: records that the unit counts for.
            n: labels.
        """
        typical = float(np.sqrt(np.mean(raw.std**2))) or 1.0
        weight = max(prior, 1.0)  # without any, errors of zero would leave nothing
        shrunk = float(np.sqrt(weight / (weight + n)))
        return cls(Scale(unit / typical * shrunk, weight + n))

    def left_out(self, raw: Prediction) -> Prediction:
        """Return the calibrated prediction of the very records that calibrated.

        The factor by chemistry is that of trees which did not see the record.
        """
        return self._one(raw if self.errors is None else raw.scaled(self.by_chemistry))

    def apply(self, raw: Prediction, crystals: Sequence[Crystal]) -> Prediction:
        """Return the calibrated prediction of any crystals."""
        if self.errors is not None:
            raw = raw.scaled(self.errors.factors(chemistry_table(crystals), raw))
        return self._one(raw)

    @property
    def by_chemistry(self) -> np.ndarray:
        """Factor by chemistry on each record that calibrated; empty without."""
        return np.zeros(0) if self.errors is None else self.errors.left_out

    def words(self, kind: CalibrationName, n: int) -> dict[str, str]:
        """Return name → text for cards and MLflow tags, of n records left out."""
        text = {}
        if self.errors is not None:
            low, high = np.quantile(self.by_chemistry, [0.05, 0.95])
            text["uncertainty_by_chemistry"] = f"times {low:.2f} to {high:.2f}"
        least = {"errors": LEAST, "isotonic": LEAST_CURVE}.get(kind, 0)
        if n < least:
            text["uncertainty_calibration"] = (
                f"one factor: calibration {kind} needs {least} records left out, "
                f"there {'is' if n == 1 else 'are'} {n}"
            )
        elif kind == "errors" and self.errors is None:
            text["uncertainty_calibration"] = (
                "one factor: one by chemistry did no better on records left out"
            )
        return text

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all but the scale, for a checkpoint."""
        held = {}
        if self.curve is not None:
            held["curve"] = np.stack([self.curve.raw, self.curve.calibrated])
        if self.errors is not None:
            held["errors_table"] = self.errors.table
            held["errors_squares"] = self.errors.squares
            held["errors_seed"] = np.array([self.errors.seed])
        return held

    @classmethod
    def restored(cls, scale: Scale, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from what :meth:`arrays` returned."""
        curve = errors = None
        if "curve" in arrays:
            curve = IsotonicScale(*arrays["curve"])
        if "errors_table" in arrays:
            errors = ErrorModel(
                arrays["errors_table"],
                arrays["errors_squares"],
                int(arrays["errors_seed"][0]),
            )
        return cls(scale, curve, errors)

    def _one(self, raw: Prediction) -> Prediction:
        return raw.scaled(self.scale.k) if self.curve is None else self.curve.apply(raw)
