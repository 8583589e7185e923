"""Making predicted uncertainties agree with errors on data that was not fitted.

Everything here takes a :class:`~surrogates.base.Prediction` and true values, both from
records that the surrogate did not learn from. A scale or a curve gives Gaussians for
acquisition; conformal intervals make no assumption about the shape of the errors.
"""

from surrogates.calibration.chemistry import chemistry
from surrogates.calibration.conformal import (
    AdaptiveConformal,
    ConformalInterval,
    MondrianConformal,
)
from surrogates.calibration.errors import ErrorModel, chemistry_table, nats
from surrogates.calibration.isotonic import IsotonicScale
from surrogates.calibration.out_of_bag import OutOfBag, error_of_all
from surrogates.calibration.scale import Scale, few, z_scores
from surrogates.calibration.steps import CalibrationName, Steps
from surrogates.calibration.unseen import UnseenChemistry

__all__ = [
    "AdaptiveConformal",
    "CalibrationName",
    "ConformalInterval",
    "ErrorModel",
    "IsotonicScale",
    "MondrianConformal",
    "OutOfBag",
    "Scale",
    "Steps",
    "UnseenChemistry",
    "chemistry",
    "chemistry_table",
    "error_of_all",
    "few",
    "nats",
    "z_scores",
]
