"""The ledger: an append-only, hash-chained record of everything a campaign did.

One SQLite file per run, in WAL mode with ``synchronous=FULL``: an event that
:meth:`Ledger.append` has returned from survives a crash of the process or of the
machine. One process writes, under a lock that names it; any number read, and are
never blocked. The event table is the only truth; ``proposals``, ``evaluations``
and ``confirmations`` are SQL views of it, for people with a SQLite browser.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from matdisco.errors import LedgerDamaged, LedgerError, LedgerLocked
from matdisco.recipe import canonical_json, digest

FILE = "ledger.sqlite"
LOCK = "writer.lock"
GENESIS = "0" * 64
VOLATILE = "volatile"
"""Key under which a payload keeps what may differ between two runs of the same
campaign: times, durations, hosts, process ids, versions."""
JOURNAL = frozenset({"continued", "interrupted"})
"""Events that tell about the running, not about the campaign."""

_SCHEMA = """
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


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the record."""

    seq: int
    """Position, from 1."""
    time: str
    """UTC, ISO 8601."""
    kind: str
    """started, pool, grown, gated, proposed, evaluated, promoted, confirmed, closed,
    finished, continued, interrupted, and of people told and decided."""
    round: int
    """Campaign round, 0 for the first; -1 outside any."""
    payload: Mapping[str, Any]
    """Plain data."""
    hash: str
    """SHA-256 over the previous hash and everything above."""


class Ledger:
    """Read access, and with :meth:`writing` write access, to one run's record."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / FILE
        self._db: sqlite3.Connection | None = None
        self._lock: IO[str] | None = None
        self._read: list[Event] = []

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open an existing ledger for reading.

        Raises:
            LedgerError: there is none, or it cannot be opened.
        """
        ledger = cls(folder)
        if not ledger.path.is_file():
            raise LedgerError(
                f"{folder} is not a campaign's run folder: no {FILE} in it"
            )
        return ledger

    @classmethod
    def writing(cls, folder: str | Path) -> Self:
        """Open for writing, creating the file where needed, and take the lock.

        Raises:
            LedgerLocked: another process writes to this run.
            LedgerError: the folder or the file cannot be written.
        """
        ledger = cls(folder)
        with explained(ledger.path):
            ledger.folder.mkdir(parents=True, exist_ok=True)
            ledger._take_lock()
            try:
                new = not ledger.path.exists()
                connection = ledger._connect()
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                if new or not _has_events(connection):
                    connection.executescript(_SCHEMA)
                    _sync_folder(ledger.folder)
            except BaseException:
                ledger.close()
                raise
        return ledger

    @property
    def exists(self) -> bool:
        """Whether anything is on record."""
        return self.path.is_file() and self.head()[0] > 0

    def append(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        round: int = -1,  # noqa: A002
    ) -> Event:
        """Add one event; it is on disk when this returns.

        Raises:
            LedgerError: not opened with :meth:`writing`, or the disk refuses.
        """
        if self._lock is None:
            raise LedgerError(f"{self.path} was opened for reading only")
        with explained(self.path):
            db = self._connect()
            seq, previous = self.head()
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            text = canonical_json(payload)
            link = _link(previous, seq + 1, time, kind, round, text)
            with db:
                db.execute(
                    "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (seq + 1, time, kind, round, text, previous, link),
                )
        return Event(seq + 1, time, kind, round, json.loads(text), link)

    def head(self) -> tuple[int, str]:
        """Return number and hash of the last event; (0, zeros) of an empty ledger."""
        with explained(self.path):
            row = (
                self._connect()
                .execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
                .fetchone()
            )
        return (row[0], row[1]) if row else (0, GENESIS)

    def events(self, *kinds: str, round: int | None = None) -> list[Event]:  # noqa: A002
        """Return events in order, of all kinds or of those named.

        An event never changes, so each is read from the file once; treat payloads as
        read-only.
        """
        query = (
            "SELECT seq, time, kind, round, payload, hash FROM events WHERE seq > ? "
            "ORDER BY seq"
        )
        with explained(self.path):
            new = self._connect().execute(query, (len(self._read),)).fetchall()
            self._read += [
                Event(seq, time, kind, number, json.loads(text), link)
                for seq, time, kind, number, text, link in new
            ]
        return [
            e
            for e in self._read
            if (not kinds or e.kind in kinds) and (round is None or e.round == round)
        ]

    def verify(self) -> int:
        """Check the file and every link of the chain; return the number of events.

        Raises:
            LedgerDamaged: says which event does not verify.
        """
        with explained(self.path):
            db = self._connect()
            report = [r[0] for r in db.execute("PRAGMA integrity_check(3)")]
            if report != ["ok"]:
                raise LedgerDamaged(
                    f"{self.path}: SQLite finds the file damaged: {'; '.join(report)}. "
                    "Restore it from a copy; the evaluations/ folder still holds "
                    "every result"
                )
            previous, count = GENESIS, 0
            rows = db.execute(
                "SELECT seq, time, kind, round, payload, previous, hash "
                "FROM events ORDER BY seq"
            )
            for seq, time, kind, number, text, linked, link in rows:
                count += 1
                expected = _link(previous, count, time, kind, number, text)
                if seq != count or linked != previous or link != expected:
                    raise LedgerDamaged(
                        f"{self.path}: the hash chain breaks at event {count} "
                        f"({kind!r} of round {number}, {time}): the record was changed "
                        "after it was written. Restore the file from a copy"
                    )
                previous = link
        return count

    def content_hash(self) -> str:
        """Return a hash of what the campaign decided and learned.

        Leaves out times, durations and the order in which parallel evaluations
        happened to finish, so that an interrupted and continued campaign has the
        hash of the uninterrupted one.
        """
        kept = [
            [e.round, e.kind, _stable(e.payload)]
            for e in self.events()
            if e.kind not in JOURNAL
        ]
        return digest(sorted(kept, key=canonical_json))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See one moment of the record throughout the block, while others write on."""
        with explained(self.path):
            db = self._connect()
            db.execute("BEGIN")
            db.execute("SELECT max(seq) FROM events").fetchone()
        try:
            yield
        finally:
            db.rollback()

    def close(self) -> None:
        """Close the file and give the lock back."""
        if self._db is not None:
            self._db.close()
            self._db = None
        self._read = []
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _connect(self) -> sqlite3.Connection:
        if self._db is None:
            if self._lock is None:
                self._db = _reader(self.path)
            else:
                self._db = sqlite3.connect(
                    self.path, timeout=10, check_same_thread=False
                )
        return self._db

    def _take_lock(self) -> None:
        path = self.folder / LOCK
        lock = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            lock.close()
            raise LedgerLocked(
                f"{self.folder} is being run by {holder}; wait for it, or stop it "
                "(Ctrl-C there) and run the same command again"
            ) from None
        lock.seek(0)
        lock.truncate()
        since = datetime.now(UTC).isoformat(timespec="seconds")
        lock.write(f"process {os.getpid()} on {platform.node()} since {since}")
        lock.flush()
        self._lock = lock


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


def _reader(path: Path) -> sqlite3.Connection:
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


def _link(previous: str, seq: int, time: str, kind: str, number: int, text: str) -> str:
    whole = "\n".join((previous, str(seq), time, kind, str(number), text))
    return hashlib.sha256(whole.encode()).hexdigest()


def _stable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _stable(v) for k, v in value.items() if k != VOLATILE}
    if isinstance(value, list):
        return [_stable(v) for v in value]
    return value


def _has_events(db: sqlite3.Connection) -> bool:
    return bool(
        db.execute("SELECT 1 FROM sqlite_master WHERE name = 'evaluations'").fetchone()
    )


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.resolve()))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
