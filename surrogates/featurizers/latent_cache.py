"""Feature rows on disk, so that a structure goes through a potential once.

One SQLite file per featurizer and package version, keyed by structure hash. SQLite
lets several processes read and write at once and survives a crash; rows are raw
float32 with a checksum, no pickle. The cache may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from matdisco.cache import cache_folder
from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from matdisco.recipe import digest

_WAIT = 60.0  # s that a writer waits for another one
_CHUNK = 500  # keys in one query; SQLite allows 999 variables everywhere
_TABLE = "CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, crc INTEGER, v BLOB)"
_memory: dict[str, dict[bytes, np.ndarray]] = {}
"""Where rows go when the disk refuses (read-only home, full quota, broken locks)."""


def cached_rows(
    name: str,
    recipe: Mapping[str, object],
    crystals: Sequence[Crystal],
    compute: Callable[[list[Crystal]], np.ndarray],
    *,
    width: int,
    block: int = 512,
) -> np.ndarray:
    """Return one row per crystal, computing only what nobody computed before.

    Args:
        name: of the featurizer, for the file name.
        recipe: all that decides the values (package versions, layer, weights).
        crystals: may repeat.
        compute: crystals → rows (n, width).
        width: features in a row.
        block: crystals computed before they are stored: a killed run keeps its blocks.

    Returns:
        Shape (n, width), float64 holding float32 values, fresh or not.

    Raises:
        SurrogateError: a computed row is not finite; names the crystal.
    """
    path = cache_folder() / "latents" / f"{name}-{digest(dict(recipe))[:16]}.sqlite"
    by_key = {bytes.fromhex(c.structure_hash): c for c in crystals}
    known = _read(path, list(by_key), width)
    missing = [key for key in by_key if key not in known]
    for start in range(0, len(missing), block):
        keys = missing[start : start + block]
        batch = [by_key[k] for k in keys]
        rows = np.asarray(compute(batch), dtype=np.float32)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise SurrogateError(
                f"crystal {batch[int(bad[0])].id}: {name} features are not finite; "
                "is its structure sound?"
            )
        fresh = dict(zip(keys, rows, strict=True))
        _write(path, fresh)
        known |= fresh
    out = np.zeros((len(crystals), width))
    for row, crystal in zip(out, crystals, strict=True):
        row[:] = known[bytes.fromhex(crystal.structure_hash)]
    return out


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_WAIT)
    try:
        with connection:  # one transaction
            connection.execute(_TABLE)
            yield connection
    finally:
        connection.close()


def _read(path: Path, keys: list[bytes], width: int) -> dict[bytes, np.ndarray]:
    found = {
        key: row for key, row in _memory.get(str(path), {}).items() if len(row) == width
    }
    if not path.exists():
        return found
    try:
        with _open(path) as connection:
            for start in range(0, len(keys), _CHUNK):
                part = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, crc, v FROM rows WHERE key IN ({marks})"
                for key, crc, blob in connection.execute(query, part):
                    if zlib.crc32(blob) == crc and len(blob) == 4 * width:
                        found[bytes(key)] = np.frombuffer(blob, dtype=np.float32)
    except sqlite3.OperationalError:  # locked or unreadable: compute again
        return found
    except sqlite3.DatabaseError:  # damaged: it holds nothing that is lost for good
        with contextlib.suppress(OSError):
            path.unlink()
    except OSError:
        return found
    return found


def _write(path: Path, rows: Mapping[bytes, np.ndarray]) -> None:
    records = [
        (key, zlib.crc32(blob), blob)
        for key, row in rows.items()
        for blob in [np.ascontiguousarray(row, dtype="<f4").tobytes()]
    ]
    try:
        with _open(path) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?,?,?)", records
            )
    except (OSError, sqlite3.Error):
        _memory.setdefault(str(path), {}).update(rows)
