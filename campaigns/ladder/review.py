"""What the fidelities of a campaign say of the same candidates, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campaigns.ladder.worth import is_pure
from campaigns.objectives import HullObjective
from campaigns.state import State

if TYPE_CHECKING:
    import pandas as pd

    from campaigns.campaign import Campaign
    from campaigns.ladder.recipe import RungRecipe

COLUMNS = (
    "fidelity", "candidate", "formula", "round", "status", "reason", "below", "value",
    "formation_below", "formation", "core_seconds",
)  # fmt: skip


def confirmations(campaign: Campaign) -> pd.DataFrame:
    """Return one row per promotion: what both fidelities say, each by its own hull.

    Columns ``value`` and ``below`` are the objective by the rung and by the fidelity
    below it; ``formation`` and ``formation_below`` are formation energies in eV/atom,
    each against references of its own fidelity (with a hull objective).
    """
    return _confirmed(campaign, rungs(campaign))


def _confirmed(
    campaign: Campaign, found: Sequence[tuple[RungRecipe, State, State]]
) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for rung, below, above in found:
        lower, upper = _values(below), _values(above)
        for event in campaign.ledger.events("promoted"):
            if event.payload["fidelity"] != rung.name:
                continue
            for proposal in event.payload["proposals"]:
                name = proposal["candidate"]
                evaluation = above.evaluations.get(name)
                rows.append(
                    {
                        "fidelity": rung.name,
                        "candidate": name,
                        "formula": proposal["formula"],
                        "round": event.round,
                        "status": _status(above, name),
                        "reason": proposal["reason"],
                        "below": lower.get(name, (np.nan, np.nan))[0],
                        "value": upper.get(name, (np.nan, np.nan))[0],
                        "formation_below": lower.get(name, (np.nan, np.nan))[1],
                        "formation": upper.get(name, (np.nan, np.nan))[1],
                        "core_seconds": evaluation.spent if evaluation else np.nan,
                    }
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def agreement(campaign: Campaign) -> list[str]:
    """Say in a sentence for each rung how far it agrees with the one below."""
    climbed = rungs(campaign)
    table = _confirmed(campaign, climbed)
    lines = []
    for rung, below, above in climbed:
        rows = table[table["fidelity"] == rung.name]
        hull = isinstance(above.objective, HullObjective)
        columns = ["formation_below", "formation"] if hull else ["below", "value"]
        both = rows[rows["status"] != "reference"][columns].to_numpy(dtype=float)
        both = both[np.isfinite(both).all(axis=1)]
        name = rung.name
        head = f"{name}: {len(above.answered)} answers, {len(above.failed)} failed"
        if len(both) == 0:
            lines.append(head)
            continue
        shift = both[:, 1] - both[:, 0]
        what = "formation energies, eV/atom" if hull else "values"
        text = (
            f"{head}; beside the fidelity below ({what}): mean difference "
            f"{shift.mean():+.3f}, mean absolute {np.abs(shift).mean():.3f}"
        )
        if len(both) > 2:
            from scipy.stats import spearmanr

            rank = float(spearmanr(both[:, 0], both[:, 1]).statistic)
            text += f", rank correlation {rank:.2f}"
        if hull and above.hull is not None:
            stable = {below.pool[int(i)].id for i in below.found}
            kept = {above.pool[int(i)].id for i in above.found}
            tried = stable & above.evaluations.keys()
            text += (
                f"; of {len(tried)} stable below that were tried, {len(tried & kept)} "
                "are stable here"
            )
        lines.append(text)
    return lines


def rungs(campaign: Campaign) -> list[tuple[RungRecipe, State, State]]:
    """Return each rung with what the fidelity below and itself know."""
    below, found = campaign.state, []
    for rung in campaign.config.ladder:
        above = campaign.rung(rung.name)
        found.append((rung, below, above))
        below = above
    return found


def _values(state: State) -> dict[str, tuple[float, float]]:
    """Return candidate -> (objective, formation energy), NaN where not known."""
    formation = (
        state.hull.formation
        if state.hull is not None
        else np.full(len(state.answered), np.nan)
    )
    return {
        state.pool[int(row)].id: (float(value), float(energy))
        for row, value, energy in zip(
            state.answered, state.headline, formation, strict=True
        )
    }


def _status(state: State, name: str) -> str:
    evaluation = state.evaluations.get(name)
    if evaluation is None:
        return "waiting"
    if evaluation.failure is not None:
        return str(evaluation.failure.kind)
    if not isinstance(state.objective, HullObjective):
        return "answered"
    if is_pure(state, state.position[name]):
        return "reference"
    if state.hull is None:
        return "no hull yet"
    stable = {state.pool[int(i)].id for i in state.found}
    return "stable" if name in stable else "not stable"
