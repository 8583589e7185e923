"""Croissant datasets: a card, and the files that it describes, read beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matdisco.data.readers.base import Entry, Finding

_LARGEST = 1 << 24  # bytes; a card is text about data, 16 MiB is far beyond any


def is_card(data: Mapping[str, Any]) -> bool:
    """Tell whether a JSON object is a Croissant card."""
    stated = str(data.get("conformsTo", "")) + str(data.get("@context", ""))
    return "distribution" in data and ("croissant" in stated.lower() or "sc:" in stated)


def load(path: Path) -> Mapping[str, Any] | None:
    """Return the card that a file holds; None where it holds something else."""
    try:
        if path.suffix.lower() not in (".json", ".jsonld"):
            return None
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, Mapping) and is_card(data) else None


def beside(path: Path, card: Mapping[str, Any]) -> list[Path]:
    """Return the files of a card that lie in its folder or below."""
    folder = path.parent.resolve()
    out = []
    for url in _files(card):
        file = (folder / url).resolve() if "://" not in url else folder
        if file.is_relative_to(folder) and file.is_file() and file != path.resolve():
            out.append(path.parent / url)
    return out


def stated(card: Mapping[str, Any]) -> dict[str, str]:
    """Return what a dataset's card says of this source: licence, citation, address."""
    licence = card.get("license")
    found = {
        "name": card.get("name"),
        "licence": "; ".join(map(_text, licence)) if isinstance(licence, list)
        else _text(licence),
        "citation": card.get("citeAs") or card.get("citation"),
        "url": card.get("url"),
    }  # fmt: skip
    return {k: str(v) for k, v in found.items() if v}


def entries(card: Mapping[str, Any], path: Path) -> Iterator[Entry]:
    """Yield one entry without atoms for the card itself.

    Args:
        card: its content.
        path: where it lies; files beside it are checked against its checksums.
    """
    here = {p.relative_to(path.parent).as_posix(): p for p in beside(path, card)}
    sums = _files(card)
    findings = [
        Finding("unsupported", "note", "a Croissant card; its files are read beside it")
    ]
    for url, wanted in sums.items():
        file = here.get(Path(url).as_posix())
        if file is None:
            text = (
                f"the card describes {url}, which is not beside it; download it there"
            )
            findings.append(Finding("no-structure", "reject", text))
        elif wanted:
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != wanted.lower():
                text = f"{url}: SHA-256 {found[:16]}, the card states {wanted[:16]}"
                findings.append(Finding("checksum", "reject", text))
    yield Entry(
        name=str(card.get("name", "")),
        fields={"croissant": True, "files": list(sums), **stated(card)},
        findings=tuple(findings),
    )


def _files(card: Mapping[str, Any]) -> dict[str, str]:
    """Return the address of each file with the SHA-256 that the card states."""
    listed = card.get("distribution")
    out = {}
    for one in listed if isinstance(listed, list) else [listed]:
        if isinstance(one, Mapping) and isinstance(one.get("contentUrl"), str):
            out[one["contentUrl"]] = str(one.get("sha256") or "")
    return out


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name") or value.get("url") or value.get("@id") or "")
    return str(value or "")
