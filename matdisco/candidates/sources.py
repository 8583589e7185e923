"""Crystals that recipes start from: datasets, and files of any known format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from matdisco.errors import ConfigError

if TYPE_CHECKING:
    from matdisco.crystal import Crystal

NO_CRYSTAL = frozenset({"no-cell", "unknown-species", "unnamed-species"})
"""What readers find where they give atoms that are no crystal to compute: a molecule in
a box of vacuum, sites that nothing names an element of."""
SKIPPING = "candidates.path"
"""Key beside which ``skip_unreadable`` may stand."""


def known_crystals(
    path: str, key: str, *, skip_unreadable: bool = False
) -> Iterator[Crystal]:
    """Yield the crystals of a Parquet dataset, or of files, folders and archives.

    Args:
        path: the dataset (or ``shipped:NAME``), or whatever the readers open.
        key: configuration key, for messages.
        skip_unreadable: leave out what cannot be read, instead of refusing all.

    Raises:
        ConfigError: no such path, or a record that cannot be read, or is no crystal.
    """
    from matdisco.data import readers
    from matdisco.data.dataset import Dataset

    file = existing(path, key)
    if file.suffix == ".parquet":
        yield from Dataset.open(file)
        return
    for record in readers.read(file, frames="all"):
        doubts = [f for f in record.findings if f.rule in NO_CRYSTAL]
        if record.crystal is not None and not doubts:
            yield record.crystal
        elif not skip_unreadable:
            reasons = "; ".join(f.message for f in doubts or record.findings)
            where = f"{record.path}/{record.member}" if record.member else record.path
            leave = ", or set skip_unreadable: true" if key == SKIPPING else ""
            raise ConfigError(
                f"{key}: record {record.record} of {where} cannot be read: "
                f"{reasons.rstrip('.')}. Curate the files first (matdisco data curate)"
                f"{leave}"
            )


def existing(path: str, key: str) -> Path:
    """Return the path of a dataset or file that is there.

    Raises:
        ConfigError: it is not.
    """
    from matdisco.data.shipped import resolve

    file = resolve(path)
    if not file.exists():
        raise ConfigError(
            f"{key}: no such file: {file}; paths are relative to where the command "
            "is run"
        )
    return file


SAMPLED = 20
"""CIF files that are read to know the mean number of atoms."""


def count_records(path: Path) -> tuple[int, float]:
    """Bound the number of crystals in files, and their mean number of atoms.

    Blocks of CIF and frames of extended XYZ are counted in the text; files of other
    formats are read.

    Args:
        path: file, folder or archive.
    """
    from matdisco.data import readers
    from matdisco.data.readers import sources, xyz
    from matdisco.data.readers.base import Limits, Options
    from matdisco.data.readers.parsing import parse_in_time

    limits, options = Limits(), Options("all", None, Limits())
    count, sizes = 0, list[int]()
    sampled = 0
    for file, name in readers.files(path):
        for blob in sources.blobs(file, name, limits, given=file == path):
            text = blob.data.decode("utf-8", "replace")
            blocks = len(re.findall(r"^\s*data_\S", text, re.MULTILINE))
            if xyz.sniff(text[:4096], b""):
                frames = list(_frame_sizes(text))
                count += len(frames)
                sizes += frames
                continue
            if blocks and sampled >= SAMPLED:
                count += blocks
                continue
            found = [r.crystal for r in parse_in_time(blob, options)]
            count += blocks or len(found)
            sampled += bool(blocks)
            sizes += [c.n_atoms for c in found if c is not None]
    return count, sum(sizes) / max(len(sizes), 1)


def _frame_sizes(text: str) -> Iterator[int]:
    """Yield the atom count of each frame, skipping from one count to the next."""
    lines = text.splitlines()
    row = 0
    while row < len(lines):
        word = lines[row].strip()
        if not word.isdigit():
            return
        yield int(word)
        row += int(word) + 2
