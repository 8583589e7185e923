"""What the report tells, gathered from a campaign as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from campaigns import plots
from campaigns.comparison import Comparison, compare, known_phases
from campaigns.fronts.recipe import FrontObjective
from campaigns.ledger import VOLATILE
from campaigns.objectives import HullObjective
from campaigns.plots.progress import posterior_band
from campaigns.plots.surrogate import predictions
from campaigns.report.front import front_cards, front_of
from campaigns.report.interactive import interactive, plotly_packed
from campaigns.report.methods import methods
from campaigns.report.structures import FORMATION, found
from matdisco.properties import get

if TYPE_CHECKING:
    import pandas as pd

    from campaigns.campaign import Campaign
    from campaigns.state import State

RANKED = 20
"""Rows of the final ranking."""
PHASES = {
    "learn": "learning",
    "predict": "predicting the pool",
    "acquire": "choosing",
    "evaluate": "evaluating (all workers)",
    "wall": "evaluating (waiting)",
    "close": "recording",
}
"""What a round's seconds went into, in order."""


def gather(campaign: Campaign) -> dict[str, Any]:
    """Return everything that the template shows."""
    state = campaign.state
    hull = isinstance(state.objective, HullObjective)
    ready = len(state.answered) > 0 and (not hull or state.hull is not None)
    comparison = compare(campaign) if ready else None
    proposals = campaign.proposals()
    drawn = interactive(campaign, comparison) if ready else {}
    shown = found(state, proposals) if ready else []
    return {
        "name": campaign.config.name,
        "description": campaign.config.description,
        "head": campaign.ledger.head()[1],
        "standing": standing(campaign),
        "hull": hull,
        "prop": get(state.objective.headline),
        "target": get(state.objective.target),
        "level": get(FORMATION),
        "near": getattr(state.objective, "near", None),
        "front": front_of(campaign) if ready else None,
        "cards": cards(campaign, state, comparison) if ready else [],
        "structures": shown,
        "interactive": drawn,
        "plotly": plotly_packed() if drawn or shown else "",
        "methods": methods(campaign),
        "reproduce": reproduce(campaign),
        "comparison": comparison,
        # drawn where it has the axis of the figure (plots.progress)
        "believed": bool(posterior_band(campaign)["n"]) and (hull or not comparison),
        "known": known_phases(campaign),
        "confirmed": confirmed(campaign),
        "spending": campaign.spending(),
        "figures": figures(campaign),
        "rounds": rounds(campaign),
        "warnings": campaign.warnings(),
        "proposals": plain(proposals),
        "failures": plain(campaign.failures()),
        "ranking": plain(campaign.ranking().head(RANKED)),
        "costs": costs(campaign),
        "asked": asked(campaign),
        "config": campaign.config.dump(),
        "provenance": provenance(campaign),
    }


def standing(campaign: Campaign) -> dict[str, Any]:
    """Return when and how far."""
    events = campaign.events
    state = campaign.state
    return {
        "begun": events[0].time,
        "last": events[-1].time,
        "finished": campaign.finished,
        "evaluated": len(state.evaluations),
        "failed": len(state.failed),
        "pool": len(state.pool),
        "rounds": sum(e.kind == "closed" for e in events),
        "interruptions": sum(e.kind in ("continued", "interrupted") for e in events),
    }


def cards(
    campaign: Campaign, state: State, comparison: Comparison | None
) -> list[tuple[str, str, str, str]]:
    """Return the headline numbers as (value, unit, what, remark)."""
    prop = get(state.objective.headline)
    out = []
    if isinstance(state.objective, HullObjective):
        count = len({state.pool[int(i)].formula for i in state.found})
        compound = state.x[state.answered].max(axis=1) < 1 - 1e-9
        near = int((compound & (state.headline <= state.objective.near)).sum())
        remark = f"and {near - len(state.found)} nearly stable structures"
        out.append((str(count), "", "stable compounds on the hull", remark))
    elif state.front is not None:
        out += front_cards(state.front)
    else:
        best = state.pool[int(state.found[0])].formula
        what = f"best {prop.label.lower()}"
        out.append((f"{state.best:.4g}", prop.unit, what, best))
    if comparison is not None:
        found, total = int(comparison.found[-1]), len(comparison.targets)
        n = comparison.evaluations
        chance = (
            f"random choice: {comparison.expected[n]:.1f} "
            f"({comparison.low[-1]:.0f} to {comparison.high[-1]:.0f})"
        )
        what = (
            "stable compounds of this pool found"
            if isinstance(state.objective, HullObjective)
            else "of the best 1 % found"
            if state.front is None
            else "of the pool's front found"
        )
        out.append((f"{found}", f"of {total}", what, chance))
        factor = comparison.acceleration()
        if factor is not None:
            remark = "fewer evaluations than random choice for as many finds"
            out.append((f"{factor:.1f}", "×", "acceleration", remark))
    spent = len(state.evaluations)
    share = f"{spent / len(state.pool):.0%} of {len(state.pool):,} candidates"
    out.append((str(spent), "", "evaluations", share))
    past = predictions(campaign)
    if len(past):
        error = float((past["truth"] - past["mean"]).abs().mean())
        inside = float((past["z"].abs() < 1.6448536269514722).mean())
        unit = get(state.objective.target).unit
        remark = f"{inside:.0%} of answers inside the 90 % interval"
        out.append((f"{error:.3f}", unit, "prediction error", remark))
    failed = len(state.failed)
    share = f"{failed / max(spent, 1):.0%} of those made"
    out.append((str(failed), "", "failed evaluations", share))
    return out


