"""Store a dataset as one Parquet file, read it back, and know when it is damaged.

The columns are those of :mod:`matdisco.data.layout`. Card, name and content hash stand
in the schema metadata under ``matdisco``; reading computes the hash again and compares.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from matdisco.data.dataset import Dataset
from matdisco.data.layout import FORMAT, KEY, crystals, to_table
from matdisco.errors import DataError
from matdisco.recipe import digest

_FILE = "data.parquet"


def write(dataset: Dataset, path: str | Path) -> Path:
    """Write ``dataset`` as one Parquet file, all of it or nothing.

    Args:
        dataset: what to store.
        path: a ``.parquet`` file; any other name is a folder that gets
            ``data.parquet``.

    Returns:
        The file written.

    Raises:
        DataError: a record or the card holds something that JSON cannot say
            (NaN, infinity, an object).
    """
    target = Path(path)
    target = target if target.suffix == ".parquet" else target / _FILE
    table = to_table(dataset)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with scratch.open("wb") as file:
            _write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return target


def read(path: str | Path) -> Dataset:
    """Read a dataset that :func:`write` stored, and verify its content hash.

    Args:
        path: the Parquet file, or the folder that holds ``data.parquet``.

    Raises:
        DataError: no such file, not a matdisco dataset, truncated, or changed
            since it was written.
    """
    target = Path(path)
    target = target / _FILE if target.is_dir() else target
    if not target.is_file():
        raise DataError(f"{target}: no such dataset file")
    try:
        with (
            target.open("rb") as file,
            pq.ParquetFile(file, page_checksum_verification=True) as parquet,
        ):
            head = _head(parquet.schema_arrow.metadata, target)
            table = parquet.read()
    except DataError:
        raise
    except Exception as error:  # a changed footer also causes UnicodeDecodeError, ...
        raise DataError(
            f"{target}: damaged or no Parquet file ({_first_line(error)}); "
            "restore it from a copy or write it again"
        ) from error
    try:
        dataset = Dataset(head["name"], tuple(crystals(table)), head["card"])
        found = dataset.content_hash, digest([head["name"], head["card"]])
    except DataError:
        raise
    except Exception as error:
        # whatever a changed byte can cause: missing columns, bad JSON, no such element
        raise DataError(
            f"{target}: damaged, its records cannot be rebuilt "
            f"({type(error).__name__}: {_first_line(error)}); the file was changed "
            "after it was written"
        ) from error
    for what, have, want in zip(
        ("records", "card"),
        found,
        (head["content_hash"], head["card_hash"]),
        strict=True,
    ):
        if have != want:
            raise DataError(
                f"{target}: its {what} do not match the stored hash "
                f"({have[:16]} instead of {want[:16]}); the file was changed after it "
                "was written, restore it from a copy"
            )
    return dataset


def _head(metadata: Mapping[bytes, bytes] | None, path: Path) -> dict[str, Any]:
    if not metadata or KEY not in metadata:
        raise DataError(
            f"{path}: a Parquet file, but not a dataset that matdisco wrote; "
            f"curate it first: matdisco data curate {path.name} --to DATASET"
        )
    try:
        head = json.loads(metadata[KEY])
        known = {"format", "name", "card", "content_hash", "card_hash"} <= head.keys()
    except (ValueError, AttributeError):
        known = False
    if not known:
        raise DataError(f"{path}: its matdisco metadata is damaged")
    if head["format"] != FORMAT:
        raise DataError(
            f"{path}: dataset layout {head['format']!r}, but this matdisco reads "
            f"layout {FORMAT}; use a newer matdisco"
        )
    return dict(head)


def _write_table(table: pa.Table, sink: Any) -> None:
    """Write with the encoding that suits each column.

    Numbers that are mostly different compress best with their bytes split by
    significance; those of symmetric crystals repeat and want a dictionary.
    """
    split: dict[str, str] = {}
    repeating: list[str] = []
    for name in table.schema.names:
        leaf, numbers = name, table[name].combine_chunks().drop_null()
        while pa.types.is_list(numbers.type):
            leaf, numbers = f"{leaf}.list.element", numbers.flatten()
        different = len(numbers.unique()) > 0.5 * len(numbers)
        if different and pa.types.is_floating(numbers.type):
            split[leaf] = "BYTE_STREAM_SPLIT"
        elif not different:
            repeating.append(leaf)
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=9,
        use_dictionary=repeating,
        column_encoding=split or None,
        write_page_checksum=True,
    )


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
