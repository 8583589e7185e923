"""Curate: raw records in, a trusted dataset and a report on every record out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.curation.attach import attach
from matdisco.data.curation.entry import Entry
from matdisco.data.curation.harmonise import harmonise
from matdisco.data.curation.merge import merge
from matdisco.data.curation.methods import apart
from matdisco.data.curation.recipe import CurationRecipe, OutlierRecipe
from matdisco.data.curation.report import CurationReport, Line, Outcome
from matdisco.data.dataset import Dataset
from matdisco.data.outliers import residuals, structure_features, unit_slips
from matdisco.data.readers.base import RawRecord
from matdisco.data.workers import each, shared_workers

Named = TypeVar("Named", Entry, Crystal)

_EXTENSIVE = frozenset({"energy"})  # compared per atom


def curate(
    records: Iterable[RawRecord | Crystal | Entry],
    recipe: CurationRecipe | None = None,
    *,
    name: str = "curated",
    workers: int = 1,
) -> tuple[Dataset, CurationReport]:
    """Check, mend, attach, merge, and account for every record.

    Args:
        records: what readers yield, or crystals.
        recipe: rules and thresholds; all rules with their defaults if None.
        name: of the dataset.
        workers: processes for checks and comparisons.

    Returns:
        The dataset of kept records (its card says what was done) and the report, one
        line per input record.
    """
    recipe = recipe or CurationRecipe()
    entries = [as_entry(r, i) for i, r in enumerate(records)]
    with shared_workers():
        found = each(recipe.build(), entries, workers=workers, label="checking records")
        return settle(list(found), recipe, name=name, workers=workers)


def settle(
    entries: Sequence[Entry], recipe: CurationRecipe, *, name: str, workers: int = 1
) -> tuple[Dataset, CurationReport]:
    """Do what needs all records at once: methods, structures, duplicates, outliers."""
    entries = unique_names(entries)
    entries = harmonise(incomplete(entries))
    entries = attach(entries, recipe.attach)
    entries = apart(entries, recipe.methods)
    entries = outlying(entries, recipe.outliers)
    entries, merged = merge(entries, recipe.merge, workers=workers)
    lines = tuple(Line(e, *_fate(e, merged)) for e in entries)
    kept = tuple(
        line.entry.final_crystal(line.kept_as)
        for line in lines
        if line.outcome in ("kept", "mended")
    )
    report = CurationReport(lines)
    card = {
        "curation": {
            "recipe": recipe.model_dump(mode="json"),
            "recipe_digest": recipe.digest(),
            "records": len(report),
            "outcomes": report.outcomes,
            "rules": report.rules,
        }
    }
    return Dataset(name, kept, card), report


def as_entry(record: RawRecord | Crystal | Entry, number: int) -> Entry:
    """Wrap what can be curated."""
    if isinstance(record, Entry):
        return record
    if isinstance(record, Crystal):
        first: Mapping[str, Any] = next(iter(record.source.get("lineage", ())), {})
        return Entry.of(
            RawRecord(
                record,
                path=str(first.get("path") or ""),
                member=first.get("member"),
                record=int(first.get("record", number)),
                format="crystal",
                byte_hash=str(first.get("byte_hash") or ""),
            )
        )
    return Entry.of(record)


def unique_names(records: Sequence[Named]) -> list[Named]:
    """Give repeated ids a suffix ``~2``, ``~3``: datasets need unique ones."""
    seen: Counter[str] = Counter()
    taken = {r.id for r in records}
    out = []
    for record in records:
        seen[record.id] += 1
        number = seen[record.id]
        if number > 1:
            while (fresh := f"{record.id}~{number}") in taken:
                number += 1
            taken.add(fresh)
            record = replace(record, id=fresh)
        out.append(record)
    return out


def incomplete(entries: Sequence[Entry]) -> list[Entry]:
    """Note on each record which labels most records of its file have and it has not."""
    files: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        if entry.usable:
            files[entry.path, entry.member].append(i)
    out = list(entries)
    for rows in files.values():
        counts = Counter(key for i in rows for key in entries[i].labels)
        usual = [key for key, n in counts.items() if 2 * n > len(rows) > 1]
        for i in rows:
            missing = [key for key in usual if key not in entries[i].labels]
            if missing:
                text = f"no {', '.join(missing)}, unlike most records of the file"
                out[i] = out[i].found("missing-label", "note", text)
    return out


def outlying(entries: Sequence[Entry], recipe: OutlierRecipe) -> list[Entry]:
    """Compare each value with its chemistry; see :mod:`matdisco.data.outliers`."""
    from matdisco.data.curation.formulas import parse

    out = list(entries)
    if not recipe.enabled:
        return out
    compositions = {}
    for i, e in enumerate(out):
        if e.usable and e.labels:
            composition = (
                e.crystal.composition.remove_charges()
                if e.crystal
                else parse(str(e.declared.get("formula", "") or ""))
            )
            if composition is not None:
                compositions[i] = composition
    place: dict[int, int] = {}
    if recipe.expectation == "structure":
        solid = [(i, c) for i in compositions if (c := out[i].crystal) is not None]
        place = {i: n for n, (i, _) in enumerate(solid)}
        table = structure_features([c.structure for _, c in solid])
    for key in dict.fromkeys(k for i in compositions for k in out[i].labels):
        rows = [i for i in place or compositions if key in out[i].labels]
        values = np.array([out[i].labels[key].value for i in rows])
        if key in _EXTENSIVE:
            values = values / [compositions[i].num_atoms for i in rows]
        features = table[[place[i] for i in rows]] if place else None
        found = residuals([compositions[i] for i in rows], values, features=features)
        units = [out[i].labels[key].unit for i in rows]
        slips = unit_slips(found, units, sigmas=recipe.slip_sigmas)
        for i, residual, slip in zip(rows, found, slips, strict=True):
            if residual is None:
                continue
            label = out[i].labels[key]
            text = (
                f"{key} = {label.value:g} {label.unit}, about {residual.expected:.4g} "
                f"expected from its chemistry ({residual.sigmas:+.1f} sigma)"
            )
            if slip:
                out[i] = out[i].found(
                    "unit-slip", recipe.slip, f"{text}; looks like {slip}"
                )
            elif abs(residual.sigmas) > recipe.sigmas:
                out[i] = out[i].found("outlier", recipe.severity, text)
    return out


def _fate(entry: Entry, merged: dict[str, str]) -> tuple[Outcome, str]:
    verdict = entry.verdict
    if verdict == "reject":
        return "rejected", ""
    if verdict == "quarantine":
        return "quarantined", ""
    if entry.id in merged:
        return "merged", merged[entry.id]
    if entry.crystal is None:
        return "no-structure", ""
    return ("mended" if verdict == "mend" else "kept"), entry.id
