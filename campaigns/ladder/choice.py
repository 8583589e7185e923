"""What a campaign must have for its acquisition to choose among fidelities."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from campaigns.acquisition.recipes import FidelityRule, Promotion
from campaigns.ladder.recipe import SCREENING
from campaigns.objectives import HullObjective
from matdisco.errors import ConfigError

if TYPE_CHECKING:
    from campaigns.config import CampaignConfig

LEAST = 4
"""Candidates that two fidelities have both answered, before their relation is believed:
a line and its scatter take three."""


def check_choice(config: CampaignConfig) -> None:
    """Refuse what does not go with a rule that chooses a fidelity.

    Raises:
        ValueError: names the key, and what to do.
    """
    rule = config.acquisition
    if not isinstance(rule, FidelityRule):
        return
    where = f"acquisition: kind {rule.kind}"
    if not config.ladder:
        raise ValueError(
            f"{where} chooses among evaluators, and there is one; give dearer ones as "
            "ladder, or use another acquisition"
        )
    if config.execution.mode == "continuous":
        raise ValueError(
            f"{where} chooses a round at a time; expected execution.mode: rounds, got "
            "continuous"
        )
    if rule.random_share:
        raise ValueError(
            "acquisition.random_share: expected 0 with a rule whose batches are spread "
            f"over fidelities, got {rule.random_share:g}"
        )
    for i, rung in enumerate(config.ladder):
        if rung.order != "best":
            raise ValueError(
                f"ladder[{i}].order: {where} decides who climbs; leave it out"
            )
        if rung.best < 1:
            raise ValueError(
                f"ladder[{i}].best: expected at least 1 with {where}, whose batches of "
                f"this rung it limits, got {rung.best}"
            )
        if rung.evaluations <= LEAST:
            raise ValueError(
                f"ladder[{i}].evaluations: expected more than {LEAST} with {where}, as "
                "so many promotions relate the fidelities before it can choose, got "
                f"{rung.evaluations}"
            )
    for name in ("target", "found", "cost", "sure"):
        if getattr(config.stopping, name) is not None:
            raise ValueError(
                f"stopping.{name}: looks at the campaign's own evaluator, but {where} "
                f"searches for the best of {config.ladder[-1].name}; stop by its "
                "evaluations, by budget.core_hours or by budget.patience"
            )


def check_prices(config: CampaignConfig, mean_atoms: float) -> None:
    """Refuse a rule that weighs costs where a dearer fidelity is said to cost less.

    Args:
        config: the campaign.
        mean_atoms: of the candidates.

    Raises:
        ConfigError: names the rung, its estimate and the one below.
    """
    rule = config.acquisition
    if not isinstance(rule, FidelityRule):
        return
    hull = isinstance(config.objective, HullObjective)
    elements = len(config.candidates.chemical_space() or ()) if hull else 0
    ways = [(SCREENING, config.evaluator, config.execution)]
    for i, rung in enumerate(config.ladder):
        ways.append((rung.name, rung.evaluator, rung.execution or config.execution))
        if rung.evaluations <= elements + LEAST:
            raise ConfigError(
                f"ladder[{i}].evaluations: {rung.evaluations} is used up by the "
                f"references of {elements} elements and the {LEAST} promotions that "
                "relate the fidelities; give more"
            )
    if rule.cost == "measured" or isinstance(rule, Promotion):
        return
    prices = [
        (name, evaluator.seconds_per_evaluation(mean_atoms) * execution.cores)
        for name, evaluator, execution in ways
    ]
    for (lower, less), (name, more) in pairwise(prices):
        if more <= less:
            raise ConfigError(
                f"ladder: {name} is estimated at {more:.3g} core-seconds, "
                f"no more than {lower} at {less:.3g}, so asking {lower} could never "
                "pay; say what they take (seconds of a function, execution.cores), or "
                "set acquisition.cost: measured"
            )
