"""Merge records of one material; quarantine labels that contradict each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from matdisco.crystal import Crystal, Label
from matdisco.data.curation.entry import Entry
from matdisco.data.duplicates import group_duplicates
from matdisco.data.fingerprints import Level
from matdisco.data.packed import described, volume
from matdisco.data.readers.base import LIMITS
from matdisco.recipe import Recipe


class MergeRecipe(Recipe):
    """When two records are one, and which values the one keeps."""

    name: ClassVar[str] = "duplicate"
    enabled: bool = True
    """False keeps every record, for example of a molecular-dynamics run."""
    level: Level = "same"
    """``same`` merges one material described twice; ``similar`` (pymatgen's default
    tolerances) also merges distorted forms of one prototype."""
    volume_tolerance: float = 0.06
    """Largest relative difference in volume per atom inside one record: functionals
    differ by about 4 %, an equation of state by more."""
    frames_apart: bool = True
    """Frames of one trajectory file stay apart unless they are equal to the digit:
    they are configurations, each with its own energy and forces."""
    values: Literal["mean", "first", "recent"] = "mean"
    """Which value a merged record keeps where its members agree; ``recent`` needs
    dates. Under ``mean`` the spread goes into sigma."""
    prefer_methods: tuple[str, ...] = ()
    """Methods, best first: where a member has one of them, only its value counts."""
    relative_tolerance: float = 0.05
    """Two values agree within this share of the larger one ..."""
    absolute_tolerance: Mapping[str, float] = Field(
        default={
            "band_gap": 0.05,  # eV; k-point and smearing settings
            "formation_energy_per_atom": 0.02,  # eV/atom; between releases of one set
            "energy_above_hull": 0.02,  # eV/atom
            "energy_per_atom": 0.005,  # eV/atom; convergence settings
        }
    )
    """... or within this many units, per property."""
    of_one_geometry: tuple[str, ...] = ("max_force",)
    """Properties of exact positions, which the members of a group need not share:
    no contradiction, and the kept record's own value stays."""


def merge(
    entries: Sequence[Entry], recipe: MergeRecipe, *, workers: int = 1
) -> tuple[list[Entry], dict[str, str]]:
    """Merge the usable entries.

    Args:
        entries: with unique ids.
        recipe: tolerances and rules.
        workers: processes for the comparison.

    Returns:
        All entries, in order (a kept one carries the merged labels), and a map from
        the id of each merged entry to the id of the one that stands for it.
    """
    out = list(entries)
    merged: dict[str, str] = {}
    if not recipe.enabled:
        return out, merged
    for rows in _groups(out, recipe, workers):
        members = [out[i] for i in rows]
        bad = _conflicts(members, recipe)
        for member, row in zip(members, rows, strict=True):
            for text in bad.get(member.id, ()):
                out[row] = out[row].found("label-conflict", "quarantine", text)
        good = [i for i in rows if out[i].usable]
        if len(good) < 2:
            continue
        keeper = min(good, key=lambda i: _rank(out[i], i))
        for i in good:
            if i != keeper:
                merged[out[i].id] = out[keeper].id
                text = f"same structure as {out[keeper].id} ({out[keeper].where})"
                if out[i].crystal is None:
                    text = f"same material as {out[keeper].id} ({out[keeper].where})"
                out[i] = out[i].found("duplicate", "note", text)
        out[keeper] = _union(out[keeper], [out[i] for i in good], recipe)
    return out, merged


def _groups(
    entries: Sequence[Entry], recipe: MergeRecipe, workers: int
) -> list[list[int]]:
    """Return the groups of two and more: by structure, else by declared identity."""
    usable = [i for i, e in enumerate(entries) if e.usable]
    solid = [i for i in usable if entries[i].crystal is not None]
    crystals = [c for i in solid if (c := entries[i].crystal) is not None]
    marks = _trajectories([entries[i] for i in solid]) if recipe.frames_apart else None
    found = group_duplicates(crystals, recipe.level, workers=workers, apart=marks)
    groups = [[solid[k] for k in group] for group in found if len(group) > 1]
    groups = [part for group in groups for part in _alike(entries, group, recipe)]
    rows: dict[str, list[int]] = defaultdict(list)
    for i in usable:
        declared = entries[i].declared
        if any(f.rule == "ambiguous-structure" for f in entries[i].findings):
            continue  # formula and symmetry are known not to tell its material
        if entries[i].crystal is None and declared.get("material_id"):
            rows[f"id {declared['material_id']}"].append(i)
        elif entries[i].crystal is None and declared.get("formula"):
            group = declared.get("space_group", "")
            if not group:  # one formula is many materials and many samples
                group = sorted((k, v.value) for k, v in entries[i].labels.items())
            rows[f"{_normal(declared['formula'])} {group}"].append(i)
    return [g for g in [*groups, *rows.values()] if len(g) > 1]


def _rank(entry: Entry, i: int) -> tuple[bool, int, int]:
    """Order by how well an entry stands for its group: own structure, then labels."""
    attached = entry.crystal is not None and "attached_by" in entry.crystal.source
    return attached, -len(entry.labels), i


