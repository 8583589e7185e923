"""Where a public set comes from: what to download, and whether these are its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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


def stated(path: Path, known: Mapping[str, str], public: PublicSet) -> dict[str, str]:
    """Return what a card says about a file, its checksum compared with ``known``."""
    checksum = sha256(path)
    recorded = known.get(path.name)
    verified = {None: "no checksum on record", checksum: "verified"}.get(
        recorded, f"differs from the recorded {recorded and recorded[:16]}..."
    )
    return {
        "name": path.name,
        "licence": public.licence,
        "url": public.url,
        "citation": public.citation,
        "sha256": f"{checksum} ({verified})",
    }
