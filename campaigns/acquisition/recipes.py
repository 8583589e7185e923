"""What an ``acquisition:`` block may say (no heavy imports)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from matdisco.recipe import Recipe


class AcquisitionRecipe(Recipe):
    """What all acquisition functions share."""

    batch_size: int = Field(8, ge=1)
    """Candidates chosen per round. Two or four per worker keep all of them busy."""
    random_share: float = Field(0.0, ge=0, lt=1)
    """Share of each batch that is drawn at random, as a check on the surrogate."""


class _Scored(AcquisitionRecipe):
    """Functions that the exact pool scorer and BoTorch's Monte Carlo both know."""

    scorer: Literal["auto", "exact", "monte_carlo"] = "auto"
    """``exact``: closed form, each pick conditioned on those before it by a Cholesky
    update, linear in the pool. ``monte_carlo``: joint over the batch by BoTorch.
    ``auto``: monte_carlo up to 4,000 candidates, exact above."""


class LogExpectedImprovement(_Scored):
    """Expected improvement over the best so far, joint over the batch (qLogEI)."""

    kind: Literal["log_expected_improvement"] = "log_expected_improvement"
    samples: int = Field(256, ge=16)
    """Quasi-random posterior draws (Sobol)."""


class UpperConfidenceBound(_Scored):
    """Mean plus a multiple of the uncertainty, joint over the batch (qUCB)."""

    kind: Literal["upper_confidence_bound"] = "upper_confidence_bound"
    beta: float = Field(2.0, ge=0)
    """Weight of exploration: the bound is mean + sqrt(beta) sigma for one point."""
    samples: int = Field(256, ge=16)
    """Quasi-random posterior draws (Sobol)."""


class ProbabilityOfImprovement(AcquisitionRecipe):
    """Probability of beating the best so far; cautious, exact on the pool."""

    kind: Literal["probability_of_improvement"] = "probability_of_improvement"
    margin: float = Field(0.0, ge=0)
    """Improvement that counts, in the objective's unit."""


class MaxVariance(AcquisitionRecipe):
    """The most uncertain candidates: learns the pool, does not look for the best."""

    kind: Literal["max_variance"] = "max_variance"


class LevelSet(AcquisitionRecipe):
    """Where the property crosses a level: ``sqrt(beta) sigma - |mean - level|``."""

    kind: Literal["level_set"] = "level_set"
    level: float
    """In the objective's unit."""
    beta: float = Field(4.0, ge=0)
    """Weight of exploration; 4 makes it the straddle of Bryan et al. (2005)."""


class ThompsonSampling(AcquisitionRecipe):
    """Each member of the batch is the best candidate of one joint posterior draw."""

    kind: Literal["thompson"] = "thompson"


class HullProbability(AcquisitionRecipe):
    """Highest probability of being on the hull, in joint draws of all candidates.

    Only for objective energy_above_hull.
    """

    kind: Literal["hull_probability"] = "hull_probability"
    draws: int = Field(256, ge=16)
    """Posterior draws, each with a hull of its own."""


class Greedy(AcquisitionRecipe):
    """The best predicted means; no exploration at all."""

    kind: Literal["greedy"] = "greedy"


class RandomChoice(AcquisitionRecipe):
    """Uniformly random: the baseline everything must beat."""

    kind: Literal["random"] = "random"


AnyAcquisition = Annotated[
    LogExpectedImprovement
    | UpperConfidenceBound
    | ProbabilityOfImprovement
    | MaxVariance
    | LevelSet
    | ThompsonSampling
    | HullProbability
    | Greedy
    | RandomChoice,
    Field(discriminator="kind"),
]
"""Every acquisition function, chosen by ``kind``."""
