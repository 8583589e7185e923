"""What MLflow shows of a front: its hypervolume, and every target's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.tracking.names import named
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.fronts.recipe import FrontObjective
    from campaigns.ledger import Event

Values = dict[str, float | None]


def front_search(objective: FrontObjective, closed: Event) -> Values:
    """Return what a closed round had found."""
    payload, unit = closed.payload, objective.volume_unit
    values: Values = {"search/answers_inside_limits": payload["useful"]}
    if len(objective.goals) == 1:
        name = named("search/best_inside_limits", objective.label, unit)
        return values | {name: payload["best"]}
    values["search/front_members"] = len(payload["found"])
    values[named("search/hypervolume", "", unit)] = payload["best"]
    values[named("search/hypervolume_gained", "", unit)] = payload.get("gained")
    for key, value in (payload["reference"] or {}).items():
        values[named("search/reference", key, get(key).unit)] = value
    return values


def front_prediction(
    objective: FrontObjective, closed: Event, proposed: Event
) -> Values:
    """Return how good every target's surrogate was, and what the next one promises."""
    values: Values = {}
    for key, error in closed.payload["errors"].items():
        unit = get(key).unit
        if error:
            values[named(f"{key}/mean_absolute_error", "", unit)] = error["mae"]
            values[named(f"{key}/bias", "", unit)] = error["bias"]
            values[f"{key}/coverage_of_90_percent_interval"] = error["coverage_90"]
            values[f"{key}/rms_of_error_over_sigma"] = error["rms_z"]
    for key, fitted in proposed.payload.get("surrogates", {}).items():
        values[f"{key}/sigma_scale"] = fitted["scale"]
    for key, gate in proposed.payload.get("gates", {}).items():
        values[f"{key}/gate_p"] = gate["p"]
    if ahead := proposed.payload.get("outlook"):
        name = named("outlook/expected_gain", "", objective.volume_unit)
        values[name] = ahead["expected_hypervolume"]
    return values
