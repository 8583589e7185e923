"""What is believed of candidates in several targets, as a choice of them needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from campaigns.fronts.front import Front
from campaigns.fronts.volume import boxes, expected_gain, inside_probability
from matdisco.errors import CampaignError
from surrogates.base import Prediction

if TYPE_CHECKING:
    from campaigns.state import State


@dataclass(frozen=True, eq=False)
class FrontBelief:
    """Independent beliefs about the merits of some candidates, one per target."""

    front: Front
    """The answers so far."""
    beliefs: tuple[Prediction, ...]
    """One per target, those with a goal first, about the candidates; higher is better,
    in the properties' own units."""
    beside: tuple[Prediction, ...]
    """The same about the candidates, then everything answered, then everything that is
    being evaluated."""

    def __len__(self) -> int:
        return len(self.beliefs[0])

    @cached_property
    def mean(self) -> np.ndarray:
        """Expected merits, shape (n, targets)."""
        return np.array([b.mean for b in self.beliefs]).T

    @cached_property
    def std(self) -> np.ndarray:
        """Their standard deviations, shape (n, targets)."""
        return np.array([b.std for b in self.beliefs]).T

    @cached_property
    def centre(self) -> np.ndarray:
        """Mean merits of the answers, shape (targets,)."""
        centre: np.ndarray = self.front.merit.mean(axis=0)
        return centre

    @cached_property
    def unit(self) -> np.ndarray:
        """Standard deviations of the answers' merits, shape (targets,)."""
        spread = self.front.merit.std(axis=0)
        return np.asarray(np.where(spread > 1e-12, spread, 1.0))

    @cached_property
    def answers(self) -> np.ndarray:
        """Merits of the answers in units of their spread, shape (m, targets)."""
        return np.asarray((self.front.merit - self.centre) / self.unit)

    @cached_property
    def limits(self) -> np.ndarray:
        """Lowest and highest merit of use in units of the spread, (targets, 2)."""
        scaled: np.ndarray = (self.front.limits - self.centre[:, None]) / (
            self.unit[:, None]
        )
        return scaled

    @property
    def goals(self) -> int:
        """How many targets, the first ones, have a goal."""
        return self.front.goals

    @property
    def reference(self) -> np.ndarray:
        """The reference point in units of the spread, shape (goals,)."""
        assert self.front.reference is not None
        goals = slice(self.goals)
        point: np.ndarray = (self.front.reference - self.centre[goals]) / (
            self.unit[goals]
        )
        return point

    def scaled(self, *, beside: bool = False) -> tuple[Prediction, ...]:
        """Return the beliefs in units of the answers' spread, where it is zero."""
        return tuple(
            Prediction((b.mean - centre) / unit, b.factors / unit, b.residual / unit)
            for b, centre, unit in zip(
                self.beside if beside else self.beliefs, self.centre, self.unit,
                strict=True,
            )
        )  # fmt: skip

    @cached_property
    def gain(self) -> np.ndarray:
        """Expected growth of the hypervolume by each candidate alone, shape (n,).

        In the unit of the hypervolume; limits are counted as the chance of meeting
        them. With one goal it is the expected improvement inside the limits, and before
        anything lies inside them, on the worst answer.
        """
        return self._gain(self.std)

    @cached_property
    def chance(self) -> np.ndarray:
        """Probability of meeting every limit, shape (n,)."""
        return inside_probability(self.mean, self.std, self.front.limits)

    @cached_property
    def exploration(self) -> np.ndarray:
        """How much of each candidate's gain is uncertainty, 0 to 1, shape (n,).

        What the means alone would add is known, the rest is exploration.
        """
        known = self._gain(np.zeros_like(self.std))
        share: np.ndarray = 1.0 - np.minimum(known / np.maximum(self.gain, 1e-300), 1.0)
        return np.where(known > 0, share, 1.0)

    def facts(self, row: int, half: float) -> dict[str, Any]:
        """Describe a candidate target by target, in the properties' own units.

        Args:
            row: of the candidates.
            half: half width of the stated interval, in sigmas.
        """
        targets: dict[str, dict[str, float]] = {}
        for k, target in enumerate(self.front.objective.ordered):
            mean = float(target.sign * self.mean[row, k])
            std = float(self.std[row, k])
            targets[target.property] = {
                "mean": mean,
                "std": std,
                "low": mean - half * std,
                "high": mean + half * std,
            }
        limited = any(t.limit is not None for t in self.front.objective.targets)
        return {
            "targets": targets,
            "feasible": round(float(self.chance[row]), 4) if limited else None,
        }

    def outlook(self) -> dict[str, float]:
        """Say how much the next evaluation may gain, in the hypervolume's unit."""
        most = float(self.gain.max()) if len(self) else 0.0
        return {"expected_hypervolume": most}

    def _gain(self, std: np.ndarray) -> np.ndarray:
        front, goals = self.front, self.goals
        assert front.reference is not None
        merit = front.merit[front.members, :goals]
        lower, upper = boxes(merit, front.reference)
        return expected_gain(self.mean, std, lower, upper, front.limits)


def front_belief(
    state: State,
    predictions: Mapping[str, Prediction],
    rows: np.ndarray,
    pending: Sequence[int] | np.ndarray = (),
) -> FrontBelief:
    """Build the belief about pool rows.

    Args:
        state: what is known; its objective is a front.
        predictions: property to its prediction for the whole pool.
        rows: pool rows of the candidates, shape (n,).
        pending: pool rows that are being evaluated.

    Raises:
        CampaignError: nothing has been answered.
    """
    front = state.front
    if front is None or front.reference is None:
        raise CampaignError(
            "no successful evaluation: a front needs answers to begin with; see why "
            "they failed with: matdisco status RUN --failures"
        )
    beside = np.concatenate([rows, state.answered, np.asarray(pending, dtype=int)])
    turned = [
        Prediction(t.sign * p.mean, t.sign * p.factors, p.residual)
        for t, p in ((t, predictions[t.property]) for t in front.objective.ordered)
    ]
    return FrontBelief(
        front,
        tuple(p.take(rows) for p in turned),
        tuple(p.take(beside.astype(int)) for p in turned),
    )


def half_width(interval: float) -> float:
    """Return the half width of a central interval of a normal distribution, sigmas."""
    return float(norm.ppf((1 + interval) / 2))
