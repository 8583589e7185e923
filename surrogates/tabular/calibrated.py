"""What surrogates on fixed features do with labels, and with errors left out.

The steps from a raw answer to a calibrated one, all in the unit that is learnt: a
factor by chemistry, one scale or curve, and a factor for chemistry that the training
set lacks. Only then the unit of the target: where logarithms or ranks are learnt,
errors in that unit would let the few largest labels decide every sigma.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import Prediction
from surrogates.calibration import Scale, Steps, UnseenChemistry, few
from surrogates.metrics import evaluate as score
from surrogates.spread import doubt, spread, vary
from surrogates.tabular.recipes import OnFeatures
from surrogates.tabular.transforms import Log, Plain, Transform, transform

R = TypeVar("R", bound=OnFeatures)


@dataclass(frozen=True, eq=False)
class Held:
    """Predictions of training records by something that did not learn them."""

    rows: np.ndarray
    """Which records, shape (m,)."""
    prediction: Prediction
    """Of those records, raw, in the learnt (transformed) unit."""


class Calibrated(ABC, Generic[R]):
    """See the module; :class:`~surrogates.tabular.base.Tabular` builds on it.

    Args:
        recipe: all settings.
        seed: of the fit.
    """

    def __init__(self, recipe: R, seed: int = 0) -> None:
        self.recipe, self.seed = recipe, seed
        self.transform: Transform = Plain()
        self.steps = Steps()  # to calibrated sigma, in the learnt unit
        self.unseen: UnseenChemistry | None = None
        self.metrics: Mapping[str, float] = {}
        self.held: Held | None = None
        self._y = np.zeros(0)
        self._ready = False

    def _without(self, groups: Sequence[np.ndarray]) -> Prediction | None:
        """Predict each group of training rows by all others; None where that is dear.

        In the learnt unit, raw, one group after the other.
        """
        return None

    @property
    def averaging(self) -> float:
        """Size of a new error over that of a record left out, which fewer predict."""
        return 1.0

    def held_out(self) -> tuple[np.ndarray, np.ndarray, Prediction]:
        """Return (rows, labels, calibrated predictions) of records left out.

        What conformal intervals and plots are made from; unit of the target.

        Raises:
            SurrogateError: not fitted yet.
        """
        self._require_fit()
        assert self.held is not None
        rows = self.held.rows
        learnt = self.steps.left_out(self.held.prediction)
        labels = self.transform.original(self._y[rows])
        return rows, labels, self.transform.back(learnt)

    def _require_fit(self) -> None:
        if not self._ready:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")

    def _transformed(self, labels: np.ndarray, records: Dataset) -> np.ndarray:
        """Choose the transform and return what is to be learnt, shape (n,)."""
        if self.recipe.transform == "log" and (labels <= 0).any():
            at = int(np.flatnonzero(labels <= 0)[0])
            raise SurrogateError(
                f"crystal {records[at].id}: label {labels[at]:g}, but transform log "
                "needs positive labels; use transform: none or ranks"
            )
        self.transform = transform(self.recipe.transform, labels)
        return self.transform.learnt(labels)

    def _calibrate(self, labels: np.ndarray, records: Dataset) -> None:
        """Match sigma to the records left out; labels in the unit of the target."""
        assert self.held is not None
        rows, recipe, raw = self.held.rows, self.recipe, self.held.prediction
        prior = Scale(1.0, recipe.calibration_prior)
        self.steps, self.metrics, self.unseen = Steps(prior), {}, None
        if not len(rows):
            return
        varied = vary(self._of_target())
        if varied:
            held = [records[int(i)] for i in rows]
            self.steps = Steps.fit(
                recipe.calibration, self._y[rows], raw, held, prior, seed=self.seed
            )
        else:
            self.steps = self._unvaried(raw, self._of_target())
        found = self.transform.back(self.steps.left_out(raw))
        self.metrics = score(labels[rows], found)
        if varied and recipe.calibration == "errors":
            self.unseen = self._leave_chemistry_out(records)

    def _of_target(self) -> np.ndarray:
        """Return what was learnt of the target, shape (n,)."""
        return self._y

    def _unvaried(self, raw: Prediction, y: np.ndarray) -> Steps:
        """Return one factor for learnt labels without errors, shape (n,)."""
        # a logarithm has no size: the label's own is a unit of it
        unit = 1.0 if isinstance(self.transform, Log) else spread(y)
        return Steps.unvaried(raw, unit, self.recipe.calibration_prior, len(y))

    @property
    def caution(self) -> str:
        """What to know of sigma where labels do not vary; empty otherwise."""
        y = self._of_target()
        if not self._ready or vary(y):
            return ""
        return doubt(len(y), float(self.transform.original(y[:1])[0]))

    def _leave_chemistry_out(self, records: Dataset) -> UnseenChemistry | None:
        def without(groups: Sequence[np.ndarray]) -> Prediction | None:
            left = self._without(groups)
            if left is None:
                return None
            rows = np.concatenate(groups)
            return self._for_seen(left, [records[int(i)] for i in rows])

        return UnseenChemistry.fit(records.crystals, self._y, without)

    def _finished(self, learnt: Prediction, crystals: Sequence[Crystal]) -> Prediction:
        """Return a raw answer in the unit of the target, calibrated."""
        wider = 1.0  # where labels do not vary the one factor knows how few they are
        if self.held is not None and vary(self._of_target()):
            wider = few(len(self.held.rows))
        found = self._for_seen(learnt, crystals).scaled(self.averaging * wider)
        if self.unseen is not None:
            found = found.scaled(self.unseen.factors(crystals))
        return self.transform.back(found)

    def _for_seen(self, raw: Prediction, crystals: Sequence[Crystal]) -> Prediction:
        """Calibrate as chemistry that the training set holds."""
        return self.steps.apply(raw, crystals)
