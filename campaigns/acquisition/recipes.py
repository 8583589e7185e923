"""What an ``acquisition:`` block may say (no heavy imports)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from matdisco.recipe import Recipe

MOST_ELEMENTS = 7
"""Elements up to which hulls are drawn by the hundred: the facets of a convex hull grow
exponentially with its dimension."""


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


class _Grouped(Recipe):
    """Rules whose batches can be kept diverse."""

    per_formula: int | None = Field(None, ge=1)
    """At most so many candidates of one formula in a batch; null is no limit."""


class _Weighed(Recipe):
    """Rules whose worth is a probability or a gain: it can be weighed."""

    cost_exponent: float = Field(0.0, ge=0, le=4)
    """Cost of an evaluation as this power of its atoms, by which the worth is divided;
    0 takes all costs as equal, 3 is that of plain density-functional theory."""
    cost: Literal["given", "measured"] = "given"
    """``measured`` learns cost as a power of the atoms from the core-seconds of this
    campaign's own evaluations, starting from ``cost_exponent``. Times are those of one
    machine: run again from the start, the campaign may propose otherwise."""
    feasibility: bool = False
    """Multiply by the chance of an answer, learnt from failed evaluations of crystals
    alike."""


class LogExpectedImprovement(_Scored, _Weighed, _Grouped):
    """Expected improvement over the best so far, joint over the batch (qLogEI)."""

    kind: Literal["log_expected_improvement"] = "log_expected_improvement"
    samples: int = Field(256, ge=16)
    """Quasi-random posterior draws (Sobol)."""


class UpperConfidenceBound(_Scored, _Grouped):
    """Mean plus a multiple of the uncertainty, joint over the batch (qUCB)."""

    kind: Literal["upper_confidence_bound"] = "upper_confidence_bound"
    beta: float = Field(2.0, ge=0)
    """Weight of exploration: the bound is mean + sqrt(beta) sigma for one point."""
    samples: int = Field(256, ge=16)
    """Quasi-random posterior draws (Sobol)."""


class ProbabilityOfImprovement(AcquisitionRecipe, _Weighed, _Grouped):
    """Probability of beating the best so far; cautious, exact on the pool."""

    kind: Literal["probability_of_improvement"] = "probability_of_improvement"
    margin: float = Field(0.0, ge=0)
    """Improvement that counts, in the objective's unit."""


class TopShare(AcquisitionRecipe, _Weighed, _Grouped):
    """Probability of belonging to the best share of all candidates.

    The batch with the largest expected number of them: for when many good candidates
    are wanted rather than the single best.
    """

    kind: Literal["top_share"] = "top_share"
    share: float = Field(0.01, gt=0, le=0.5)
    """Of the candidates, evaluated ones included."""


class MaxVariance(AcquisitionRecipe, _Grouped):
    """The most uncertain candidates: learns the pool, does not look for the best."""

    kind: Literal["max_variance"] = "max_variance"


class LevelSet(AcquisitionRecipe, _Grouped):
    """Where the property crosses a level: ``sqrt(beta) sigma - |mean - level|``."""

    kind: Literal["level_set"] = "level_set"
    level: float
    """In the objective's unit."""
    beta: float = Field(4.0, ge=0)
    """Weight of exploration; 4 makes it the straddle of Bryan et al. (2005)."""


class ThompsonSampling(AcquisitionRecipe):
    """Each member of the batch is the best candidate of one joint posterior draw.

    Where the belief is a Gaussian process over more than 2,000 candidates (replays),
    the draws are pathwise: whole functions, linear in the pool.
    """

    kind: Literal["thompson"] = "thompson"


class Quantile(AcquisitionRecipe, _Grouped):
    """A quantile of what is expected; below 0.5 it prefers what is sure."""

    kind: Literal["quantile"] = "quantile"
    level: float = Field(0.9, gt=0, lt=1)
    """Which quantile."""


class MaxValueEntropy(AcquisitionRecipe, _Grouped):
    """What tells most about the value of the best candidate (MES)."""

    kind: Literal["max_value_entropy"] = "max_value_entropy"
    draws: int = Field(64, ge=1)
    """Drawn best values."""


class KnowledgeGradient(AcquisitionRecipe):
    """What is expected to raise the best expected value most, once learnt from.

    On the 2,000 candidates with the highest mean + 3 sigma.
    """

    kind: Literal["knowledge_gradient"] = "knowledge_gradient"


class NoisyLogExpectedImprovement(AcquisitionRecipe):
    """Expected improvement over the best of what was evaluated, itself uncertain.

    BoTorch's qLogNEI: for answers with noise, such as measurements. For objectives to
    minimise or maximise.
    """

    kind: Literal["noisy_log_expected_improvement"] = "noisy_log_expected_improvement"
    samples: int = Field(256, ge=16)
    """Quasi-random posterior draws (Sobol)."""


