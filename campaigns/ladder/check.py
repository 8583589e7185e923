"""What a ladder must fulfil, checked with the rest of the configuration."""

from __future__ import annotations

from collections.abc import Sequence

from campaigns.acquisition.recipes import AnyAcquisition, FidelityRule
from campaigns.ladder.recipe import SCREENING, RungRecipe
from campaigns.objectives import AnyObjective
from matdisco.evaluators.base import EvaluatorRecipe
from matdisco.evaluators.execution_recipe import ExecutionRecipe
from matdisco.evaluators.lookup import LookupRecipe


def settled(
    ladder: Sequence[RungRecipe], elements: frozenset[str]
) -> tuple[RungRecipe, ...]:
    """Return the rungs with everything settled that depends on the elements."""
    return tuple(
        r.model_copy(update={"evaluator": r.evaluator.fixed_for(elements)})
        for r in ladder
    )


def check_ladder(
    ladder: Sequence[RungRecipe], evaluator: EvaluatorRecipe, objective: AnyObjective
) -> None:
    """Refuse a ladder that cannot be climbed.

    Raises:
        ValueError: a name twice, a rung that gives no answer to the objective, that is
            answered by people, or that is the evaluator below it again.
    """
    names, below = {SCREENING}, evaluator
    if ladder and evaluator.by_hand:
        raise ValueError(
            "ladder: a laboratory's answers are not confirmed by an evaluator; leave "
            "the ladder out"
        )
    for i, rung in enumerate(ladder):
        where = f"ladder[{i}]"
        if rung.name in names:
            raise ValueError(f"{where}.name: {rung.name!r} is the name of a rung below")
        names.add(rung.name)
        if rung.evaluator.by_hand:
            raise ValueError(
                f"{where}.evaluator: expected an evaluator that runs by itself, got "
                f"kind {rung.evaluator.kind}"
            )
        given = rung.evaluator.properties()
        if objective.label not in given:
            raise ValueError(
                f"{where}.evaluator: the objective needs the label "
                f"{objective.label!r}, but it gives {', '.join(given)}"
            )
        if rung.evaluator.digest() == below.digest():
            raise ValueError(
                f"{where}.evaluator: is the evaluator below it again, so it would "
                "confirm nothing"
            )
        below = rung.evaluator


def check_money(
    money: float | None, execution: ExecutionRecipe, ladder: Sequence[RungRecipe]
) -> None:
    """Refuse a budget of money where nothing has a price.

    Raises:
        ValueError: no execution block names a price.
    """
    prices = [execution.price_per_core_hour]
    prices += [
        r.execution.price_per_core_hour for r in ladder if r.execution is not None
    ]
    if money is not None and not any(prices):
        raise ValueError(
            "budget.money: nothing has a price; give execution.price_per_core_hour"
        )


def check_costs(
    rule: AnyAcquisition, evaluator: EvaluatorRecipe, ladder: Sequence[RungRecipe]
) -> None:
    """Refuse to measure the cost of what takes no computing.

    Raises:
        ValueError: ``cost: measured`` where people answer, or a table at once.
    """
    asked = [("acquisition.cost", getattr(rule, "cost", ""), evaluator)]
    asked += [(f"ladder[{i}].cost", r.cost, r.evaluator) for i, r in enumerate(ladder)]
    if isinstance(rule, FidelityRule):  # it measures every fidelity
        asked += [
            (f"acquisition.cost of ladder[{i}]", rule.cost, r.evaluator)
            for i, r in enumerate(ladder)
        ]
    for where, cost, what in asked:
        at_once = isinstance(what, LookupRecipe) and what.delay == 0
        if cost == "measured" and (what.by_hand or at_once):
            how = "people answer" if what.by_hand else "a table answers at once"
            raise ValueError(
                f"{where}: measured needs an evaluator that computes, but with this "
                f"one {how}; use given"
            )
