"""Who learns and who chooses in a replay (no heavy imports)."""

from __future__ import annotations

from typing import Literal

from campaigns.acquisition.recipes import (
    AnyAcquisition,
    FidelityRule,
    Greedy,
    HullRule,
    HypervolumeImprovement,
    LevelSet,
    LogExpectedImprovement,
    MaxVariance,
    ProbabilityOfImprovement,
    Quantile,
    RandomChoice,
    TopShare,
    UpperConfidenceBound,
)
from campaigns.replay.learner_recipes import AnyLearner, Cokriging
from campaigns.replay.peers.recipes import PeerRecipe
from matdisco.recipe import Recipe

IGNORED = ("cost_exponent", "cost", "feasibility", "per_formula")
"""Options of campaigns that a replay has nothing for: every answer costs the same, none
fails, and tables need not have formulas."""
HEEDING = (
    LogExpectedImprovement, ProbabilityOfImprovement, TopShare, UpperConfidenceBound,
    Quantile, Greedy,
)  # fmt: skip
"""Rules that can be weighed by the chance that a candidate meets the limits."""


class Strategy(Recipe):
    """One way of choosing, under its own name."""

    learner: AnyLearner
    """What learns from the answers."""
    acquisition: AnyAcquisition | None = None
    """What chooses; its batch size is that of the replay. Left out for a peer (learner
    ``baybe`` or ``ax``), which chooses by itself, and only then."""
    limits: Literal["heed", "ignore"] = "heed"
    """Whether the rule is weighed by the chance that the limits are met, where there
    are any; ``ignore`` shows what that is worth."""


def misfit(
    strategy: Strategy, wanted: str, *, fidelities: bool, limits: bool = False
) -> str | None:
    """Return why a strategy does not go with a replay; None where it does.

    Args:
        strategy: the strategy.
        wanted: kind of what is wanted.
        fidelities: whether cheaper answers may be asked.
        limits: whether there are limits beside the goal.
    """
    kind, rule = strategy.learner.kind, strategy.acquisition
    if isinstance(strategy.learner, PeerRecipe):
        if rule is not None:
            return (
                f"learner {kind} chooses by itself; expected no acquisition, got "
                f"{rule.kind}"
            )
        if fidelities or limits or wanted not in ("top", "threshold"):
            got = "fidelities" if fidelities else "limits" if limits else wanted
            return (
                f"learner {kind} needs one target without fidelities and wanted top or "
                f"threshold, got {got}"
            )
        return None
    if rule is None:
        return (
            f"acquisition: expected with learner {kind}, for example "
            "{kind: upper_confidence_bound}"
        )
    for option in IGNORED:
        if getattr(rule, option, None) not in (None, 0, "given"):
            return f"{option}: has no meaning in a replay; expected none"
    if getattr(rule, "scorer", "") == "monte_carlo":
        return "scorer: replays choose by the exact scorer; expected exact or auto"
    if said := _ranks_misfit(strategy, wanted):
        return said
    if strategy.limits == "ignore" and not limits:
        return "limits: there are none to ignore; expected a target without a goal"
    blind = (*HEEDING, MaxVariance, RandomChoice)
    if limits and strategy.limits == "heed" and not isinstance(rule, blind):
        return (
            f"acquisition {rule.kind} cannot heed limits; expected limits: ignore, or "
            "one of log_expected_improvement, probability_of_improvement, top_share, "
            "upper_confidence_bound, quantile and greedy"
        )
    several = isinstance(strategy.learner, Cokriging)
    if several and not fidelities:
        return "learner cokriging needs fidelities: {cheaper: [...]}"
    if several and rule.random_share:
        return (
            "random_share: expected 0 with learner cokriging, whose batches are spread "
            f"over fidelities, got {rule.random_share:g}"
        )
    if isinstance(rule, FidelityRule) and not several:
        return f"acquisition {rule.kind} needs learner cokriging, got {kind}"
    if isinstance(rule, HypervolumeImprovement) and wanted != "front":
        return f"acquisition {rule.kind} needs wanted: {{kind: front}}"
    if isinstance(rule, TopShare) and wanted == "stable":
        return f"acquisition {rule.kind} is about one value, not about stable phases"
    if isinstance(rule, HullRule) and wanted != "stable":
        return f"acquisition {rule.kind} needs wanted: {{kind: stable}}"
    return None


def _ranks_misfit(strategy: Strategy, wanted: str) -> str | None:
    """Return why a strategy cannot learn ranks; None where it can, or does not."""
    rule, learner = strategy.acquisition, strategy.learner
    inner = learner.process if isinstance(learner, Cokriging) else learner
    if getattr(inner, "labels", "values") == "values":
        return None
    if isinstance(learner, Cokriging):
        return "labels: fidelities are compared by value; expected values, got ranks"
    if wanted == "stable":
        return "labels: a hull is built of energies; expected values, got ranks"
    if isinstance(rule, HypervolumeImprovement):
        return "labels: a hypervolume is one of values; expected values, got ranks"
    margin: float = getattr(rule, "margin", 0.0)
    if isinstance(rule, LevelSet) or margin > 0:
        return "labels: level and margin are values; expected values, got ranks"
    return None
