"""What MLflow says of a campaign and of a round in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.fronts.words import volume
from campaigns.objectives import HullObjective
from campaigns.stopping import FAILING
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.fronts.front import Front
    from campaigns.ledger import Event


def status(campaign: Campaign, *, alive: bool) -> str:
    """Return MLflow's word for where the campaign stands."""
    if campaign.finished:
        return "FAILED" if campaign.finished.startswith(FAILING) else "FINISHED"
    return "RUNNING" if alive else "KILLED"


def where_it_stands(campaign: Campaign, *, alive: bool) -> str:
    """Say the same to a person."""
    if campaign.finished:
        return f"finished: {campaign.finished}"
    if alive:
        return "running"
    return f"stopped; continue with: matdisco run {campaign.folder}"


def campaign_note(campaign: Campaign, *, alive: bool) -> str:
    """Describe the campaign in Markdown, for the top of its MLflow page."""
    config, state = campaign.config, campaign.state
    done = len(state.evaluations)
    lines = [
        f"**{config.name}**",
        config.description or "No description was given.",
        f"**State:** {where_it_stands(campaign, alive=alive)}. {done} of "
        f"{len(campaign.pool):,} candidates evaluated, {len(state.failed)} failed.",
    ]
    if state.front is not None and len(state.found):
        lines += ["**Front**", *_front(campaign, state.front)]
    elif len(state.found) and (state.hull is not None or not is_hull(campaign)):
        prop = get(state.objective.headline)
        table = state.to_frame().head(12)
        names = {state.pool[int(i)].id for i in state.found}
        lines.append(
            "**Stable compounds found**" if is_hull(campaign) else "**Best candidates**"
        )
        columns = ["formula", "candidate", prop.key, "round"]
        rows = [
            f"| {formula} | `{candidate}` | {value:.4f} | {number} |"
            for formula, candidate, value, number in table[columns].to_numpy()
            if not is_hull(campaign) or candidate in names
        ]
        head = f"| formula | candidate | {prop.axis} | round |\n|---|---|---|---|"
        lines.append("\n".join([head, *rows]))
    lines.append(
        "Open **Artifacts → report.html** for the whole story: structures, hull, "
        "calibration, failures, cost; **structures.html** to turn what was found (the "
        "CIF files are in the folder `structures`). Metrics are by round: `search/` is "
        "what was found, `prediction/` how good the surrogate was on candidates it had "
        "chosen, `seconds/` what it cost. Each round is a nested run, with the "
        "structures that it proposed."
    )
    return "\n\n".join(lines)


def _front(campaign: Campaign, front: Front) -> list[str]:
    """Return the members of the front as a Markdown table, with the hypervolume."""
    properties = [get(k) for k in front.objective.labels]
    heads = ["formula", "candidate", *(p.axis for p in properties), "round"]
    rows = [
        f"| {row['formula']} | `{row['candidate']}` | "
        + " | ".join(f"{row[p.key]:.4g}" for p in properties)
        + f" | {row['round']} |"
        for row in campaign.front().head(12).to_dict("records")
    ]
    table = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]
    lines = ["\n".join(table)]
    if front.goals > 1:
        lines.append(f"Hypervolume {volume(front)}.")
    return lines


def round_note(campaign: Campaign, event: Event) -> str:
    """Describe one round in Markdown."""
    proposed = campaign.ledger.events("proposed", round=event.round)[0].payload
    shown = ", ".join(p["formula"] for p in proposed["proposals"][:12])
    lines = [f"Round {event.round} of **{campaign.config.name}**."]
    if count := len(proposed["proposals"]):
        more = " …" if count > 12 else "."
        lines.append(f"{count} candidates were evaluated: {shown}{more}")
    if climbs := proposed.get("climbs"):
        named = ", ".join(f"{c['formula']} by {c['fidelity']}" for c in climbs)
        lines.append(f"{len(climbs)} were asked of the ladder: {named}.")
    errors = event.payload.get("errors") or {
        campaign.config.objective.target: event.payload["error"]
    }
    for key, error in errors.items():
        if error:
            of = f" of {get(key).label.lower()}" if len(errors) > 1 else ""
            lines.append(
                f"Predictions{of} made before were off by {error['mae']:.3f} "
                f"{get(key).unit} on average; {error['coverage_90']:.0%} of the "
                "answers lay inside the 90 % interval."
            )
    better = (
        "something better was found"
        if event.payload["improved"]
        else ("nothing better was found")
    )
    lines.append(f"After it {event.payload['evaluated']} are evaluated; {better}.")
    return "\n\n".join(lines)


def is_hull(campaign: Campaign) -> bool:
    """Whether the objective is a convex hull."""
    return isinstance(campaign.config.objective, HullObjective)