def _alike(
    entries: Sequence[Entry], group: Sequence[int], recipe: MergeRecipe
) -> list[list[int]]:
    """Split a group of one structure by volume."""
    parts: list[tuple[float, list[int]]] = []
    for i in group:
        crystal = entries[i].crystal
        assert crystal is not None, "groups by structure have structures"
        volume = _atomic_volume(crystal)
        for first, part in parts:
            if abs(volume / first - 1) <= recipe.volume_tolerance:
                part.append(i)
                break
        else:
            parts.append((volume, [i]))
    return [part for _, part in parts if len(part) > 1]


def _trajectories(entries: Sequence[Entry]) -> list[str | None]:
    """Return the trajectory that each entry is a frame of, or None."""
    from matdisco.data.readers.formats import FORMATS

    # extended XYZ is read as many records, and is mostly used for configurations
    frames = {f.name for f in FORMATS if f.trajectory} | {"xyz"}
    out: list[str | None] = []
    for entry in entries:
        own = entry.crystal.source.get("trajectory") if entry.crystal else None
        if entry.format in frames:
            own = f"{entry.path}!{entry.member or ''}"
        out.append(str(own) if own else None)
    return out


def _atomic_volume(crystal: Crystal) -> float:
    return volume(crystal) / crystal.n_atoms


def _conflicts(members: Sequence[Entry], recipe: MergeRecipe) -> dict[str, list[str]]:
    """Return, per entry id, sentences on labels that the others contradict."""
    out: dict[str, list[str]] = defaultdict(list)
    for key in dict.fromkeys(k for m in members for k in m.labels):
        if key.split("@")[0] in recipe.of_one_geometry:
            continue
        have = [m for m in _preferred(members, key, recipe) if key in m.labels]
        values = np.array([m.labels[key].value for m in have])
        bound = np.maximum(
            recipe.relative_tolerance * np.maximum.outer(abs(values), abs(values)),
            recipe.absolute_tolerance.get(key, 0.0),
        )
        agree = np.abs(np.subtract.outer(values, values)) <= bound
        votes = agree.sum(axis=1)
        # A value is trusted when more than half of all members agree with it.
        doubted = votes * 2 <= len(have)
        if agree.all() or not (len(have) > 1 and (doubted.any() or not agree.all())):
            continue
        if not doubted.any():  # a chain of small steps: doubt the extremes' owner
            doubted = votes == votes.min()
        evidence = ", ".join(f"{m.labels[key].value:g} ({m.id})" for m in have[:6]) + (
            " ..." if len(have) > 6 else ""
        )
        for member, bad in zip(have, doubted, strict=True):
            if bad:
                unit = member.labels[key].unit
                out[member.id].append(
                    f"{key} in {unit or 'no unit'} of one material: {evidence}"
                )
    return out


def _preferred(
    members: Sequence[Entry], key: str, recipe: MergeRecipe
) -> Sequence[Entry]:
    for method in recipe.prefer_methods:
        have = [
            m for m in members if key in m.labels and m.labels[key].method == method
        ]
        if have:
            return have
    return members


def _union(keeper: Entry, members: Sequence[Entry], recipe: MergeRecipe) -> Entry:
    labels = dict(keeper.labels)
    for key in dict.fromkeys(k for m in members for k in m.labels):
        if key.split("@")[0] in recipe.of_one_geometry:
            continue
        have = [m for m in _preferred(members, key, recipe) if key in m.labels]
        labels[key] = _one_value(key, have, recipe)
    limits: dict[str, object] = {}
    for member in reversed([keeper, *members]):  # the keeper's own stand
        limits |= member.declared.get(LIMITS, {})
    limits = {k: v for k, v in limits.items() if k not in labels}
    declared = {k: v for k, v in keeper.declared.items() if k != LIMITS}
    if limits:
        declared[LIMITS] = limits
    crystal = keeper.crystal
    if crystal is not None:
        others = [
            {"path": m.path, "member": m.member, "record": m.record,
             "byte_hash": m.byte_hash, "id": m.id}
            for m in members if m.id != keeper.id
        ]  # fmt: skip
        source = {**crystal.source, "merged": others}
        crystal = described(crystal, source=source)
    return replace(keeper, labels=labels, declared=declared, crystal=crystal)


def _one_value(key: str, have: Sequence[Entry], recipe: MergeRecipe) -> Label:
    first = have[0].labels[key]
    if recipe.values == "recent":
        return max(have, key=lambda m: str(m.declared.get("date", ""))).labels[key]
    values = [m.labels[key].value for m in have]
    if recipe.values == "first" or len(set(values)) == 1:
        return first
    methods = dict.fromkeys(m.labels[key].method for m in have if m.labels[key].method)
    spread = float(np.std(values, ddof=1))
    return Label(float(np.mean(values)), first.unit, "; ".join(methods), spread)


def _normal(formula: object) -> str:
    from matdisco.data.curation.formulas import parse

    composition = parse(str(formula))
    return composition.reduced_formula if composition else str(formula)
