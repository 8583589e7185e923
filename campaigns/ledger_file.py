"""The file of a ledger: its tables, its lock, and its errors as sentences."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import quote

from matdisco.errors import LedgerDamaged, LedgerError, LedgerLocked

FILE = "ledger.sqlite"
LOCK = "writer.lock"

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq      INTEGER PRIMARY KEY,
    time     TEXT NOT NULL,
    kind     TEXT NOT NULL,
    round    INTEGER NOT NULL,
    payload  TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash     TEXT NOT NULL UNIQUE
) STRICT;
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE VIEW IF NOT EXISTS proposals AS
SELECT e.round, json_extract(p.value, '$.rank') AS rank,
       json_extract(p.value, '$.candidate') AS candidate,
       json_extract(p.value, '$.key') AS key,
       json_extract(p.value, '$.reason') AS reason,
       json_extract(p.value, '$.mean') AS mean,
       json_extract(p.value, '$.std') AS std,
       json_extract(p.value, '$.acquisition') AS acquisition
FROM events e, json_each(e.payload, '$.proposals') p WHERE e.kind = 'proposed';
CREATE VIEW IF NOT EXISTS evaluations AS
SELECT round, json_extract(payload, '$.rank') AS rank,
       json_extract(payload, '$.evaluation.crystal_id') AS candidate,
       json_extract(payload, '$.evaluation.key') AS key,
       json_extract(payload, '$.evaluation.failure.kind') AS failure,
       json_extract(payload, '$.evaluation.labels') AS labels,
       json_extract(payload, '$.volatile.seconds') AS seconds
FROM events WHERE kind = 'evaluated';
CREATE VIEW IF NOT EXISTS confirmations AS
SELECT round, json_extract(payload, '$.fidelity') AS fidelity,
       json_extract(payload, '$.evaluation.crystal_id') AS candidate,
       json_extract(payload, '$.evaluation.key') AS key,
       json_extract(payload, '$.evaluation.failure.kind') AS failure,
       json_extract(payload, '$.evaluation.labels') AS labels,
       json_extract(payload, '$.volatile.spent') AS core_seconds
FROM events WHERE kind = 'confirmed';
"""


def locked(folder: Path) -> IO[str]:
    """Take the lock of a run folder, and write into it who holds it.

    Raises:
        LedgerLocked: another process holds it.
    """
    lock = (folder / LOCK).open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise LedgerLocked(
            f"{folder} is being run by {holder}; wait for it, or stop it "
            "(Ctrl-C there) and run the same command again"
        ) from None
    lock.seek(0)
    lock.truncate()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    lock.write(f"process {os.getpid()} on {platform.node()} since {since}")
    lock.flush()
    return lock


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the file system and of SQLite into sentences.

    Raises:
        LedgerError: the disk is full, read-only or otherwise refuses.
        LedgerDamaged: the file is not, or no longer, a ledger.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if isinstance(error, sqlite3.OperationalError):
            raise LedgerError(
                f"{path}: {text}. Nothing recorded so far is lost; make room or give "
                "write permission, and run the same command again"
            ) from error
        raise LedgerDamaged(
            f"{path}: not a readable ledger ({text}). Restore it from a copy; the "
            "evaluations/ folder still holds every result"
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LedgerDamaged(f"{path}: an event is unreadable ({error})") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise LedgerError(
            f"{error.filename or path}: {reason}. Nothing recorded so far is lost; "
            "mend that and run the same command again"
        ) from error


def reader(path: Path) -> sqlite3.Connection:
    """Connect for reading; readers of a WAL file are never blocked by its writer."""

    def connect(options: str) -> sqlite3.Connection:
        uri = f"file:{_quoted(path)}?{options}"
        return sqlite3.connect(uri, uri=True, timeout=10, check_same_thread=False)

    db = connect("mode=ro")
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        wal = path.with_name(path.name + "-wal")
        if os.access(path.parent, os.W_OK) or (wal.exists() and wal.stat().st_size):
            raise
        # A WAL file in a folder that cannot be written, with nothing in its log:
        # no writer can exist, so reading without locks is safe.
        db = connect("immutable=1")
    return db


def has_events(db: sqlite3.Connection) -> bool:
    """Say whether the tables are there."""
    return bool(
        db.execute("SELECT 1 FROM sqlite_master WHERE name = 'evaluations'").fetchone()
    )


def _quoted(path: Path) -> str:
    return quote(str(path.resolve()))


def sync_folder(folder: Path) -> None:
    """Make the name of a new file in a folder survive a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
