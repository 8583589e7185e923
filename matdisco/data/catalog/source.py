"""Where a public set comes from: what to download, and whether these are its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from matdisco.data.catalog.recipe import PublicSet
from matdisco.data.croissant import sha256


def instructions(key: str, public: PublicSet) -> str:
    """Say what to download and where to put it."""
    names = " or ".join(
        (", ".join(f.names) if f.all else f.names[0]) for f in public.files
    ) or ", ".join(t.names for t in public.tables)
    return (
        f"Download {names} from {public.url} into a folder, then run: "
        f"matdisco data get {key} --from FOLDER"
    )


class Stated(NamedTuple):
    """A file of a public set."""

    checksum: str
    """SHA-256 of its bytes."""
    said: dict[str, str]
    """What a card says about it."""


def stated(path: Path, known: Mapping[str, str], public: PublicSet) -> Stated:
    """Take the checksum of a file and compare it with those in ``known``."""
    checksum = sha256(path)
    recorded = known.get(path.name)
    verified = {None: "no checksum on record", checksum: "verified"}.get(
        recorded, f"differs from the recorded {recorded and recorded[:16]}..."
    )
    said = {
        "name": path.name,
        "licence": public.licence,
        "url": public.url,
        "citation": public.citation,
        "sha256": f"{checksum} ({verified})",
    }
    return Stated(checksum, said)