class HypervolumeImprovement(AcquisitionRecipe):
    """Expected growth of the hypervolume of the front (qLogNEHVI); several targets.

    For campaigns with ``objective: {kind: front}`` and two or more goals, and replays
    with ``wanted: {kind: front}``.
    """

    kind: Literal["hypervolume_improvement"] = "hypervolume_improvement"
    samples: int = Field(64, ge=16)
    """Quasi-random posterior draws (Sobol)."""
    looked_at: int = Field(300, ge=10)
    """Candidates considered: those on top by mean + sigma along random directions."""


class HullRule(AcquisitionRecipe, _Weighed):
    """What the rules for stable phases share; only for objective energy_above_hull."""

    draws: int = Field(256, ge=16)
    """Joint posterior draws of all candidates, each with a hull of its own."""
    sigma_factors: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(
        (1.0,), min_length=1
    )
    """Factors on sigma, which the draws take in turn. The lowest of many noisy draws
    are mostly noise: with hundreds of candidates whose errors are their own, draws of
    less than one sigma find more, and those of one sigma go on when these see nothing
    more."""
    bound_share: float = Field(0.0, ge=0, lt=1)
    """Share of a batch that is chosen by the depth's upper confidence bound, mean +
    sigma, given that the picks before it are evaluated. Draws find what the belief
    thinks likely; the last phases are those that it thinks unlikely."""

    bound_below: float = Field(0.0, ge=0, lt=1)
    """A pick whose worth (stable phases expected of it, or the volume it is expected to
    add) is below this is chosen by that bound instead; 0 never does so."""

    @model_validator(mode="after")
    def _bound_is_not_weighed(self) -> Self:
        bound = self.bound_share or self.bound_below
        weighed = self.cost_exponent or self.cost == "measured" or self.feasibility
        if bound and weighed:
            raise ValueError(
                "bound_share, bound_below: a bound cannot be weighed; expected without "
                "cost_exponent, cost: measured and feasibility"
            )
        return self


class HullProbability(HullRule):
    """Highest probability of being on the hull, in joint draws of all candidates.

    The batch with the largest expected number of stable phases.
    """

    kind: Literal["hull_probability"] = "hull_probability"


class NewPhases(HullRule):
    """The batch that is expected to find most different stable phases.

    Unlike ``hull_probability`` it counts candidates that would relax into one phase
    once.
    """

    kind: Literal["new_phases"] = "new_phases"
    sigma_factors: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(
        (0.25, 1.0), min_length=1
    )
    """Factors on sigma, which the draws take in turn; see above."""


class HullVolume(HullRule):
    """The batch that is expected to deepen the hull most, averaged over composition."""

    kind: Literal["hull_volume"] = "hull_volume"
    draws: int = Field(64, ge=16)
    """Joint posterior draws of all candidates, each with a hull of its own."""


class FidelityRule(AcquisitionRecipe):
    """Rules that choose what to ask at which fidelity.

    For campaigns with a ladder, whose rungs then take batches of ``best`` each, and
    replays with fidelities.
    """

    cost: Literal["given", "measured"] = "given"
    """Of an evaluation, in core-seconds: what its evaluator estimates, or learnt from
    this campaign's own, fidelity by fidelity. Times are those of one machine: run again
    from the start, the campaign may ask otherwise. In a replay the replay says it."""


class FidelityImprovement(FidelityRule):
    """Expected improvement of the dearest fidelity, per cost, for each fidelity.

    A cheaper fidelity is worth the share of it that its correlation with the dearest
    passes on (D. Huang et al., Struct. Multidiscip. Optim. 32, 369 (2006)).
    """

    kind: Literal["fidelity_improvement"] = "fidelity_improvement"


class FidelityEntropy(FidelityRule):
    """What tells most about the best value of the dearest fidelity, per cost (MF-MES).

    S. Takeno et al., ICML 2020 (arXiv:1901.08275).
    """

    kind: Literal["fidelity_entropy"] = "fidelity_entropy"
    draws: int = Field(8, ge=1)
    """Drawn best values."""


class Promotion(FidelityRule):
    """In every round full batches of every fidelity, by upper confidence bound.

    The best of those that are answered at a fidelity are promoted to the next one.
    """

    kind: Literal["promotion"] = "promotion"
    beta: float = Field(1.0, ge=0)
    """Weight of exploration: the bound is mean + sqrt(beta) sigma of the dearest."""


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
    | TopShare
    | MaxVariance
    | LevelSet
    | ThompsonSampling
    | Quantile
    | MaxValueEntropy
    | KnowledgeGradient
    | NoisyLogExpectedImprovement
    | HypervolumeImprovement
    | HullProbability
    | NewPhases
    | HullVolume
    | FidelityImprovement
    | FidelityEntropy
    | Promotion
    | Greedy
    | RandomChoice,
    Field(discriminator="kind"),
]
"""Every acquisition function, chosen by ``kind``."""
