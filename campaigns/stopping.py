"""Reasons to stop before the budget is spent.

Two come from the answers alone (a target is reached, enough is found); two from the
surrogate (the expected improvement is below the cost of an evaluation, the best is
probably found). A surrogate's word counts only while it passes the gate, and only when
it has said the same for several rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from matdisco.properties import get
from matdisco.recipe import Recipe

if TYPE_CHECKING:
    from campaigns.ledger import Event
    from campaigns.objectives import AnyObjective
    from campaigns.state import State
    from matdisco.evaluators.execution_recipe import ExecutionRecipe

FAILING = "failure rate"
"""How the reason begins where too many evaluations failed."""


def failing_too_often(
    execution: ExecutionRecipe, n: int, failed: int, rung: str = ""
) -> str | None:
    """Say that too many evaluations fail to go on spending, or None.

    Args:
        execution: how they are run, and how many failures are tolerated.
        n: evaluations.
        failed: how many of them failed.
        rung: of the ladder; the campaign's own evaluator when not given.
    """
    rate = execution.tolerated_failure_rate
    if n < execution.failures_before_stop or failed <= rate * n:
        return None
    whose = f" of {rung}" if rung else ""
    key = f"{'its ' if rung else 'execution.'}tolerated_failure_rate"
    return (
        f"{FAILING}: {failed} of {n} evaluations{whose} failed, more than "
        f"{key} {rate:g} allows"
    )


class StoppingRecipe(Recipe):
    """Reasons to stop before the budget is spent; none by default."""

    target: float | None = None
    """Stop when an answer is at least as good as this, in the objective's unit; only
    for goals minimise and maximise."""
    found: int | None = Field(None, ge=1)
    """Stop when so many are found: stable compounds, answers as good as ``target``, or
    answers inside a target range."""
    cost: float | None = Field(None, gt=0)
    """What one evaluation is worth, in the objective's unit: stop when no candidate
    promises a larger expected improvement."""
    sure: float | None = Field(None, gt=0.5, lt=1)
    """Stop when the posterior probability that nothing better is left exceeds this."""
    rounds: int = Field(2, ge=1)
    """Successive rounds in which ``cost`` or ``sure`` must hold."""


def reason_from_answers(
    recipe: StoppingRecipe, state: State, objective: AnyObjective
) -> str | None:
    """Say whether the answers alone are enough, or None."""
    from campaigns.fronts.recipe import FrontObjective
    from campaigns.objectives import HullObjective

    if isinstance(objective, FrontObjective):
        return None
    if isinstance(objective, HullObjective):
        if recipe.found is not None and len(state.found) >= recipe.found:
            return (
                f"found: {len(state.found)} stable compounds (stopping.found "
                f"{recipe.found})"
            )
        return None
    if (recipe.target is None and recipe.found is None) or len(state.answered) == 0:
        return None
    if recipe.target is None:
        least, what = 0.0, "lie in the wanted range"
    else:
        least = float(state.merit(np.array([recipe.target]))[0])
        unit = get(objective.property).unit
        what = f"are as good as stopping.target {recipe.target:g} {unit}".rstrip()
    good = int((state.merit(state.headline) >= least).sum())
    return f"target: {good} answers {what}" if good >= (recipe.found or 1) else None


def check(recipe: StoppingRecipe, objective: AnyObjective) -> None:
    """Refuse reasons that the objective cannot have.

    Raises:
        ValueError: says which and why.
    """
    from campaigns.fronts.recipe import FrontObjective

    if isinstance(objective, FrontObjective):
        for name in ("target", "found", "cost", "sure"):
            if getattr(recipe, name) is not None:
                raise ValueError(
                    f"stopping.{name}: is about one value, not about a front; stop by "
                    "budget.evaluations, rounds, core_hours or money, or by "
                    "budget.patience (rounds in which the hypervolume does not grow)"
                )
        return
    goal = getattr(objective, "goal", "hull")
    if recipe.target is not None and goal not in ("minimise", "maximise"):
        raise ValueError(
            "stopping.target: needs an objective of kind property with goal minimise "
            "or maximise; give stopping.found instead"
        )
    if recipe.found is not None and recipe.target is None and goal in (
        "minimise", "maximise",
    ):  # fmt: skip
        raise ValueError(
            "stopping.found: needs stopping.target with goal minimise or maximise, "
            "which says what counts"
        )


def reason_from_outlook(
    recipe: StoppingRecipe,
    outlook: Mapping[str, float],
    gate: Mapping[str, Any],
    events: Sequence[Event],
    objective: AnyObjective,
) -> str | None:
    """Say whether the surrogate advises to stop, or None.

    Args:
        recipe: what to look at.
        outlook: of the round that is about to be proposed.
        gate: the gate's verdict before that round.
        events: the ledger, with the outlook of earlier rounds.
        objective: for the unit.
    """
    if recipe.cost is None and recipe.sure is None:
        return None
    views = [(outlook, gate)]
    for event in reversed(events):
        if event.kind == "proposed" and "outlook" in event.payload:
            views.append((event.payload["outlook"], event.payload["gate"]))
    views = views[: recipe.rounds]
    if len(views) < recipe.rounds:
        return None
    if any(verdict["outcome"] == "overconfident" for _, verdict in views):
        return None
    gains = [view["expected_improvement"] for view, _ in views]
    if recipe.cost is not None and max(gains) < recipe.cost:
        unit = get(objective.headline).unit
        return (
            f"cost: no candidate promises more than {gains[0]:.3g} {unit}, less than "
            f"an evaluation is worth (stopping.cost {recipe.cost:g})"
        )
    chances = [view["probability_best_found"] for view, _ in views]
    if recipe.sure is not None and min(chances) > recipe.sure:
        return (
            f"sure: nothing better is left with probability {chances[0]:.1%} "
            f"(stopping.sure {recipe.sure:g})"
        )
    return None
