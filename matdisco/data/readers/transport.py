"""Records as JSON lines between a reader and its guarded process (never pickle)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pymatgen.core import Element, Lattice, Structure

from matdisco.crystal import Crystal, Label
from matdisco.data.readers.base import Finding, Limits, Options, RawRecord
from matdisco.data.readers.columns import ColumnMap


def dump_record(record: RawRecord) -> dict[str, Any]:
    """Return plain data; floats keep all their digits."""
    crystal = record.crystal
    return {
        "crystal": None
        if crystal is None
        else {
            "id": crystal.id,
            "cell": crystal.structure.lattice.matrix.tolist(),
            "species": [_site(s.species) for s in crystal.structure],
            "positions": crystal.structure.frac_coords.tolist(),
            "labels": _labels(crystal.labels),
            "source": dict(crystal.source),
        },
        "path": record.path,
        "member": record.member,
        "record": record.record,
        "format": record.format,
        "byte_hash": record.byte_hash,
        "findings": [[f.rule, f.severity, f.message] for f in record.findings],
        "fields": dict(record.fields),
        "labels": _labels(record.labels),
    }


def load_record(data: Mapping[str, Any]) -> RawRecord:
    """Make the record that :func:`dump_record` wrote."""
    body = data["crystal"]
    crystal = None
    if body is not None:
        structure = Structure(Lattice(body["cell"]), body["species"], body["positions"])
        crystal = Crystal(
            body["id"], structure, _unlabels(body["labels"]), body["source"]
        )
    return RawRecord(
        crystal,
        data["path"],
        data["member"],
        data["record"],
        data["format"],
        data["byte_hash"],
        tuple(Finding(*f) for f in data["findings"]),
        data["fields"],
        _unlabels(data["labels"]),
    )


def dump_options(options: Options) -> dict[str, Any]:
    """Return plain data."""
    columns = options.columns
    return {
        "frames": options.frames,
        "columns": None if columns is None else columns.model_dump(mode="json"),
        "limits": asdict(options.limits),
    }


def load_options(data: Mapping[str, Any]) -> Options:
    """Make the options that :func:`dump_options` wrote."""
    columns = data["columns"]
    return Options(
        data["frames"],
        None if columns is None else ColumnMap.model_validate(columns),
        Limits(**data["limits"]),
    )


def line(message: Mapping[str, Any]) -> bytes:
    """Return one message as a line of ASCII."""
    return json.dumps(message).encode() + b"\n"


def _site(species: Any) -> Any:
    only = next(iter(species))
    if len(species) == 1 and species[only] == 1 and isinstance(only, Element):
        return only.symbol
    return {str(k): float(v) for k, v in species.items()}


def _labels(labels: Mapping[str, Label]) -> dict[str, Any]:
    return {k: v.to_dict() for k, v in labels.items()}


def _unlabels(labels: Mapping[str, Any]) -> dict[str, Label]:
    return {k: Label(**v) for k, v in labels.items()}