def figures(campaign: Campaign) -> dict[str, Markup]:
    """Return the plots as inline SVG."""
    drawn = {
        name: plots.to_svg(getattr(plots, name)(campaign), name) for name in plots.ALL
    }
    return {k: Markup(v) for k, v in drawn.items()}


def confirmed(campaign: Campaign) -> list[dict[str, Any]]:
    """Return each rung of the ladder with its agreement and its promotions."""
    table, sentences = campaign.confirmations(), campaign.agreement()
    return [
        {
            "name": rung.name,
            "sentence": sentence,
            "rows": plain(table[table["fidelity"] == rung.name]),
        }
        for rung, sentence in zip(campaign.config.ladder, sentences, strict=True)
    ]


def rounds(campaign: Campaign) -> list[dict[str, Any]]:
    """Return one row per closed round: what it brought, how good the surrogate was."""
    rows = []
    for row in plain(campaign.rounds()):
        proposed = campaign.ledger.events("proposed", round=row["round"])[0].payload
        surrogate = proposed.get("surrogate") or {}
        gate, ahead = proposed.get("gate") or {}, proposed.get("outlook") or {}
        rows.append(
            {
                **dict.fromkeys(("mae", "bias", "coverage_90", "rms_z")),
                **row,
                "batch": len(proposed["proposals"]),
                "n_train": surrogate.get("n_train"),
                "held_out": (surrogate.get("metrics") or {}).get("mae"),
                "gate": gate.get("outcome"),
                "sure": ahead.get("probability_best_found"),
                "gain": ahead.get("expected_hypervolume"),
                "gained": row.get("gained"),
            }
        )
    return rows


def costs(campaign: Campaign) -> dict[str, Any]:
    """Return seconds per phase and round, and in all."""
    table = []
    for row in plain(campaign.rounds()):
        spent = {k: row.get(f"{k}_seconds") or 0.0 for k in PHASES}
        table.append({"round": row["round"], **spent})
    totals = {k: sum(row[k] for row in table) for k in PHASES}
    return {"phases": PHASES, "rows": table, "totals": totals}


def asked(campaign: Campaign) -> list[tuple[str, str]]:
    """Return the question in a few lines a person can read."""
    config = campaign.config
    objective = config.objective
    wanted = (
        f"lowest energy above the convex hull of {'-'.join(campaign.pool.elements)}"
        if isinstance(objective, HullObjective)
        else objective.describe()
        if isinstance(objective, FrontObjective)
        else f"{objective.goal} {get(objective.property).axis}"
    )
    return [
        ("Wanted", wanted),
        ("Candidates", f"{len(campaign.pool):,} ({config.candidates.kind})"),
        *(("Screening", line) for line in campaign.screened()),
        ("Evaluator", _kind(config.evaluator)),
        ("Surrogate", _kind(config.surrogate)),
        ("Acquisition", _kind(config.acquisition)),
        ("Budget", f"{config.budget.evaluations} evaluations"),
        ("Seed", str(config.seed)),
    ]


def reproduce(campaign: Campaign) -> str:
    """Return the commands that make this campaign again and compare the two."""
    started = campaign.ledger.events("started")[0].payload[VOLATILE]
    name, versions = campaign.config.name, started["versions"]
    wanted = " ".join(f"{k}=={v}" for k, v in versions.items() if k != "matdisco")
    return (
        f"pip install {wanted}  # beside matdisco {versions.get('matdisco', '')}\n"
        f"matdisco run config.yaml --to runs/{name}-again\n"
        f"matdisco status runs/{name}-again --verify\n"
        f"matdisco compare runs/{name} runs/{name}-again\n"
    )


def provenance(campaign: Campaign) -> list[tuple[str, str]]:
    """Return where, with what and from what this was made."""
    started = campaign.ledger.events("started")[0].payload[VOLATILE]
    count, head = campaign.ledger.head()
    rows = [
        ("Run", campaign.run_id),
        ("Configuration", campaign.config.digest()),
        ("Pool", campaign.pool.content_hash),
        ("Ledger content", campaign.ledger.content_hash()),
        ("Ledger head", f"{head} (event {count})"),
        ("Host", f"{started['host']}, {started['platform']}"),
        ("Python", started["python"]),
        ("Git commit", started["git_commit"] or "none"),
    ]
    return rows + [(k, v) for k, v in started["versions"].items()]


def plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as rows with None where a value is missing."""
    return [
        {str(k): None if v != v else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]


def _kind(recipe: Any) -> str:
    """Return a block's kind with what else was set in it."""
    shown = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})
    rest = ", ".join(f"{k} {v}" for k, v in shown.items() if not isinstance(v, dict))
    return f"{recipe.kind.replace('_', ' ')}" + (f" ({rest})" if rest else "")
