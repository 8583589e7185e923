"""ASE's SQLite database, read directly: no code from the file, no temporary file."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from matdisco.crystal import Label
from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.json_structures import from_atoms
from matdisco.data.readers.labels import results

_WANTED = ("id", "unique_id", "calculator", "energy", "forces", "magmom", "numbers",
           "positions", "cell", "pbc", "key_value_pairs", "charge")  # fmt: skip


def sniff(_: str, data: bytes) -> bool:
    """SQLite's signature; the tables are looked at when reading."""
    return data.startswith(b"SQLite format 3\0")


def read(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield one entry per row of the ``systems`` table."""
    connection = sqlite3.connect(":memory:")
    try:
        try:
            connection.deserialize(blob.data)
            connection.execute("PRAGMA trusted_schema=OFF")
            end = time.monotonic() + options.limits.seconds
            connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
            kind = connection.execute(
                "SELECT type FROM sqlite_master WHERE name='systems'"
            ).fetchone()
            if kind != ("table",):
                raise Unreadable(
                    "unsupported",
                    "an SQLite file, but no ASE database (no table systems)",
                )
            have = {r[1] for r in connection.execute("PRAGMA table_info(systems)")}
            columns = [c for c in _WANTED if c in have]
            if not {"numbers", "positions", "cell"} <= set(columns):
                raise Unreadable("unsupported", "the table systems is not ASE's")
            query = f"SELECT {', '.join(columns)} FROM systems ORDER BY id"
            for values in connection.execute(query):
                row = dict(zip(columns, values, strict=True))
                connection.set_progress_handler(None, 0)
                yield _entry(row, options)
        except sqlite3.Error as error:
            raise Unreadable("unreadable", f"damaged SQLite file: {error}") from error
    finally:
        connection.close()


def _array(value: Any, dtype: str) -> np.ndarray | None:
    if isinstance(value, str):
        value = json.loads(value)
    if value is None:
        return None
    if isinstance(value, bytes):
        if len(value) % np.dtype(dtype).itemsize:
            raise Unreadable("truncated", "an array of the row is cut off")
        return np.frombuffer(value, dtype)
    return np.array(value, dtype)


def _entry(row: Mapping[str, Any], options: Options) -> Entry:
    try:
        numbers = _array(row["numbers"], "<i4")
        positions, cell = _array(row["positions"], "<f8"), _array(row["cell"], "<f8")
        if numbers is None or positions is None or cell is None or cell.size != 9:
            raise Unreadable("unreadable", "numbers, positions or cell are missing")
        if positions.size != 3 * len(numbers):
            raise Unreadable("count-mismatch", "numbers and positions differ in length")
        flags = int(row.get("pbc") or 0)
        made, findings = from_atoms(
            [int(z) for z in numbers],
            positions.reshape(-1, 3),
            cell.reshape(3, 3),
            [bool(flags & 2**i) for i in range(3)],
            options.limits.sites,
        )
        pairs = json.loads(row.get("key_value_pairs") or "{}")
    except Unreadable as error:
        return Entry(findings=(Finding(error.rule, "reject", str(error)),))
    except (ValueError, TypeError) as error:
        return Entry(
            findings=(Finding("unreadable", "reject", f"damaged row: {error}"),)
        )
    method = {"code": str(row.get("calculator") or "")}
    forces = _array(row.get("forces"), "<f8")
    data = {**row, "forces": None if forces is None else forces.reshape(-1, 3)}
    labels, fields = labels_of(data, pairs, method, len(made))
    name = str(row.get("unique_id") or row.get("id") or "")
    return Entry(made, labels, method, name, findings, fields)


def labels_of(
    row: Mapping[str, Any], pairs: Mapping[str, Any], method: Mapping[str, Any], n: int
) -> tuple[dict[str, Label], dict[str, Any]]:
    """Labels and other fields of a row; ASE's own units are eV, Å and μB."""
    energy, moment, forces = row.get("energy"), row.get("magmom"), row.get("forces")
    labels = results(
        method,
        n,
        energy=float(energy) if isinstance(energy, (int, float)) else None,
        forces=np.asarray(forces, float)
        if isinstance(forces, (list, np.ndarray))
        else None,
        moment=float(moment) if isinstance(moment, (int, float)) else None,
    )
    return labels, {str(k): v for k, v in pairs.items()}


FORMAT = Format("ase-sqlite", sniff, read)
