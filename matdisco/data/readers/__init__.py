"""Read crystals from whatever is there: files, folders, archives, by content.

>>> from matdisco.data import readers
>>> for record in readers.read("scattered/"):  # doctest: +SKIP
...     print(record.path, record.format, record.crystal, record.findings)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from matdisco.data.readers.base import (
    RULES,
    Finding,
    Limits,
    Options,
    RawRecord,
    Severity,
)
from matdisco.data.readers.columns import ColumnMap, LabelColumn
from matdisco.errors import DataError

__all__ = [
    "RULES",
    "ColumnMap",
    "Finding",
    "LabelColumn",
    "Limits",
    "RawRecord",
    "Severity",
    "files",
    "read",
]


def read(
    path: str | Path,
    *,
    frames: Literal["last", "all"] = "last",
    columns: ColumnMap | None = None,
    limits: Limits | None = None,
) -> Iterator[RawRecord]:
    """Read every record of a file, or of all files in a folder, in sorted order.

    What a file holds is decided by its content. Bad content never raises: each file
    (and each member of an archive) yields at least one record, with a crystal or
    with a finding that says why there is none.

    Args:
        path: a file or folder; links inside folders are not followed.
        frames: of a trajectory keep the last frame, or all.
        columns: what the columns of tables mean.
        limits: time, sizes, and whether to parse in a guarded process.

    Raises:
        DataError: there is no such path.
    """
    root = Path(path)
    if not root.exists() and not root.is_symlink():
        raise DataError(f"{root}: no such file or folder")
    return _read(root, Options(frames, columns, limits or Limits()))


def files(path: str | Path) -> Iterator[tuple[Path, str]]:
    """Yield (file, its name in records) in the order in which ``read`` reads them.

    A Croissant card stands for itself and the files that it describes.
    """
    from matdisco.data.readers import croissant
    from matdisco.data.readers.sources import walk

    root = Path(path)
    if (card := croissant.load(root)) is not None:
        yield root, root.name
        for file in croissant.beside(root, card):
            yield file, file.relative_to(root.parent).as_posix()
        return
    for file in walk(root):
        name = file.relative_to(root).as_posix() if root.is_dir() else root.name
        yield file, name.encode("utf-8", "backslashreplace").decode()


def _read(root: Path, options: Options) -> Iterator[RawRecord]:
    for file, name in files(root):
        yield from read_file(file, name, options, given=file == root)


def read_file(
    file: Path, name: str, options: Options, *, given: bool = False
) -> Iterator[RawRecord]:
    """Yield the records of one file; ``name`` is what its records call it.

    For callers that spread files over processes themselves, with
    ``Limits(isolate=False)``.
    """
    from matdisco.data.readers import guard, parsing, sources

    if options.limits.isolate:
        yield from guard.read_file(file, name, options, given=given)
        return
    for blob in sources.blobs(file, name, options.limits, given=given):
        yield from parsing.parse_in_time(blob, options)
