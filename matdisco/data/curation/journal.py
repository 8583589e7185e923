"""Journal of checked files, so that an interrupted curation continues.

One JSON line per finished file, appended and flushed; a line cut short by a crash is
ignored. A line counts only for the same bytes (size and time stamp), the same rules
and the same version.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matdisco.crystal import Label
from matdisco.data.curation.entry import Entry
from matdisco.data.packed import PackedCrystal
from matdisco.data.readers.base import Finding

FORMAT = 1
"""Version of the lines; others are read again from the files."""


class Journal:
    """Entries by key, appended to one file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._places: dict[str, int] = {}
        end = 0
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    key = _key_of(line)
                    if key:
                        self._places[key] = end
                    end += len(line)
            os.truncate(self.path, end)  # half a line from a crash
        self._file = self.path.open("ab")

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, key: str, entries: str) -> None:
        """Append what one file gave: the JSON text of a list of :func:`to_dict`."""
        head = json.dumps({"key": key, "format": FORMAT})
        line = f'{head[:-1]}, "entries": {entries}}}'
        self._places[key] = self._file.tell()
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def get(self, key: str) -> list[Entry]:
        """Read the entries of one file back."""
        with self.path.open("rb") as file:
            file.seek(self._places[key])
            return [from_dict(e) for e in json.loads(file.readline())["entries"]]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def to_dict(entry: Entry) -> dict[str, Any]:
    """Return plain data for JSON; rejected structures are left out."""
    crystal = entry.crystal if entry.verdict != "reject" else None
    return {
        "id": entry.id,
        "crystal": crystal.to_dict() if crystal else None,
        "labels": {k: v.to_dict() for k, v in entry.labels.items()},
        "declared": dict(entry.declared),
        "path": entry.path,
        "member": entry.member,
        "record": entry.record,
        "format": entry.format,
        "byte_hash": entry.byte_hash,
        "findings": [[f.rule, f.severity, f.message] for f in entry.findings],
    }


def from_dict(data: Mapping[str, Any]) -> Entry:
    """Make an entry from what :func:`to_dict` wrote."""
    return Entry(
        **{
            **data,
            "crystal": PackedCrystal(**_crystal(data["crystal"]))
            if data["crystal"]
            else None,
            "labels": {k: Label(**v) for k, v in data["labels"].items()},
            "findings": tuple(Finding(*f) for f in data["findings"]),
        }
    )


def _crystal(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "labels": {k: Label(**v) for k, v in data["labels"].items()}}


def _key_of(line: bytes) -> str:
    """Return the key of a line without decoding all of it."""
    head = line[: line.find(b'"entries"')].rstrip(b", ") + b"}"
    try:
        found = json.loads(head)
    except ValueError:
        return ""
    return str(found["key"]) if found.get("format") == FORMAT else ""
