"""What a laboratory gets for a round: a table to fill in, CIFs, protocols."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.state import State
    from matdisco.evaluators.laboratory import LaboratoryRecipe

PROTOCOL = """# {candidate}: {formula}, round {round}

Why this one: {why}

Structure: {candidate_file}.cif

## Synthesis
precursors, masses, lot numbers:
furnace, atmosphere, temperature programme:
batch label:

## Check
phase found (XRD), purity; if it is not {formula} in the wanted structure, say what it
is in the column `made`:

## Measurement
{properties}
instrument, calibration, operator, date:
"""


def file_name(candidate: str) -> str:
    """Return ``candidate`` as a name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", candidate)


def write_orders(
    folder: Path,
    number: int,
    proposals: Sequence[Mapping[str, Any]],
    state: State,
    recipe: LaboratoryRecipe,
) -> Path:
    """Write ``laboratory/round-NNN/``; what is there already is left alone.

    Leaves ``proposals.csv`` (what and why), ``results.csv`` (a template for
    ``matdisco tell``), and for each candidate a CIF and a protocol.
    """
    from matdisco.data.fingerprints import space_group
    from matdisco.evaluators.results import write_atomically

    home = folder / "laboratory" / f"round-{number:03d}"
    if (home / "results.csv").exists():
        return home
    text = Path(recipe.protocol).read_text() if recipe.protocol else PROTOCOL
    listed = []
    for proposal in proposals:
        crystal = state.pool[state.position[proposal["candidate"]]]
        name = file_name(crystal.id)
        write_atomically(home / f"{name}.cif", crystal.to_cif())
        fields = {
            "candidate": crystal.id,
            "candidate_file": name,
            "formula": crystal.formula,
            "round": number,
            "why": proposal["why"],
            "properties": "\n".join(
                f"{get(k).label} ({get(k).unit}):" for k in recipe.returns
            ),
        }
        write_atomically(home / f"{name}.md", _filled(text, fields))
        cell = crystal.structure.lattice
        listed.append(
            {
                "candidate": crystal.id,
                "formula": crystal.formula,
                "n_atoms": crystal.n_atoms,
                **{f"{k} [Å]": round(getattr(cell, k), 4) for k in "abc"},
                "space_group": space_group(crystal.structure),
                "predicted": proposal["mean"],
                "sigma": proposal["std"],
                "why": proposal["why"],
                "cif": f"{name}.cif",
            }
        )
    write_atomically(home / "proposals.csv", _table(listed))
    write_atomically(home / "results.csv", _table(_template(proposals, recipe)))
    return home


def _template(
    proposals: Sequence[Mapping[str, Any]], recipe: LaboratoryRecipe
) -> list[dict[str, Any]]:
    numbers: dict[str, str] = {}
    for key in recipe.returns:
        unit = f" [{get(key).unit}]"
        numbers |= {f"{key}{unit}": "", f"{key} sigma{unit}": ""}
    return [
        {
            "candidate": p["candidate"],
            "replicate": replicate,
            "batch": "",
            **numbers,
            "made": "",
            "failure": "",
            "by": "",
            "date": "",
            "note": "",
        }
        for p in proposals
        for replicate in range(1, recipe.replicates + 1)
    ]


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _filled(text: str, fields: Mapping[str, Any]) -> str:
    """Replace ``{name}`` for known names only; other braces are the author's."""
    for name, value in fields.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text
