"""The ledger: appended, chained, locked, and honest about damage."""

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from campaigns.ledger import GENESIS, Ledger
from matdisco.errors import LedgerDamaged, LedgerError, LedgerLocked


def filled(folder: Path, n: int = 20) -> Path:
    with Ledger.writing(folder) as ledger:
        ledger.append("started", {"name": "x", "volatile": {"pid": 1}})
        for i in range(n):
            ledger.append("evaluated", {"rank": i, "text": "a" * 300}, round=i // 5)
    return folder


def test_events_come_back_in_order_and_chained(tmp_path):
    with Ledger.writing(tmp_path / "run") as ledger:
        assert ledger.head() == (0, GENESIS)
        first = ledger.append("started", {"b": 1.5, "a": None})
        second = ledger.append("closed", {"é": [1, 2]}, round=3)
        assert [e.seq for e in ledger.events()] == [1, 2]
        assert ledger.events("closed") == [second]
        assert ledger.events(round=3)[0].payload == {"é": [1, 2]}
        assert ledger.head() == (2, second.hash)
        assert first.hash != second.hash
        assert ledger.verify() == 2


def test_content_hash_ignores_volatile_and_order(tmp_path):
    with Ledger.writing(tmp_path / "a") as a, Ledger.writing(tmp_path / "b") as b:
        a.append("evaluated", {"x": 1, "volatile": {"seconds": 1.0}}, round=0)
        a.append("evaluated", {"x": 2, "volatile": {"seconds": 9.0}}, round=0)
        b.append("evaluated", {"x": 2, "volatile": {"seconds": 3.0}}, round=0)
        b.append("continued", {"volatile": {}})
        b.append("evaluated", {"x": 1}, round=0)
        assert a.content_hash() == b.content_hash()
        b.append("evaluated", {"x": 3}, round=0)
        assert a.content_hash() != b.content_hash()


def test_sql_refuses_to_change_history(tmp_path):
    filled(tmp_path / "run")
    db = sqlite3.connect(tmp_path / "run" / "ledger.sqlite")
    for statement in ("UPDATE events SET kind='x'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.close()


def test_changed_event_is_reported(tmp_path):
    folder = filled(tmp_path / "run")
    db = sqlite3.connect(folder / "ledger.sqlite")
    db.execute("DROP TRIGGER no_update")
    db.execute("UPDATE events SET payload = replace(payload, 'a', 'b') WHERE seq = 7")
    db.commit()
    db.close()
    with Ledger.open(folder) as ledger, pytest.raises(LedgerDamaged, match="event 7"):
        ledger.verify()


def test_removed_event_is_reported(tmp_path):
    folder = filled(tmp_path / "run")
    db = sqlite3.connect(folder / "ledger.sqlite")
    db.execute("DROP TRIGGER no_delete")
    db.execute("DELETE FROM events WHERE seq = 7")
    db.commit()
    db.close()
    with Ledger.open(folder) as ledger, pytest.raises(LedgerDamaged, match="event 7"):
        ledger.verify()


def test_every_flipped_byte_is_reported_or_harmless(tmp_path):
    """Flip one byte at a time: either verify() complains, or nothing changed.

    SQLite leaves unused bytes on its pages and counters in its header; a flip there
    changes no record. A flip that changes what is read back must be reported.
    """
    folder = filled(tmp_path / "run", 12)
    path = folder / "ledger.sqlite"
    whole = path.read_bytes()
    with Ledger.open(folder) as ledger:
        before = ledger.events()
    rng, reported = random.Random(0), 0
    offsets = rng.sample(range(len(whole)), 250)
    for offset in offsets:
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(damaged))
        try:
            with Ledger.open(folder) as ledger:
                ledger.verify()
                assert ledger.events() == before, f"silent change at byte {offset}"
        except LedgerError:
            reported += 1
    assert reported > len(offsets) / 5  # most of the file is payload


def test_second_writer_is_told_who_holds_it(tmp_path):
    with (
        Ledger.writing(tmp_path / "run"),
        pytest.raises(LedgerLocked, match=f"process {os.getpid()} on .* since 20"),
    ):
        Ledger.writing(tmp_path / "run")
    Ledger.writing(tmp_path / "run").close()


def test_lock_of_a_killed_process_is_free(tmp_path):
    code = (
        "import os, signal, sys; from campaigns.ledger import Ledger;"
        "l = Ledger.writing(sys.argv[1]); l.append('started', {});"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")])
    assert done.returncode == -9
    with Ledger.writing(tmp_path / "run") as ledger:
        assert ledger.verify() == 1


def test_readers_are_not_blocked(tmp_path):
    with Ledger.writing(tmp_path / "run") as writer:
        writer.append("started", {})
        with Ledger.open(tmp_path / "run") as reader:
            assert len(reader.events()) == 1
            writer.append("closed", {})
            assert len(reader.events()) == 2
            with reader.snapshot():
                assert len(reader.events()) == 2
                writer.append("finished", {})
                assert len(reader.events()) == 2
            assert len(reader.events()) == 3
            with pytest.raises(LedgerError, match="reading only"):
                reader.append("closed", {})


def test_not_a_ledger(tmp_path):
    with pytest.raises(LedgerError, match="not a campaign's run folder"):
        Ledger.open(tmp_path)
    (tmp_path / "ledger.sqlite").write_text("hello, this is not a database" * 50)
    with pytest.raises(LedgerDamaged, match="not a readable ledger"):
        Ledger.open(tmp_path).verify()


def mounted(folder: Path, options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.strip()}")


def test_full_disk_is_a_sentence_and_loses_nothing(tmp_path):
    small = tmp_path / "small"
    mounted(small, "size=400k")
    try:
        ledger = Ledger.writing(small / "run")
        written = 0
        with pytest.raises(LedgerError, match="Nothing recorded so far is lost"):
            for _ in range(1000):
                ledger.append("evaluated", {"text": "x" * 2000})
                written += 1
        ledger.close()
        assert written > 5
        subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
        with Ledger.writing(small / "run") as ledger:
            assert ledger.verify() == written
            ledger.append("closed", {})
            assert ledger.verify() == written + 1
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_read_only_folder(tmp_path):
    small = tmp_path / "small"
    mounted(small, "size=4m")
    try:
        filled(small / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        with pytest.raises(LedgerError, match=r"(?i)read-only"):
            Ledger.writing(small / "run")
        with pytest.raises(LedgerError, match=r"(?i)read-only"):
            Ledger.writing(small / "new")
        with Ledger.open(small / "run") as ledger:  # looking is still possible
            assert ledger.verify() == 21
    finally:
        subprocess.run(["umount", str(small)], check=True)
