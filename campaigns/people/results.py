"""What of a results file is taken: who is credited, what is known already."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from campaigns.people.measurements import Refusal, Row, parse
from matdisco.errors import DataError
from matdisco.recipe import digest, nearest

if TYPE_CHECKING:
    from campaigns.ledger import Event
    from campaigns.state import State
    from matdisco.crystal import Crystal
    from matdisco.evaluators.laboratory import LaboratoryRecipe

SAME = 1e-9
"""Relative difference below which two reported numbers are one number."""


def judge(
    item: Mapping[str, Any],
    state: State,
    told: Sequence[Event],
    recipe: LaboratoryRecipe,
) -> dict[str, Any]:
    """Read a results file against the campaign; return the ``told`` event's payload.

    Args:
        item: ``name``, ``text``, ``by``, ``reason``, ``replace`` and ``cifs`` (file
            name to text) of a results file.
        state: what the campaign knows.
        told: the ``told`` events so far.
        recipe: what is measured.

    Raises:
        DataError: the file as a whole cannot be read; nothing is taken.
    """
    rows, refused = parse(item["text"], recipe.returns, source=item["name"])
    known = _on_record(told)
    taken: list[dict[str, Any]] = []
    crystals: dict[str, Crystal] = {}
    for row in rows:
        try:
            credited, remark = _credit(row, item, state, crystals)
            harmless = _refuse_known(row, credited, known, replace=item["replace"])
        except DataError as error:
            refused.append(Refusal(row.line, str(error), _words(row)))
            continue
        if harmless:
            refused.append(Refusal(row.line, harmless, _words(row), True))
            continue
        taken.append({**row.to_dict(), "credited": credited, "remark": remark})
    return {
        "file": item["name"],
        "sha256": digest(item["text"]),
        "by": item["by"],
        "reason": item["reason"],
        "rows": taken,
        "refused": [r.to_dict() for r in sorted(refused, key=lambda r: r.line)],
        "crystals": [c.to_dict() for c in crystals.values()],
    }


def _credit(
    row: Row, item: Mapping[str, Any], state: State, crystals: dict[str, Crystal]
) -> tuple[str | None, str]:
    """Return the candidate a row is about, and a remark where it is not obvious."""
    if row.candidate not in state.position:
        raise DataError(
            f"no candidate {row.candidate!r} in the campaign"
            + nearest(row.candidate, tuple(state.proposed))
        )
    if not row.made or row.made == row.candidate:
        return row.candidate, ""
    if row.failure:
        raise DataError("has both a failure and what was made; give one of them")
    if row.made in state.position:
        return row.made, f"made {row.made} instead of {row.candidate}"
    asked = state.pool[state.position[row.candidate]]
    if row.made.lower().endswith(".cif"):
        return _credit_structure(row, item, state, asked, crystals)
    from pymatgen.core import Composition

    try:
        made = Composition(row.made).reduced_formula
    except (ValueError, KeyError) as error:
        raise DataError(
            f"made: {row.made!r} is neither a candidate id, a .cif file nor a formula"
        ) from error
    if made == asked.formula:
        return row.candidate, ""
    return None, (
        f"made {made} instead of {asked.formula}: kept on record, not learned from; "
        "give a CIF in the column made to learn from it"
    )


def _credit_structure(
    row: Row,
    item: Mapping[str, Any],
    state: State,
    asked: Crystal,
    crystals: dict[str, Crystal],
) -> tuple[str, str]:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    from matdisco.crystal import Crystal

    if row.made not in item["cifs"]:
        raise DataError(f"made: the file {row.made} is not beside {item['name']}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rounded coordinates and the like
            structure = Structure.from_str(item["cifs"][row.made], fmt="cif")
    except (ValueError, KeyError, IndexError) as error:
        raise DataError(f"made: {row.made} is not a readable CIF: {error}") from error
    name = row.made.rsplit("/", 1)[-1].removesuffix(".cif")
    made = Crystal(name, structure, source={"added": f"made instead of {asked.id}"})
    foreign = set(made.elements) - set(state.elements)
    if foreign or not structure.is_ordered:
        what = ", ".join(sorted(foreign)) or "disordered sites"
        raise DataError(f"made: {row.made} has {what}, which the campaign cannot use")
    # room-temperature cells and relaxed cells differ by a few per cent
    matcher = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5)
    for other in (asked, *(c for c in state.pool if c.formula == made.formula)):
        if other.formula == made.formula and matcher.fit(other.structure, structure):
            swapped = other.id != asked.id
            remark = f"{row.made} is {other.id}, not {asked.id}" if swapped else ""
            return other.id, remark
    if name in state.position or name in crystals:
        raise DataError(
            f"made: the pool has another candidate called {name}; rename the file"
        )
    crystals[name] = made
    return name, f"{row.made} is new; added to the candidates as {name}"


Known = dict[tuple[str | None, str, str, str], tuple[float | str, str]]


def _on_record(told: Sequence[Event]) -> Known:
    """Map (credited, batch, replicate, property or "failure") to (value, where)."""
    known: Known = {}
    for event in told:
        for row in event.payload["rows"]:
            where = f"{event.payload['file']}:{row['line']}"
            sample = (row["credited"], row["batch"], row["replicate"])
            for key, (value, _) in row["values"].items():
                known[*sample, key] = (value, where)
            if row["failure"]:
                known[*sample, "failure"] = (row["failure"], where)
    return known


def _refuse_known(
    row: Row, credited: str | None, known: Known, *, replace: bool
) -> str | None:
    """Return why a row brings nothing new, or None; refuse one that contradicts."""
    sample = (credited, row.batch, row.replicate)
    new = {k: v for k, (v, _) in row.values.items()}
    found = {k: known[*sample, k] for k in new if (*sample, k) in known}
    other = {
        k: (value, where)
        for k, (value, where) in found.items()
        if not math.isclose(float(value), new[k], rel_tol=SAME, abs_tol=SAME)
    }
    if other and not replace:
        key, (value, where) = next(iter(other.items()))
        raise DataError(
            f"{key} of {credited}, replicate {row.replicate}: {new[key]:g} here, "
            f"{value:g} in {where}; number it in the column replicate, or correct the "
            "record with --replace"
        )
    if found and len(found) == len(new) and not other:
        return f"already on record ({next(iter(found.values()))[1]})"
    if row.failure and (*sample, "failure") in known:
        return f"already on record ({known[*sample, 'failure'][1]})"
    return None


def _words(row: Row) -> str:
    values = " ".join(f"{k}={v:g}" for k, (v, _) in row.values.items())
    return f"{row.candidate} {values or row.failure}"
