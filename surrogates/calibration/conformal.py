"""Conformal intervals: coverage without assuming the shape of the errors.

All have the form mean ± width · std. Vovk, Gammerman, Shafer, Algorithmic Learning in a
Random World (2005); normalised scores as in Lei et al., J. Am. Stat. Assoc. 113, 1094
(2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from matdisco.errors import SurrogateError
from surrogates.base import Prediction
from surrogates.calibration.scale import z_scores


@dataclass(frozen=True)
class ConformalInterval:
    """Split conformal intervals: one width, from records that were left out.

    Coverage is at least ``level`` on average if new records are exchangeable with the
    calibration ones, which candidates of an active-learning campaign are not: read it
    as a check.
    """

    level: float
    """Wanted coverage, 0 to 1."""
    width: float
    """Half width in predicted standard deviations."""

    @classmethod
    def fit(
        cls, y: np.ndarray, prediction: Prediction, level: float
    ) -> ConformalInterval:
        """Take the ⌈(n + 1) · level⌉-th smallest normalised error.

        Raises:
            SurrogateError: too few records for the level.
        """
        width = conformal_quantile(np.abs(z_scores(y, prediction)), level)
        if width is None:
            raise SurrogateError(
                f"{len(y)} records are too few for a conformal interval at level "
                f"{level}; expected at least {_needed(level)}"
            )
        return cls(level, width)

    def apply(self, prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper ends, each shape (n,)."""
        half = self.width * prediction.std
        return prediction.mean - half, prediction.mean + half


@dataclass(frozen=True, eq=False)
class MondrianConformal:
    """Split conformal intervals with a width for each group of crystals.

    Vovk et al. (2005), chapter 4: coverage holds within every group that has enough
    records, not only on average. A group with too few, or one never seen, gets the
    width of all records together.
    """

    level: float
    """Wanted coverage, 0 to 1."""
    pooled: float
    """Half width of all records, in predicted standard deviations."""
    widths: Mapping[str, float]
    """Half width of each group that has enough records."""

    @classmethod
    def fit(
        cls,
        y: np.ndarray,
        prediction: Prediction,
        groups: Sequence[str],
        level: float,
    ) -> MondrianConformal:
        """Take a quantile in each group; see :func:`~surrogates.calibration.chemistry`.

        Raises:
            SurrogateError: too few records for the level, or a group name too few.
        """
        if len(groups) != len(y):
            raise SurrogateError(
                f"Expected one group for each of {len(y)} records (got {len(groups)})"
            )
        pooled = ConformalInterval.fit(y, prediction, level).width
        scores, names = np.abs(z_scores(y, prediction)), np.asarray(groups, dtype=str)
        found = {
            str(name): conformal_quantile(scores[names == name], level)
            for name in np.unique(names)
        }
        return cls(level, pooled, {k: v for k, v in found.items() if v is not None})

    def apply(
        self, prediction: Prediction, groups: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper ends, each shape (n,)."""
        widths = np.array([self.widths.get(g, self.pooled) for g in groups])
        half = widths * prediction.std
        return prediction.mean - half, prediction.mean + half


@dataclass(frozen=True, eq=False)
class AdaptiveConformal:
    """Conformal intervals for records that arrive one by one and drift.

    Gibbs and Candès, NeurIPS 2021 (arXiv:2106.00170): after every answer the level is
    moved by ``rate`` times (wanted miss rate - missed), so long-run coverage tends to
    ``level`` whatever the data do. Campaigns choose their own records: use this there.
    """

    level: float
    """Wanted coverage, 0 to 1."""
    scores: np.ndarray
    """Normalised absolute errors seen so far, shape (n,)."""
    rate: float = 0.02
    """How fast the level moves; 0 is split conformal with growing data."""
    miss: float | None = None
    """Miss rate aimed at now; None is 1 - level."""

    @classmethod
    def fit(
        cls, y: np.ndarray, prediction: Prediction, level: float, rate: float = 0.02
    ) -> AdaptiveConformal:
        """Start from records that were left out; may be none."""
        return cls(level, np.abs(z_scores(y, prediction)), rate)

    @property
    def width(self) -> float:
        """Half width now, in predicted standard deviations; may be infinite."""
        miss = 1.0 - self.level if self.miss is None else self.miss
        if miss <= 0:
            return float("inf")
        if miss >= 1:
            return 0.0
        width = conformal_quantile(self.scores, 1.0 - miss)
        return float("inf") if width is None else width

    def apply(self, prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper ends, each shape (n,)."""
        half = self.width * prediction.std
        return prediction.mean - half, prediction.mean + half

    def updated(self, y: np.ndarray, prediction: Prediction) -> AdaptiveConformal:
        """Return the intervals after these answers, taken in their order."""
        now = self
        for score in np.abs(z_scores(y, prediction)):
            miss = 1.0 - now.level if now.miss is None else now.miss
            missed = float(score > now.width)
            now = replace(
                now,
                scores=np.append(now.scores, score),
                miss=miss + now.rate * (1.0 - now.level - missed),
            )
        return now


def conformal_quantile(scores: np.ndarray, level: float) -> float | None:
    """Return the ⌈(n + 1) · level⌉-th smallest score, or None if there are too few."""
    rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
    if rank > len(scores) or rank < 1:
        return None if rank > len(scores) else 0.0
    return float(np.sort(scores)[rank - 1])


def _needed(level: float) -> int:
    return int(np.ceil(level / (1 - level) - 1e-9))
