"""Is it safe to open: a checkpoint must hold numbers and text, never code.

The same idea as the file scan of model hubs: a pickle runs code when it is read
(Python documentation, module ``pickle``).
"""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

SAFE = frozenset(
    {".json", ".safetensors", ".yaml", ".yml", ".md", ".txt", ".csv", ".parquet",
     ".html", ".png", ".svg", ".cif"}
)  # fmt: skip
"""Formats that hold data only. HTML is read by a browser, not by a loader."""
_HEAD = 512 * 1024
_CODE = {".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".exe", ".js"}


def unsafe_files(place: Path) -> list[str]:
    """Return a sentence for each file that could run code or leave the folder.

    Args:
        place: a file or a folder.
    """
    found = []
    paths = [place] if place.is_file() else sorted(place.rglob("*"))
    root = place if place.is_dir() else place.parent
    for path in paths:
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found.append(f"{name}: a link to {path.readlink()}")
        elif path.is_file():
            reason = _why_unsafe(path)
            if reason:
                found.append(f"{name}: {reason}")
    return found


def _why_unsafe(path: Path) -> str | None:
    """Say what is wrong with one file, or None."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inner = [n for n in archive.namelist() if n.endswith((".pkl", ".py"))]
        return f"an archive with {inner[0]}" if inner else "an archive"
    if head[:4] == b"\x7fELF" or head[:2] == b"MZ" or head[:2] == b"#!":
        return "a program"
    if head[:6] == b"\x93NUMPY":
        return "a NumPy file with pickled objects" if b"|O" in head[:200] else None
    if is_pickle(head):
        return "a pickle"
    if path.suffix.lower() in _CODE:
        return "source or machine code"
    if path.suffix.lower() not in SAFE:
        return f"unknown format {path.suffix or '(no suffix)'}"
    if path.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH):
        return "executable"
    return None


def is_pickle(head: bytes) -> bool:
    """Tell a pickle by its opcodes, whatever the file is called.

    >>> import pickle
    >>> [is_pickle(pickle.dumps([1.5], protocol)) for protocol in range(6)]
    [True, True, True, True, True, True]
    >>> is_pickle(b'{"format": 1}')
    False
    """
    import pickletools

    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return True
    if head[:1] not in (b"(", b"]", b"}", b")", b"c", b"I", b"F", b"V", b"N", b"K"):
        return False
    try:
        read = [op.name for op, _, _ in pickletools.genops(head)]
    except ValueError:
        return False
    return bool(read) and read[-1] == "STOP"
