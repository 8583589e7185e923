"""What MLflow shows of a campaign, as plain data: params, tags, metrics, notes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from campaigns.costs import accuracy, costs_of
from campaigns.fronts.recipe import FrontObjective
from campaigns.ladder.recipe import SCREENING
from campaigns.ledger import VOLATILE, Event
from campaigns.objectives import HullObjective
from campaigns.tracking.front import front_prediction, front_search
from campaigns.tracking.names import named as named
from campaigns.tracking.names import unit_name as unit_name
from campaigns.tracking.notes import campaign_note, round_note, where_it_stands
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.comparison import Comparison
    from campaigns.config import CampaignConfig

LONGEST_PARAM = 500
"""Characters of a param's value; older tracking servers refuse more. The whole
configuration is the artifact ``config.yaml``."""
LONGEST_TAG = 4000


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric."""

    key: str
    """Metric name, ``group/name_unit``."""
    value: float
    """The value; never NaN."""
    step: int
    """The round."""
    milliseconds: int
    """When the round was closed, since 1970: the same however often it is logged."""


def params(config: CampaignConfig) -> dict[str, str]:
    """Return the configuration as flat ``a.b.c`` names and texts."""
    tree = config.model_dump(mode="json", exclude={"description", "tracking"})
    return {
        key: text if len(text) <= LONGEST_PARAM else text[: LONGEST_PARAM - 1] + "…"
        for key, text in _flat(tree)
    }


def params_of_surrogate(config: CampaignConfig) -> dict[str, str]:
    """Return the surrogate's block as flat params."""
    stem = "surrogate."
    found = {k: v for k, v in params(config).items() if k.startswith(stem)}
    return {k.removeprefix(stem): v for k, v in found.items()}


def campaign_tags(campaign: Campaign, *, alive: bool) -> dict[str, str]:
    """Return what the campaign's run can be searched by."""
    started = campaign.ledger.events("started")[0].payload[VOLATILE]
    count, head = campaign.ledger.head()
    tags = {
        "matdisco.kind": "campaign",
        "matdisco.run_id": campaign.run_id,
        "matdisco.name": campaign.config.name,
        "matdisco.state": where_it_stands(campaign, alive=alive),
        "matdisco.folder": str(campaign.folder.resolve()),
        "matdisco.config": campaign.config.digest(),
        "matdisco.ledger.head": head,
        "matdisco.ledger.events": str(count),
        "matdisco.objective": campaign.config.objective.headline,
        "matdisco.evaluator": campaign.config.evaluator.kind,
        "matdisco.surrogate": campaign.config.surrogate.kind,
        "matdisco.acquisition": campaign.config.acquisition.kind,
        "matdisco.seed": str(campaign.config.seed),
        "mlflow.user": str(started.get("user", "matdisco")),
        "mlflow.source.name": "matdisco run",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": campaign_note(campaign, alive=alive),
        "host": str(started["host"]),
        "python": str(started["python"]),
    }
    for event in campaign.ledger.events("pool"):
        tags["matdisco.pool.content"] = event.payload["content"]
        tags["matdisco.pool.candidates"] = str(event.payload["candidates"])
        tags["matdisco.elements"] = "-".join(campaign.pool.elements)
    if started["git_commit"]:
        tags["mlflow.source.git.commit"] = started["git_commit"]
    tags |= {f"version.{name}": v for name, v in started["versions"].items()}
    tags |= {str(k): str(v) for k, v in campaign.config.tracking.tags.items()}
    return {k: v[:LONGEST_TAG] for k, v in tags.items()}


def points(campaign: Campaign, comparison: Comparison | None) -> list[Point]:
    """Return every metric of every closed round."""
    proposed = {e.round: e for e in campaign.ledger.events("proposed")}
    out = []
    for event in campaign.ledger.events("closed"):
        time = milliseconds(event.time)
        values = {
            **_search(campaign, event),
            **_prediction(campaign, event, proposed[event.round]),
            **_seconds(event, proposed[event.round]),
            **_cost(campaign, event),
            **_predicted_cost(campaign, proposed[event.round]),
        }
        if comparison is not None:
            n = event.payload["evaluated"]
            total = len(comparison.targets)
            values["search/share_of_truth_found"] = comparison.found[n] / total
            values["search/share_random_would_find"] = comparison.expected[n] / total
        out += [
            Point(key, float(value), event.round, time)
            for key, value in values.items()
            if value is not None and math.isfinite(value)
        ]
    return out


def round_tags(campaign: Campaign, event: Event, parent: str) -> dict[str, str]:
    """Return the tags of a closed round's nested run."""
    return {
        "matdisco.kind": "round",
        "matdisco.run_id": campaign.run_id,
        "matdisco.round": str(event.round),
        "matdisco.ledger.head": event.hash,
        "mlflow.parentRunId": parent,
        "mlflow.runName": f"round {event.round:02d}",
        "mlflow.note.content": round_note(campaign, event)[:LONGEST_TAG],
    }


