"""A gate before every round: do the newest answers refute the stated uncertainty.

Every answered proposal has z, its error over the sigma that was stated before the
answer was known. Of m honest Gaussian predictions the sum of z² has mean m and variance
2 m (1 + (m - 1) r), r the mean squared correlation of the predictions. Matched to a
scaled chi-square distribution (F. E. Satterthwaite, Biometrics Bulletin 2, 110 (1946))
this gives the probability of a sum as large. Below the level of the configuration the
surrogate is overconfident: the campaign says so, records it, and acts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from matdisco.errors import CampaignError
from matdisco.recipe import Recipe

if TYPE_CHECKING:
    from campaigns.ledger import Event

WIDEST = 5.0
"""Most that one answer counts for, in sigmas of all answers, when a batch widens sigma:
a single wild one, such as a structure that relaxed into another, must not drown every
difference in the pool."""


ABSURD = 1e4
"""Errors over sigmas above which a number would say nothing."""
SHRINKAGE = 16.0
"""Weight, in proposals, of the belief that the surrogate's own calibration is
right: after 16 answered proposals, experience and belief count the same."""


class GateRecipe(Recipe):
    """What happens when the newest answers refute the stated uncertainty."""

    level: float = Field(0.01, ge=0, lt=0.5)
    """Probability, under honest uncertainty, of errors as large as the newest batch's
    below which it fails; also the share of false alarms. 0 switches the gate off."""
    least: int = Field(4, ge=2)
    """Answers that are tested together: where the newest batch has fewer, those before
    it join."""
    widen: bool = True
    """After a failure, widen every sigma to what the newest errors ask for."""
    fall_back: Literal["none", "random", "space_filling", "stop"] = "none"
    """Besides, choose a share of the next batch at random, or where the pool is least
    known by structure and composition, without the surrogate; or stop the campaign. May
    be changed when the campaign is continued."""
    share: float = Field(0.5, gt=0, le=1)
    """That share of the batch."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says before a round."""

    outcome: Literal["pass", "overconfident", "underconfident", "untested"]
    """Result of the test; only ``overconfident`` has consequences."""
    round: int
    """The newest round whose answers were tested; 0 if none."""
    n: int = 0
    """Answers tested."""
    rms_z: float = 0.0
    """Root mean square of error over stated sigma; 1 where sigma is right."""
    p: float = 1.0
    """Probability of a sum of squares as large under honest uncertainty."""
    widened: float = 1.0
    """Factor on every sigma, beside the campaign's usual recalibration."""

    @property
    def failed(self) -> bool:
        """Whether something has to be done."""
        return self.outcome == "overconfident"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the ledger."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        """Read what :meth:`to_dict` wrote."""
        return cls(**data)

    def sentence(self, recipe: GateRecipe) -> str:
        """Say what was found and what is done about it."""
        size = f"errors are {self.rms_z:.1f} times the stated sigma"
        if self.rms_z > ABSURD:
            size = "there are errors, and the stated sigma is practically zero"
        text = (
            f"calibration failed on the newest {self.n} answers (to round "
            f"{self.round}): {size} (chi-square, p {self.p:.1g}, level "
            f"{recipe.level:g})"
        )
        if self.widened > 1:
            text += f"; every sigma times {self.widened:.2f}"
        if recipe.fall_back in ("random", "space_filling"):
            how = recipe.fall_back.replace("_", " ")
            text += f"; {recipe.share:.0%} of the batch {how}"
        return text


def chance(z: np.ndarray, correlation: float = 0.0) -> tuple[float, float]:
    """Return the probabilities of a sum of z² as large, and as small, as this one.

    Args:
        z: errors over stated sigmas, shape (m,).
        correlation: mean squared correlation of different predictions.

    >>> large, small = chance(np.array([3.0, 0.0]))
    >>> round(large, 4), round(large + small, 4)  # exp(-9/2)
    (0.0111, 1.0)
    """
    from scipy.stats import chi2

    m = len(z)
    freedom = m / (1 + (m - 1) * correlation)
    total = float(np.sum(z**2)) * freedom / m
    return float(chi2.sf(total, freedom)), float(chi2.cdf(total, freedom))


def judge(
    recipe: GateRecipe,
    events: Sequence[Event],
    errors: Mapping[int, np.ndarray],
    pooled: float,
) -> Verdict:
    """Test the newest answers: of the last batch, and of those before if it is small.

    Args:
        recipe: level and consequences.
        events: the ledger so far.
        errors: round to (predicted, true, error over *uncalibrated* sigma), (n, 3).
        pooled: factor on sigma that all earlier answers together ask for.
    """
    raw: list[np.ndarray] = []
    stated: list[np.ndarray] = []
    correlations: list[float] = []
    newest = 0
    for event in reversed(events):
        found = errors.get(event.round) if event.kind == "proposed" else None
        if found is None or len(found) == 0:
            continue
        surrogate = event.payload["surrogate"]
        newest = max(newest, event.round)
        raw.append(found[:, 2])
        stated.append(np.full(len(found), surrogate["scale"]))
        correlations.append(surrogate.get("correlation", 0.0))
        if sum(map(len, raw)) >= recipe.least:
            return verdict(
                recipe, np.concatenate(raw), np.concatenate(stated), pooled,
                round_=newest, correlation=float(np.mean(correlations)),
            )  # fmt: skip
    return Verdict("untested", 0)


def verdict(
    recipe: GateRecipe,
    raw: np.ndarray,
    stated: float | np.ndarray,
    pooled: float,
    *,
    round_: int,
    correlation: float = 0.0,
) -> Verdict:
    """Test one batch.

    Args:
        recipe: level and consequences.
        raw: errors over *uncalibrated* sigmas, shape (m,).
        stated: factor on sigma when they were proposed, one or one each (m,).
        pooled: factor on sigma that all answers together ask for now.
        round_: which round it was.
        correlation: mean squared correlation of the batch's predictions.
    """
    z = raw / stated
    large, small = chance(z, correlation)
    outcome: Literal["pass", "overconfident", "underconfident"] = "pass"
    widened = 1.0
    if large < recipe.level:
        outcome = "overconfident"
        if recipe.widen:
            beside = np.minimum(np.abs(raw) / pooled, WIDEST)
            widened = max(float(np.sqrt(np.mean(beside**2))), 1.0)
    elif small < recipe.level:
        # sigma narrows by itself as answers come in; caution costs little
        outcome = "underconfident"
    rms = float(np.sqrt(np.mean(z**2)))
    return Verdict(outcome, round_, len(z), rms, large, widened)


def pooled_scale(raw: np.ndarray) -> float:
    """Return the factor that would have made all past sigmas right, shrunk towards 1.

    The maximum-likelihood factor is the root mean square of error over sigma (K. Tran
    et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020)).

    Args:
        raw: errors over uncalibrated sigmas, shape (m,).
    """
    # A single wild error must not blow every sigma up: 5 sigma is as bad as it gets.
    squares = np.minimum(raw**2, 25.0)
    return float(np.sqrt((SHRINKAGE + squares.sum()) / (SHRINKAGE + len(squares))))


def mean_squared_correlation(covariance: np.ndarray) -> float:
    """Return the mean square of the off-diagonal correlations, 0 for fewer than two."""
    n = len(covariance)
    if n < 2:
        return 0.0
    sigma = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    squares = (covariance / np.outer(sigma, sigma)) ** 2
    return float((squares.sum() - n) / (n * (n - 1)))


def refuse(round_: int, sentence: str) -> None:
    """Stop a campaign whose surrogate failed at the gate.

    Raises:
        CampaignError: always; says what was found.
    """
    raise CampaignError(
        f"round {round_}: {sentence}; gate.fall_back is stop, so nothing was spent on "
        "this round. To go on, change gate.fall_back to none, random or space_filling "
        "and run the file again: matdisco run CONFIG --to RUN"
    )
