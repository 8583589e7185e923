r"""Crystals as the columns of an Arrow table, and back.

Columns follow the OPTIMADE structure properties, so that pandas, polars, DuckDB
and OPTIMADE tools read the file without matdisco:

=============================  ============================  =====================
column                         type                          unit or meaning
=============================  ============================  =====================
``id``                         string                        unique
``chemical_formula_reduced``   string or null                elements alphabetical
``elements``                   list of strings               alphabetical
``nelements``, ``nsites``      int32
``lattice_vectors``            list of 3 lists of 3 float64  Å, rows are vectors
``fractional_site_positions``  list of lists of 3 float64    cell fractions
``species_at_sites``           list of strings               names in ``species``
``species``                    JSON or null                  shared, charged sites
``source``                     JSON                          origin of the record
*label key*                    float64 or null               in the field metadata
*label key*\ ``_sigma`` ...     also ``_unit``, ``_method``   only where they vary
=============================  ============================  =====================
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, reduce
from typing import Any

import numpy as np
import pyarrow as pa
from pymatgen.core import DummySpecies, Element, Lattice, Species, Structure

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.data.packed import PackedCrystal, geometry, plain_counts
from matdisco.errors import DataError
from matdisco.recipe import canonical_json, digest

FORMAT = 1
"""Version of the layout; a reader refuses a newer one than it knows."""
KEY = b"matdisco"
"""Where name, card and hashes stand in the schema metadata."""
_CELL = "lattice_vectors"
_POSITIONS = "fractional_site_positions"
_COMPOSITION = "_matdisco_composition"
MANY = 50_000
"""Records from which a dataset is read as arrays: pymatgen's sites, a kilobyte each,
would take gigabytes, while making a structure anew for the few that are looked at
takes no time that matters."""
_BATCH = 5_000  # rows turned into Python objects at a time
_ODD_LABELS = "_labels"  # JSON: labels whose value is an int, which float64 would hide


def head(name: str, card: Mapping[str, Any], content_hash: str) -> dict[str, Any]:
    """Return what the schema metadata say under :data:`KEY`."""
    return {
        "format": FORMAT,
        "name": name,
        "card": card,
        "content_hash": content_hash,
        "card_hash": digest([name, card]),
    }


def to_table(dataset: Dataset) -> pa.Table:
    """Return one row per crystal, name, card and hashes in the schema metadata.

    Raises:
        DataError: a record or the card holds something that JSON cannot say.
    """
    try:
        about = head(dataset.name, dataset.card, dataset.content_hash)
        text = canonical_json(about).encode()
    except (TypeError, ValueError) as error:
        raise _not_stored(dataset, error) from error
    return columns(dataset).replace_schema_metadata({KEY: text})


def columns(dataset: Dataset) -> pa.Table:
    """Return one row per crystal, without name, card and hashes.

    Raises:
        DataError: a record holds something that JSON cannot say.
    """
    crystals = dataset.crystals
    try:
        labels, fields = _label_columns(dataset)
        sources = [canonical_json(dict(c.source)) for c in crystals]
    except (TypeError, ValueError) as error:
        raise _not_stored(dataset, error) from error
    species = [_species(c) for c in crystals]
    sizes = [c.n_atoms for c in crystals]
    shapes = [geometry(c) for c in crystals]
    elements = [c.elements for c in crystals]
    fixed: list[tuple[str, pa.Array]] = [
        ("id", _text(c.id for c in crystals)),
        ("chemical_formula_reduced", _text(_reduced(c) for c in crystals)),
        ("elements", pa.array(elements, pa.list_(pa.string()))),
        ("nelements", pa.array([len(e) for e in elements], pa.int32())),
        ("nsites", pa.array(sizes, pa.int32())),
        (_CELL, _vectors([g[0] for g in shapes])),
        (_POSITIONS, _vectors([g[2] for g in shapes])),
        ("species_at_sites", pa.array([s[0] for s in species], pa.list_(pa.string()))),
        ("species", _text(s[1] for s in species)),
        ("source", _text(sources)),
    ]
    schema = pa.schema([pa.field(name, array.type) for name, array in fixed] + fields)
    return pa.table([array for _, array in fixed] + labels, schema=schema)


def _not_stored(dataset: Dataset, error: Exception) -> DataError:
    why = _culprit(dataset) or error
    return DataError(f"dataset {dataset.name}: cannot be stored ({why})")


def _label_columns(dataset: Dataset) -> tuple[list[pa.Array], list[pa.Field]]:
    """Label values as columns; what is the same for all goes to field metadata."""
    arrays: list[pa.Array] = []
    fields: list[pa.Field] = []
    taken = set(_RESERVED)

    def add(name: str, array: pa.Array, **note: str) -> None:
        while not name or name in taken:
            name = f"label_{name}"
        taken.add(name)
        arrays.append(array)
        fields.append(
            pa.field(name, array.type, metadata={KEY: canonical_json(note).encode()})
        )

    for key in dataset.properties:
        labels = [_plain(c.labels.get(key)) for c in dataset.crystals]
        note = {"label": key}
        varying: dict[str, pa.Array] = {}
        for part in ("unit", "method"):
            values = [getattr(x, part) if x else None for x in labels]
            different = {v for v in values if v is not None}
            if len(different) == 1:
                note[part] = different.pop()
            elif different:
                varying[part] = _text(values)
        add(key, pa.array([x and x.value for x in labels], pa.float64()), **note)
        for part, array in varying.items():
            add(f"{key}_{part}", array, label=key, part=part)
        sigmas = [x.sigma if x else None for x in labels]
        if any(s is not None for s in sigmas):
            add(f"{key}_sigma", pa.array(sigmas, pa.float64()), label=key, part="sigma")
    odd = [
        {k: v.to_dict() for k, v in c.labels.items() if _plain(v) is None}
        for c in dataset.crystals
    ]
    if any(odd):
        rows = _text(canonical_json(o) if o else None for o in odd)
        arrays.append(rows)
        fields.append(pa.field(_ODD_LABELS, rows.type))
    return arrays, fields


_RESERVED = {
    "id", "chemical_formula_reduced", "elements", "nelements", "nsites", _CELL,
    _POSITIONS, "species_at_sites", "species", "source", _ODD_LABELS,
}  # fmt: skip


def _plain(label: Label | None) -> Label | None:
    """Return the label if float64 columns hold it exactly, else None."""
    if label is None or not isinstance(label.value, float):
        return None
    return label if label.sigma is None or isinstance(label.sigma, float) else None


def _species(crystal: Crystal) -> tuple[list[str], str | None]:
    """Return the species name of each site, and OPTIMADE's ``species`` as JSON.

    The JSON is None where every site holds one neutral element.
    """
    if isinstance(crystal, PackedCrystal):
        plain = [s for s in crystal.species if isinstance(s, str)]
        if len(plain) == crystal.n_atoms:
            return plain, None
    names: list[str] = []
    special: dict[str, dict[str, Any]] = {}
    for parts in (site.species for site in crystal.structure):
        only = next(iter(parts))
        if len(parts) == 1 and parts[only] == 1 and isinstance(only, Element):
            names.append(only.symbol)
            continue
        amounts = {str(k): float(v) for k, v in parts.items()}
        name = " ".join(f"{k}:{v!r}" for k, v in sorted(amounts.items()))
        names.append(name)
        special[name] = {
            "name": name,
            "chemical_symbols": [_symbol(k) for k in parts],
            "concentration": list(amounts.values()),
            _COMPOSITION: amounts,
        }
    return names, canonical_json(list(special.values())) if special else None


def _symbol(species: Element | Species | DummySpecies) -> str:
    return "X" if isinstance(species, DummySpecies) else str(species.symbol)


def _reduced(crystal: Crystal) -> str | None:
    """OPTIMADE's reduced formula; None where the amounts are not whole numbers."""
    amounts = plain_counts(crystal) or crystal.composition.get_el_amt_dict()
    whole = {k: round(v) for k, v in amounts.items()}
    if not whole or any(abs(amounts[k] - n) > 1e-8 or n < 1 for k, n in whole.items()):
        return None
    divisor = reduce(math.gcd, whole.values())
    return "".join(
        k + (str(n // divisor) if n > divisor else "") for k, n in sorted(whole.items())
    )


def _vectors(arrays: list[np.ndarray]) -> pa.Array:
    """Pack (n_i, 3) arrays as a list of lists of float64 without Python floats."""
    flat = np.concatenate([np.empty((0, 3)), *arrays])
    rows = pa.ListArray.from_arrays(
        np.arange(len(flat) + 1, dtype=np.int32) * 3, pa.array(flat.ravel())
    )
    ends = np.cumsum([0, *(len(a) for a in arrays)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), rows)


def _text(values: Iterable[str | None]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _culprit(dataset: Dataset) -> str | None:
    for crystal in dataset.crystals:
        try:
            canonical_json(crystal.to_dict()).encode()
        except (TypeError, ValueError) as error:
            return f"record {crystal.id!r}: {error}"
    return None


def atom_counts(table: pa.Table) -> Iterator[dict[str, int]]:
    """Yield atoms of each element, a shared site counted for every species on it.

    Args:
        table: the columns ``species_at_sites`` and ``species``.
    """
    sites, special = table["species_at_sites"], table["species"]
    for names, text in zip(sites.to_pylist(), special.to_pylist(), strict=True):
        shared = {s["name"]: s["chemical_symbols"] for s in json.loads(text or "[]")}
        yield dict(Counter(e for n in names for e in shared.get(n, (n,))))


def crystals(table: pa.Table) -> Iterator[Crystal]:
    """Yield the crystals of a table that :func:`write` made, unverified.

    From :data:`MANY` records on, those of plain elements are packed.
    """
    packed = len(table) >= MANY
    for batch in table.to_batches(max_chunksize=_BATCH):
        yield from _crystals(pa.Table.from_batches([batch]), packed)


def _crystals(table: pa.Table, packed: bool) -> Iterator[Crystal]:
    ids = table["id"].to_pylist()
    cells = _numbers(table[_CELL]).reshape(-1, 3, 3)
    positions = _numbers(table[_POSITIONS]).reshape(-1, 3)
    ends = np.concatenate([[0], np.cumsum(table["nsites"].to_numpy())])
    names = table["species_at_sites"].to_pylist()
    special = table["species"].to_pylist()
    sources = table["source"].to_pylist()
    labels = _labels(table)
    for i, name in enumerate(ids):
        at, source = positions[ends[i] : ends[i + 1]], json.loads(sources[i])
        if packed and special[i] is None:
            # own arrays: a view would keep those of the whole batch alive
            parts = {"cell": cells[i].copy(), "species": names[i],
                     "fractional": at.copy()}  # fmt: skip
            yield PackedCrystal(name, parts, labels(i), source)
            continue
        sites = _site_species(names[i], special[i])
        yield Crystal(name, Structure(Lattice(cells[i]), sites, at), labels(i), source)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    array = column.combine_chunks().flatten().flatten()
    return np.array(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _site_species(names: list[str], special: str | None) -> list[Any]:
    if special is None:
        return [_element(n) for n in names]
    mixed = {s["name"]: s[_COMPOSITION] for s in json.loads(special)}
    return [mixed[n] if n in mixed else _element(n) for n in names]


@cache
def _element(symbol: str) -> Element:
    return Element(symbol)


def _labels(table: pa.Table) -> Callable[[int], dict[str, Label]]:
    """Return a function that makes the labels of one row."""
    parts: dict[str, dict[str, list[Any]]] = {}
    notes: dict[str, dict[str, str]] = {}
    for field in table.schema:
        if field.name in _RESERVED or not field.metadata:
            continue
        note = json.loads(field.metadata[KEY])
        values = table[field.name].to_pylist()
        parts.setdefault(note["label"], {})[note.get("part", "value")] = values
        if "part" not in note:
            notes[note["label"]] = note
    columns = [
        (
            key,
            parts[key]["value"],
            parts[key].get("unit"),
            note.get("unit", ""),
            parts[key].get("method"),
            note.get("method", ""),
            parts[key].get("sigma"),
        )
        for key, note in notes.items()
    ]
    odd = table[_ODD_LABELS].to_pylist() if _ODD_LABELS in table.schema.names else None

    def labels(i: int) -> dict[str, Label]:
        out = {
            key: Label(
                values[i],
                units[i] if units else unit,
                methods[i] if methods else method,
                sigmas[i] if sigmas else None,
            )
            for key, values, units, unit, methods, method, sigmas in columns
            if values[i] is not None
        }
        if odd and odd[i]:
            out |= {k: Label(**v) for k, v in json.loads(odd[i]).items()}
        return out

    return labels
