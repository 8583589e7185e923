"""Which acquisition functions are defined for which objective."""

from __future__ import annotations

from campaigns.acquisition.recipes import (
    AnyAcquisition,
    FidelityRule,
    Greedy,
    HullRule,
    HypervolumeImprovement,
    KnowledgeGradient,
    LevelSet,
    LogExpectedImprovement,
    MaxValueEntropy,
    NoisyLogExpectedImprovement,
    Quantile,
    RandomChoice,
    ThompsonSampling,
    TopShare,
    UpperConfidenceBound,
)
from campaigns.fronts.recipe import FrontObjective
from campaigns.objectives import AnyObjective, HullObjective


def check(rule: AnyAcquisition, objective: AnyObjective) -> None:
    """Refuse a rule that the objective gives no meaning to.

    Raises:
        ValueError: says which, and what it needs.
    """
    hull = isinstance(objective, HullObjective)
    ranged = getattr(objective, "goal", "") == "target"
    where = f"acquisition: kind {rule.kind}"
    if isinstance(objective, FrontObjective):
        return _check_front(rule, objective)
    if isinstance(rule, HypervolumeImprovement):
        raise ValueError(
            f"{where} needs an objective of kind front with two or more goals, got "
            f"objective {objective.kind}"
        )
    if isinstance(rule, FidelityRule) and ranged:
        raise ValueError(
            f"{where} is not defined for a target range; use log_expected_improvement, "
            "and a ladder that promotes"
        )
    plain = LevelSet | NoisyLogExpectedImprovement | TopShare
    if isinstance(rule, plain) and (hull or ranged):
        raise ValueError(
            f"{where} needs an objective of kind property with goal minimise or "
            "maximise"
        )
    if isinstance(rule, HullRule) and not hull:
        raise ValueError(
            f"{where} needs objective energy_above_hull, got objective {objective.kind}"
        )
    if isinstance(rule, MaxValueEntropy | KnowledgeGradient | Quantile) and ranged:
        raise ValueError(
            f"{where} is not defined for a target range; use log_expected_improvement"
        )
    scorer = getattr(rule, "scorer", "")
    if isinstance(rule, UpperConfidenceBound) and scorer == "exact" and ranged:
        raise ValueError(
            "acquisition.scorer: upper_confidence_bound has no closed form for a "
            "target range; use monte_carlo or kind log_expected_improvement"
        )
    if scorer == "monte_carlo" and (
        getattr(rule, "cost_exponent", 0)
        or getattr(rule, "cost", "given") != "given"
        or getattr(rule, "feasibility", False)
        or getattr(rule, "per_formula", None) is not None
    ):
        raise ValueError(
            "acquisition.scorer: monte_carlo can neither weigh by cost or feasibility "
            "nor limit candidates per formula; use exact or auto"
        )


def _check_front(rule: AnyAcquisition, objective: FrontObjective) -> None:
    """Refuse what is not defined for several targets."""
    where = f"acquisition: kind {rule.kind}"
    known = (
        HypervolumeImprovement | LogExpectedImprovement | UpperConfidenceBound | Greedy
        | ThompsonSampling | RandomChoice
    )  # fmt: skip
    if not isinstance(rule, known):
        raise ValueError(
            f"{where} is not defined for several targets; expected with objective "
            "front: hypervolume_improvement, log_expected_improvement (ParEGO), "
            "upper_confidence_bound, thompson, greedy or random"
        )
    if isinstance(rule, HypervolumeImprovement) and len(objective.goals) < 2:
        raise ValueError(
            f"{where} needs two or more goals, got one ({objective.label}) and limits; "
            "use log_expected_improvement, which weighs by the chance of meeting them"
        )
    if getattr(rule, "scorer", "auto") == "exact":
        raise ValueError(
            "acquisition.scorer: several targets have no exact scorer; expected auto "
            "or monte_carlo"
        )
    for option in ("cost_exponent", "cost", "feasibility", "per_formula"):
        if getattr(rule, option, None) not in (None, 0, "given"):
            raise ValueError(
                f"acquisition.{option}: is not defined with objective front; leave it "
                "out"
            )
