"""Pools of any size on disk: written in chunks, never held whole.

The file is the same that :meth:`Dataset.save` writes, content hash included: it is
computed as the candidates pass.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq

from matdisco.crystal import Crystal
from matdisco.data import layout
from matdisco.data.dataset import Dataset
from matdisco.errors import DataError
from matdisco.recipe import ListDigest, canonical_json

CHUNK = 5_000
"""Candidates per chunk: some 50 MB of objects, and row groups that read fast."""


class PoolWriter:
    """Writes candidates to a Parquet dataset as they come.

    The file appears under its name only when :meth:`finish` has returned.
    """

    def __init__(
        self, path: Path, name: str, card: Mapping[str, Any] | None = None
    ) -> None:
        self.path, self.name, self.card = path, name, dict(card or {})
        self.count = 0
        self._hash = ListDigest()
        self._chunk: list[Crystal] = []
        self._ids: set[bytes] = set()
        self._scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        self._writer: pq.ParquetWriter | None = None

    @property
    def content_hash(self) -> str:
        """The dataset's content hash, once :meth:`finish` has returned."""
        return self._hash.hexdigest()

    def add(self, crystal: Crystal) -> None:
        """Take one candidate.

        Raises:
            DataError: its id occurred before, or it has labels.
        """
        # Eight bytes of a hash instead of the id: a million ids in 100 MB.
        key = hashlib.blake2b(crystal.id.encode(), digest_size=8).digest()
        if key in self._ids:
            raise DataError(f"candidate id {crystal.id!r} occurs more than once")
        if crystal.labels:
            raise DataError(f"candidate {crystal.id}: expected no labels in a pool")
        self._ids.add(key)
        self._hash.add(crystal.to_dict())
        self.count += 1
        self._chunk.append(crystal)
        if len(self._chunk) == CHUNK:
            self._flush()

    def finish(self) -> Path:
        """Write what is left and give the file its name.

        Raises:
            DataError: there was no candidate.
        """
        if not self.count:
            raise DataError(f"{self.path}: not written, there is no candidate")
        self._flush()
        assert self._writer is not None
        head = layout.head(self.name, self.card, self._hash.hexdigest())
        self._writer.add_key_value_metadata({layout.KEY.decode(): canonical_json(head)})
        self._writer.close()
        self._writer = None
        with self._scratch.open("rb") as file:
            os.fsync(file.fileno())
        self._scratch.replace(self.path)
        return self.path

    def close(self) -> None:
        """Drop what was not finished."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._scratch.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _flush(self) -> None:
        if not self._chunk:
            return
        table = layout.columns(Dataset("chunk", tuple(self._chunk)))
        self._chunk = []
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self._scratch,
                table.schema,
                compression="zstd",
                write_page_checksum=True,
                store_schema=False,  # else readers see its metadata, not ours
            )
        self._writer.write_table(table)
