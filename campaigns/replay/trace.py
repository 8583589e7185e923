"""What one replay did, as it is kept on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Trace:
    """What one replay did."""

    strategy: str
    """Name of the strategy."""
    seed: int
    """The seed."""
    order: tuple[int, ...]
    """Pool rows in the order of evaluation."""
    seconds: Mapping[str, float]
    """CPU seconds spent on fit, predict and choose."""
    calibration: tuple[Mapping[str, float], ...]
    """One row per round, on candidates that were not labelled yet."""
    paid: tuple[float, ...] = ()
    """What was spent when each answer of ``order`` came, in evaluations of the target;
    empty where every answer costs 1 and nothing else was asked."""
    asked: Mapping[str, int] = field(default_factory=dict)
    """Cheaper fidelity to how many answers of it were paid for."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trace:
        """Read what :meth:`to_dict` wrote."""
        return cls(**{**data, "order": tuple(data["order"]),
                      "calibration": tuple(data["calibration"]),
                      "paid": tuple(data.get("paid", ()))})  # fmt: skip

    def answered(self, spent: np.ndarray) -> np.ndarray:
        """Return how many answers of ``order`` there were after each cost, int."""
        if not self.paid:
            return np.asarray(np.minimum(spent, len(self.order)))
        # sums of costs are rounded in the last digits
        count = np.searchsorted(self.paid, spent + 1e-9, side="right")
        return np.asarray(count)
