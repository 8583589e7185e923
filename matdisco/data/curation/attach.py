"""Give table rows their structures: by material id, else by formula and space group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from matdisco.crystal import Crystal
from matdisco.data.curation.entry import Entry
from matdisco.data.curation.formulas import distance, parse, recased
from matdisco.data.fingerprints import same_structure, space_group
from matdisco.data.packed import described
from matdisco.data.readers.base import Severity
from matdisco.recipe import Recipe

_SYMPREC = 0.1  # Å; the Materials Project's, and loose enough for refined experiments


class AttachRecipe(Recipe):
    """How rows that only name a material find a structure."""

    name: ClassVar[str] = "attach"
    enabled: bool = True
    """Whether to look for structures among the other records at all."""
    formula_severity: Severity = "quarantine"
    """What a row means whose formula contradicts the structure of its material id."""
    recase: Literal["mend", "quarantine"] = "mend"
    """What to do with formulas that lost their capitals (``rbbr``)."""


def attach(entries: Sequence[Entry], recipe: AttachRecipe) -> list[Entry]:
    """Return the entries, rows with their structure where exactly one fits."""
    by_id: dict[str, Crystal] = {}
    by_formula: dict[str, list[Crystal]] = defaultdict(list)
    for entry in entries:
        if entry.crystal is None or not entry.usable:
            continue
        for name in (entry.id, entry.declared.get("material_id")):
            if name:
                by_id.setdefault(str(name), entry.crystal)
        by_formula[entry.crystal.formula].append(entry.crystal)
    out = []
    for one in entries:
        if one.crystal is None and one.verdict != "reject":
            row = repaired(one, recipe)
            out.append(_attached(row, by_id, by_formula, recipe))
        else:
            out.append(one)
    return out


def repaired(entry: Entry, recipe: AttachRecipe) -> Entry:
    """Return the row with the capitals of its formula restored."""
    text = str(entry.declared.get("formula", "") or "").strip()
    if not text or (text[0].isupper() and parse(text) is not None):
        return entry
    readings = recased(text)
    fewest = [r for r in readings if _n_symbols(r) == _n_symbols(readings[0])]
    if not readings:
        if parse(text) is not None:
            return entry
        return entry.found("formula", "quarantine", f"{text!r} is not a formula")
    if recipe.recase == "mend" and len(fewest) == 1:
        declared = {**entry.declared, "formula": fewest[0]}
        message = f"formula {text!r} read as {fewest[0]}"
        if len(readings) > 1:
            message += f" (also possible: {', '.join(readings[1:4])})"
        return replace(entry, declared=declared).found("formula", "mend", message)
    message = f"formula {text!r} can be {', '.join(readings[:4])}"
    return entry.found("formula", "quarantine", message)


def _attached(
    entry: Entry,
    by_id: dict[str, Crystal],
    by_formula: dict[str, list[Crystal]],
    recipe: AttachRecipe,
) -> Entry:
    if not recipe.enabled:
        return entry
    formula = parse(str(entry.declared.get("formula", "") or ""))
    crystal = by_id.get(str(entry.declared.get("material_id", "")))
    how = f"material id {entry.declared.get('material_id')}"
    if crystal is not None and formula is not None:
        if distance(formula, crystal.composition) > 0.03:  # occupancies: about 0.01
            message = (
                f"formula {entry.declared['formula']} contradicts {how}, which is "
                f"{crystal.formula}"
            )
            return entry.found("formula-id", recipe.formula_severity, message)
    elif crystal is None and formula is not None:
        number = entry.declared.get("space_group")
        fitting = by_formula.get(formula.reduced_formula, [])
        if number:
            fitting = [
                c for c in fitting if space_group(c.structure, _SYMPREC) == int(number)
            ]
        others = [c for c in fitting[1:] if not same_structure(fitting[0], c)]
        how = f"formula {formula.reduced_formula}" + (
            f" and space group {number}" if number else ""
        )
        if others:
            return entry.found(
                "ambiguous-structure",
                "note",
                f"{fitting[0].id}, {others[0].id} and perhaps more have {how}",
            )
        crystal = fitting[0] if fitting else None
    if crystal is None:
        return entry
    source = {**crystal.source, "attached_by": how}
    own = described(crystal, name=entry.id, labels=entry.labels, source=source)
    return entry.with_crystal(own)


def _n_symbols(formula: str) -> int:
    return sum(1 for c in formula if c.isupper())
