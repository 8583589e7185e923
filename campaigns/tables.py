"""Tables of a campaign, made from its ledger: what :class:`Campaign` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from campaigns.folder import SCREENING
from campaigns.ledger import VOLATILE
from matdisco.crystal import Label
from matdisco.data.dataset import Dataset
from matdisco.properties import get
from matdisco.recipe import canonical_json

if TYPE_CHECKING:
    from campaigns.campaign import Campaign


def proposals(campaign: Campaign) -> pd.DataFrame:
    """Return every proposal: what was expected, why chosen, what came of it."""
    state = campaign.state
    answers = state.to_frame().set_index("candidate")
    target, headline = state.objective.target, state.objective.headline
    rows: list[dict[str, Any]] = []
    for event in campaign.ledger.events("proposed"):
        for proposal in event.payload["proposals"]:
            unknown = dict.fromkeys((target, headline, *state.objective.labels[1:]))
            row = {"round": event.round, **proposal, **unknown}
            for key, one in (row.pop("targets", None) or {}).items():
                row |= {f"{key}_{name}": value for name, value in one.items()}
            near = row.pop("neighbours", None) or []
            row["neighbours"] = ", ".join(
                f"{n['candidate']} ({n['distance']:.2f})" for n in near
            )
            name = proposal["candidate"]
            if name in answers.index:
                row["status"] = "answered"
                row[target] = answers.loc[name, target]
                row[headline] = answers.loc[name, headline]
                for key in state.objective.labels[1:]:
                    row[key] = answers.loc[name, key]
            elif name in state.vetoed:
                row["status"] = "vetoed"
            elif name in state.evaluations:
                failure = state.evaluations[name].failure
                row["status"] = str(failure.kind) if failure else "failed"
            else:
                row["status"] = "waiting"
            rows.append(row)
    return pd.DataFrame(rows)


def screening(campaign: Campaign) -> pd.DataFrame:
    """Return every finding of the screening, of the pool and of later rounds."""
    from matdisco.screening.screen import COLUMNS

    path = campaign.folder / SCREENING
    frames = []
    if path.exists():
        table = pd.read_csv(path)
        # What was bred stands in the ledger; the file only repeats it for readers.
        pool = table[table["round"] == 0] if "round" in table else table
        frames.append(pool.assign(round=0))
    for event in campaign.ledger.events("grown"):
        rows = pd.DataFrame(event.payload["findings"], columns=list(COLUMNS))
        rows["numbers"] = [canonical_json(n) for n in rows["numbers"]]
        frames.append(rows.assign(round=event.round))
    if not frames:
        return pd.DataFrame(columns=["round", *COLUMNS])
    return pd.concat(frames, ignore_index=True)[["round", *COLUMNS]]


def screened(campaign: Campaign) -> list[str]:
    """Say in a line each what screening did to the pool and to later rounds."""
    from matdisco.screening.screen import describe

    lines = []
    for event in campaign.ledger.events("pool", "grown"):
        summary = event.payload.get("screening")
        if summary is not None:
            where = "pool" if event.kind == "pool" else f"round {event.round}"
            lines.append(f"{where}: {describe(summary)}")
    return lines


def failures(campaign: Campaign) -> pd.DataFrame:
    """Return every failed evaluation, with kind and message."""
    own = campaign.state.failures_frame()
    if not campaign.config.ladder:
        return own
    frames = [own.assign(fidelity="screening")]
    for rung in campaign.config.ladder:
        frame = campaign.rung(rung.name).failures_frame()
        frames.append(frame.assign(fidelity=rung.name))
    return pd.concat([f for f in frames if len(f)] or frames[:1])


def rounds(campaign: Campaign) -> pd.DataFrame:
    """Return one row per closed round: counts, best, errors, seconds."""
    rows = []
    proposed = {e.round: e for e in campaign.ledger.events("proposed")}
    for event in campaign.ledger.events("closed"):
        begun = proposed[event.round]
        surrogate = begun.payload.get("surrogate") or {}
        rows.append(
            {
                "round": event.round,
                "evaluated": event.payload["evaluated"],
                "failed": event.payload["failed"],
                "best": event.payload["best"],
                "found": len(event.payload["found"]),
                "sigma_scale": surrogate.get("scale"),
                **(event.payload["error"] or {}),
                **_of_front(event.payload, begun.payload),
                **{
                    f"{k}_seconds": v
                    for k, v in (
                        begun.payload[VOLATILE]["seconds"]
                        | event.payload[VOLATILE]["seconds"]
                    ).items()
                },
            }
        )
    return pd.DataFrame(rows)


def rounds_shown(campaign: Campaign) -> pd.DataFrame:
    """Return the rounds for a person: a front's hypervolume is called so."""
    table, front = rounds(campaign), campaign.state.front
    if front is None:
        return table
    # every target's errors are in columns of their own
    doubled = ["bias", "coverage_90", "mae", "rms_z", "sigma_scale"]
    table = table.drop(columns=doubled, errors="ignore")
    names = {"best": "hypervolume", "found": "on_front"} if front.goals > 1 else {}
    return table.rename(columns=names)


def _of_front(closed: Mapping[str, Any], begun: Mapping[str, Any]) -> dict[str, Any]:
    """Return a round's columns that only a front has."""
    row = {k: closed[k] for k in ("gained", "useful") if k in closed}
    for key, error in closed.get("errors", {}).items():
        row |= {f"{key}_{name}": value for name, value in (error or {}).items()}
    for key, fitted in begun.get("surrogates", {}).items():
        row[f"{key}_sigma_scale"] = fitted["scale"]
    return row


def front(campaign: Campaign) -> pd.DataFrame:
    """Return the members of the front with every target's value; empty without one."""
    state = campaign.state
    if state.front is None or len(state.answered) == 0:
        return pd.DataFrame()
    table = state.to_frame()
    columns = ["candidate", "formula", "round", *state.objective.labels]
    return table.loc[table["on_front"], columns].reset_index(drop=True)


def found(campaign: Campaign) -> Dataset:
    """Return the stable compounds (or the best candidate) as relaxed crystals."""
    state = campaign.state
    value = dict(zip((int(i) for i in state.answered), state.headline, strict=True))
    key = state.objective.headline
    crystals = []
    for row in state.found:
        crystal = state.pool[int(row)]
        evaluation = state.evaluations[crystal.id]
        final = evaluation.relaxed or crystal
        labels = {
            **evaluation.labels,
            key: Label(float(value[int(row)]), get(key).unit, "this campaign"),
        }
        crystals.append(final.with_labels(labels))
    return Dataset(f"{campaign.config.name}-found", tuple(crystals))
