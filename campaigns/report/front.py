"""What a report tells of a front, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from campaigns.fronts.views import about, events_about
from campaigns.fronts.words import reference
from campaigns.plots.surrogate import prediction_table
from matdisco.properties import Property, get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.fronts.front import Front

INSIDE = 1.6448536269514722
"""Half width of the central 90 % interval of a normal distribution, sigmas."""


def front_of(campaign: Campaign) -> dict[str, Any] | None:
    """Return members, reference point and errors by target; None without a front."""
    front = campaign.state.front
    if front is None or front.reference is None:
        return None
    objective = front.objective
    return {
        "properties": [get(k) for k in objective.labels],
        "wanted": [t.describe() for t in objective.ordered],
        "volume": front.volume if front.goals > 1 else None,
        "unit": objective.volume_unit,
        "reference": reference(front),
        "goals": front.goals,
        "useful": int(front.useful.sum()),
        "answered": len(front.values),
        "limited": any(t.limit is not None for t in objective.targets),
        "members": campaign.front().to_dict("records"),
        "errors": errors(campaign, front),
    }


def errors(campaign: Campaign, front: Front) -> list[dict[str, Any]]:
    """Return how wrong the predictions of every target were."""
    rows = []
    for target in front.objective.ordered:
        events = campaign.ledger.events("proposed")
        table = prediction_table(
            about(campaign.state, target), events_about(events, target.property)
        )
        prop: Property = get(target.property)
        rows.append(
            {
                "property": prop,
                "n": len(table),
                "mae": None if table.empty
                else float((table["truth"] - table["mean"]).abs().mean()),
                "inside": None if table.empty
                else float((table["z"].abs() < INSIDE).mean()),
            }
        )  # fmt: skip
    return rows


def front_cards(front: Front) -> list[tuple[str, str, str, str]]:
    """Return the headline numbers as (value, unit, what, remark)."""
    objective, count = front.objective, int(front.members.sum())
    useful = f"{int(front.useful.sum())} of {len(front.values)} answers inside limits"
    if front.goals == 1:
        prop = get(objective.label)
        value = f"{front.best:.4g}" if count else "–"
        what = f"best {prop.label.lower()} inside the limits"
        return [(value, prop.unit, what, useful)]
    limited = any(t.limit is not None for t in objective.targets)
    return [
        (str(count), "", "answers on the front", useful if limited else ""),
        (
            f"{front.volume:.4g}", objective.volume_unit, "hypervolume",
            f"beyond {reference(front)}",
        ),
    ]  # fmt: skip
