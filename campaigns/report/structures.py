"""The structures of a campaign or of one round, to be turned in a browser.

MLflow shows HTML in its pages but has no view of a CIF: this page stands in for one,
and holds each file as text. MLflow's frame allows scripts and nothing else, so that
files are downloaded by MLflow's own button there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from campaigns.objectives import HullObjective
from matdisco.drawing import Scene, crystal_svg, legend
from matdisco.properties import get

if TYPE_CHECKING:
    import pandas as pd

    from campaigns.campaign import Campaign
    from campaigns.state import State
    from matdisco.crystal import Crystal

FORMATION = "formation_energy_per_atom"
SHOWN = 40
"""Structures shown; each costs some 10 kB of page."""
UNASKED = {
    "mean": None,
    "std": None,
    "reason": "never proposed: a laboratory made it instead of what was",
}
"""What stands for the proposal of a structure that people found in their sample."""


def structure_page(campaign: Campaign, number: int | None = None) -> str | None:
    """Return a page of structures that fetches nothing, None where there are none.

    Args:
        campaign: open for reading.
        number: the round whose proposals are shown, in the order in which they were
            chosen; what the campaign found when None.
    """
    from campaigns.report import style_and_script, template

    state, proposals = campaign.state, campaign.proposals()
    hull = isinstance(state.objective, HullObjective)
    level, prop = None, get(state.objective.target)
    rows: list[dict[str, Any]] = []
    if proposals.empty:
        return None
    if number is not None:
        rows = of_round(state, proposals, number)
    else:
        ready = len(state.answered) > 0 and (not hull or state.hull is not None)
        rows = found(state, proposals) if ready else rows
        prop = get(state.objective.headline)
        level = get(FORMATION) if hull else None
    if not rows:
        return None
    return template("structures.html.j2").render(
        name=campaign.config.name,
        number=number,
        structures=rows,
        more=number is not None and len(rows) == SHOWN,
        prop=prop,
        level=level,
        **style_and_script(),
    )


def found(state: State, proposals: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the compounds worth a look: stable ones first, then nearly stable."""
    table = state.to_frame()
    key = state.objective.headline
    level = FORMATION if FORMATION in table else state.objective.target
    hull = isinstance(state.objective, HullObjective)
    if isinstance(state.objective, HullObjective):
        mixed = [len(_candidate(state, c).elements) > 1 for c in table["candidate"]]
        table = table[
            np.array(mixed, dtype=bool) & (table[key] <= state.objective.near)
        ]
    expected = {row["candidate"]: row for row in proposals.to_dict("records")}
    stable = {state.pool[int(i)].id for i in state.found}
    out = []
    shown = table.head(SHOWN)
    for name, value, height, number in zip(
        shown["candidate"], shown[key], shown[level], shown["round"], strict=True
    ):
        tag = ("stable", "yes") if name in stable else ("nearly", "maybe")
        if state.front is not None:
            tag = ("front", "yes") if name in stable else ("behind", "maybe")
        out.append(
            _drawn(state, name, expected.get(name, UNASKED))
            | {
                "tag": tag if hull or state.front is not None else None,
                "value": float(value),
                "level": float(height),
                "round": int(number),
            }
        )
    return out


def of_round(
    state: State, proposals: pd.DataFrame, number: int
) -> list[dict[str, Any]]:
    """Return the structures that one round proposed, as evaluated where they were."""
    out = []
    for _, row in proposals[proposals["round"] == number].head(SHOWN).iterrows():
        kind = {"answered": "yes", "waiting": "maybe", "vetoed": "maybe"}
        out.append(
            _drawn(state, row["candidate"], row)
            | {
                "tag": (row["status"], kind.get(row["status"], "no")),
                "value": _number(row.get(state.objective.target)),
                "level": None,
                "round": number,
            }
        )
    return out


def _drawn(state: State, name: str, expected: Any) -> dict[str, Any]:
    """Return what the viewer shows of one crystal; ``expected`` is its proposal."""
    proposed = _candidate(state, name)
    answer = state.evaluations.get(name)
    crystal = (answer.relaxed if answer else None) or state.structure(name)
    return {
        "id": name,
        "formula": crystal.formula,
        "type": _structure_type(proposed),
        "mean": _number(expected["mean"]),
        "std": _number(expected["std"]),
        "reason": expected["reason"],
        "cell": _cell(crystal),
        "cif": crystal.to_cif(),
        "svg": Markup(crystal_svg(crystal, 84, state.elements)),
        "legend": Markup(legend(crystal, state.elements)),
        "scene": Scene.of(crystal, state.elements).to_dict(),
    }


def _candidate(state: State, name: str) -> Crystal:
    return state.pool[state.position[name]]


def _structure_type(crystal: Crystal) -> str:
    source = crystal.source
    parts = [source.get("strukturbericht"), source.get("mineral")]
    known = ", ".join(str(p) for p in parts if p and str(p) != "None")
    label = str(source.get("prototype", ""))
    return f"{known} ({label})" if known and label else known or label


def _cell(crystal: Crystal) -> str:
    lattice = crystal.structure.lattice
    edges = ", ".join(f"{v:.3f}" for v in lattice.abc)
    angles = ", ".join(f"{v:.1f}" for v in lattice.angles)
    return f"{edges} Å; {angles}°; {lattice.volume / crystal.n_atoms:.2f} Å³/atom"


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