def milliseconds(time: str) -> int:
    """Return an event's time as milliseconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _search(campaign: Campaign, closed: Event) -> dict[str, float | None]:
    values: dict[str, float | None] = {
        "search/evaluated": closed.payload["evaluated"],
        "search/failed": closed.payload["failed"],
    }
    objective = campaign.config.objective
    if isinstance(objective, FrontObjective):
        values |= front_search(objective, closed)
    elif isinstance(objective, HullObjective):
        values["search/stable_compounds"] = len(closed.payload["found"])
    else:
        prop = get(campaign.config.objective.headline)
        values[named("search/best", prop.key, prop.unit)] = closed.payload["best"]
    return values


def _prediction(
    campaign: Campaign, closed: Event, proposed: Event
) -> dict[str, float | None]:
    prop = get(campaign.config.objective.target)
    error: Mapping[str, float] = closed.payload["error"] or {}
    names = {
        "mae": named("prediction/mean_absolute_error", "", prop.unit),
        "bias": named("prediction/bias", "", prop.unit),
        "coverage_90": "prediction/coverage_of_90_percent_interval",
        "rms_z": "prediction/rms_of_error_over_sigma",
    }
    values: dict[str, float | None] = {
        names.get(k, f"prediction/{k}"): v for k, v in error.items()
    }
    surrogate: Mapping[str, Any] = proposed.payload.get("surrogate") or {}
    values["surrogate/sigma_scale"] = surrogate.get("scale")
    values["surrogate/training_records"] = surrogate.get("n_train")
    for key, value in (surrogate.get("metrics") or {}).items():
        values[score("surrogate/held_out_", key, prop.unit)] = value
    if gate := proposed.payload.get("gate"):
        values["gate/p"] = gate["p"]
        values["gate/widened"] = gate["widened"]
    objective, ahead = campaign.config.objective, proposed.payload.get("outlook")
    if isinstance(objective, FrontObjective):
        values |= front_prediction(objective, closed, proposed)
    elif ahead:
        unit = get(campaign.config.objective.headline).unit
        values[named("outlook/expected_improvement", "", unit)] = ahead[
            "expected_improvement"
        ]
        values["outlook/probability_best_found"] = ahead["probability_best_found"]
        hull = isinstance(campaign.config.objective, HullObjective)
        what = ("stable_compounds_in_pool", "") if hull else ("best_in_pool", unit)
        for end in ("low", "high"):
            name = named(f"outlook/{what[0]}_{end}_of_90_percent", "", what[1])
            values[name] = ahead.get(f"whole_{end}")
    stds = [p["std"] for p in proposed.payload["proposals"] if p["std"] is not None]
    if stds:
        name = named("prediction/mean_sigma", "", prop.unit)
        values[name] = float(np.mean(stds))
    return values


def _seconds(closed: Event, proposed: Event) -> dict[str, float | None]:
    seconds = (
        proposed.payload[VOLATILE]["seconds"] | closed.payload[VOLATILE]["seconds"]
    )
    names = {"evaluate": "evaluate_all_workers", "wall": "evaluate_wall"}
    return {f"seconds/{names.get(k, k)}": v for k, v in seconds.items()}


def _cost(campaign: Campaign, closed: Event) -> dict[str, float | None]:
    """Return what was spent until then, and what the ladder had confirmed."""
    config = campaign.config
    prices = {SCREENING: config.execution.price_per_core_hour}
    for rung in config.ladder:
        execution = rung.execution or config.execution
        prices[rung.name] = execution.price_per_core_hour
    spent = closed.payload[VOLATILE].get("core_seconds", {})
    hours = {name: seconds / 3600 for name, seconds in spent.items()}
    values: dict[str, float | None] = {"cost/core_hours": sum(hours.values())}
    if any(prices.values()):
        money = sum(hours[name] * prices.get(name, 0.0) for name in hours)
        values[f"cost/money_{config.budget.currency}"] = money
    for name, found in closed.payload.get("confirmed", {}).items():
        values[f"cost/core_hours_{name}"] = hours.get(name, 0.0)
        values[f"{name}/evaluated"] = found["evaluated"]
        values[f"{name}/failed"] = found["failed"]
        values[f"{name}/found"] = len(found["found"])
    return values


def _predicted_cost(campaign: Campaign, proposed: Event) -> dict[str, float | None]:
    """Return what costs a round was proposed with, and how right they were."""
    found: dict[str, float | None] = {}
    for name, cost in costs_of(proposed.payload).items():
        end = f"_{name}" if name else ""
        found[f"cost/predicted_usual_core_seconds{end}"] = cost["core_seconds"]
        found[f"cost/predicted_exponent_of_atoms{end}"] = cost["exponent"]
    if found:
        found["cost/measured_over_predicted"] = accuracy(campaign.events, proposed)
    if "climbs" not in proposed.payload:
        return found
    for rung in campaign.config.ladder:
        climbs = proposed.payload["climbs"]
        asked = sum(c["fidelity"] == rung.name for c in climbs)
        found[f"{rung.name}/asked"] = asked
    return found


def score(stem: str, key: str, unit: str) -> str:
    """Return the name of one of :data:`surrogates.metrics.NAMES` with its unit.

    >>> score("test/", "mae", "eV/atom"), score("test/", "r2", "eV/atom")
    ('test/mae_eV_per_atom', 'test/r2')
    """
    from surrogates.metrics import IN_UNIT

    own = unit if key in IN_UNIT else "nats" if key == "nll" else ""
    return named(f"{stem}{key}", "", own)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{path}.{i}")
    elif isinstance(value, list):
        yield path, ", ".join(str(v) for v in value)
    else:
        yield path, "" if value is None else str(value)
