"""The ledger: an append-only, hash-chained record of everything a campaign did.

One SQLite file per run, in WAL mode with ``synchronous=FULL``: an event that
:meth:`Ledger.append` has returned from survives a crash of the process or of the
machine. One process writes, under a lock that names it; any number read, and are
never blocked. The event table is the only truth; ``proposals``, ``evaluations``
and ``confirmations`` are SQL views of it, for people with a SQLite browser.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from campaigns.file_kinds import no_run_folder
from campaigns.ledger_file import (
    FILE,
    SCHEMA,
    explained,
    has_events,
    locked,
    reader,
    sync_folder,
)
from matdisco.errors import LedgerDamaged, LedgerError
from matdisco.recipe import canonical_json, digest

GENESIS = "0" * 64
VOLATILE = "volatile"
"""Key under which a payload keeps what may differ between two runs of the same
campaign: times, durations, hosts, process ids, versions."""
JOURNAL = frozenset({"continued", "interrupted"})
"""Events that tell about the running, not about the campaign."""


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
            raise LedgerError(no_run_folder(folder))
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
            ledger._lock = locked(ledger.folder)
            try:
                new = not ledger.path.exists()
                connection = ledger._connect()
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                if new or not has_events(connection):
                    connection.executescript(SCHEMA)
                    sync_folder(ledger.folder)
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
                self._db = reader(self.path)
            else:
                self._db = sqlite3.connect(
                    self.path, timeout=10, check_same_thread=False
                )
        return self._db


def _link(previous: str, seq: int, time: str, kind: str, number: int, text: str) -> str:
    whole = "\n".join((previous, str(seq), time, kind, str(number), text))
    return hashlib.sha256(whole.encode()).hexdigest()


def _stable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _stable(v) for k, v in value.items() if k != VOLATILE}
    if isinstance(value, list):
        return [_stable(v) for v in value]
    return value
