"""Options that would change nothing beside the others: refused, not ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from campaigns.acquisition.recipes import RandomChoice
from campaigns.objectives import HullObjective

if TYPE_CHECKING:
    from campaigns.config import CampaignConfig
    from matdisco.recipe import Recipe


def check_idle(config: CampaignConfig) -> None:
    """Refuse options that nothing would read.

    Only what differs from its default counts: a resolved configuration, such as a run
    folder keeps, states every option.

    Raises:
        ValueError: says which, and what it goes with.
    """
    rule, gate, stopping = config.acquisition, config.gate, config.stopping
    drawn = isinstance(rule, RandomChoice)
    advice = [k for k in ("cost", "sure") if getattr(stopping, k) is not None]
    if drawn and advice:
        raise ValueError(
            f"stopping.{advice[0]}: asks what the surrogate expects, but acquisition: "
            "random never asks one; use another acquisition, or leave it out"
        )
    if not advice:
        _refuse(stopping, "stopping", "rounds", "needs stopping.cost or stopping.sure")
    if drawn:
        _refuse(rule, "acquisition", "random_share", "kind random draws all of a batch")
    if getattr(rule, "scorer", "") == "exact":
        _refuse(
            rule, "acquisition", "samples",
            "scorer exact draws nothing; use scorer monte_carlo, or leave it out",
        )  # fmt: skip
    if not isinstance(config.objective, HullObjective) and config.start.per_element:
        _refuse(
            config.start, "start", "per_element",
            "only objective energy_above_hull needs pure elements; use start.include",
        )  # fmt: skip
    if gate.fall_back not in ("random", "space_filling"):
        _refuse(gate, "gate", "share", "needs gate.fall_back: random or space_filling")
    if gate.level == 0:
        _refuse(gate, "gate", "fall_back", "gate.level 0 switches the gate off")
    if config.execution.mode != "continuous":
        _refuse(config.execution, "execution", "ahead", "needs mode: continuous")
    if not config.assessment.each_round:
        _refuse(config.assessment, "assessment", "on_failure", "needs each_round: true")


def _refuse(block: Recipe, where: str, key: str, why: str) -> None:
    given: Any = getattr(block, key)
    if given != type(block).model_fields[key].get_default():
        raise ValueError(f"{where}.{key}: {given} would change nothing: {why}")
