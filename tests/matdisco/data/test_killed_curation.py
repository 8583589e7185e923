"""Curation killed with SIGKILL: the same command continues where it stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from matdisco.data.curation import files
from matdisco.data.curation.files import curate_files
from matdisco.data.dataset import Dataset
from matdisco.data.readers import Limits
from tests.matdisco.data.test_speed import write


def start(source: Path, to: Path, workers: int) -> psutil.Popen:
    """Start ``matdisco data curate`` as a user does."""
    code = "from campaigns.cli import main; main()"
    command = [sys.executable, "-c", code, "data", "curate", str(source)]
    command += ["--to", str(to), "--workers", str(workers)]
    return psutil.Popen(command, stdout=subprocess.DEVNULL)


def finished(journal: Path) -> list[str]:
    """The files that the journal holds, complete lines only."""
    if not journal.exists():
        return []
    lines = journal.read_bytes().split(b"\n")[:-1]
    return [json.loads(line)["key"] for line in lines]


def runs(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended stays listed until somebody reaps it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_after(source: Path, to: Path, workers: int, count: int) -> list[str]:
    """Kill the command with SIGKILL once so many files are done; return those."""
    process = start(source, to, workers)
    journal = to / ".curating" / "journal.jsonl"
    while len(finished(journal)) < count:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    children = process.children(recursive=True)
    process.kill()
    process.wait()
    give_up = time.monotonic() + 20
    while any(map(runs, children)):
        assert time.monotonic() < give_up, "workers outlive the command"
        time.sleep(0.05)
    return finished(journal)


DIES = """
import os, signal, sys
from matdisco.data.curation import files
from matdisco.data.curation.files import curate_files
from matdisco.data.curation.journal import Journal
from matdisco.data.readers import Limits

add = Journal.add
def add_and_die(self, key, entries):
    add(self, key, entries)
    if len(self) == 7:
        self._file.write(b'{"key": "half a line')
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
Journal.add = add_and_die
curate_files([sys.argv[1]], sys.argv[2], limits=Limits(isolate=False))
"""


def test_killed_and_continued(tmp_path: Path) -> None:
    source = write(tmp_path / "cifs", 20)
    command = [sys.executable, "-c", DIES, str(source), str(tmp_path / "ds")]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    done = finished(tmp_path / "ds" / ".curating" / "journal.jsonl")
    assert len(done) == 7
    read: list[str] = []
    real = files.read_and_check

    def counted(task, *rest):  # type: ignore[no-untyped-def]
        read.append(task.key)
        return real(task, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "read_and_check", counted)
        dataset, report = curate_files(
            [source], tmp_path / "ds", limits=Limits(isolate=False)
        )
    assert len(report) == 20
    assert len(read) == 13
    assert not set(read) & set(done)
    whole, _ = curate_files([source], tmp_path / "all", limits=Limits(isolate=False))
    assert dataset.content_hash == whole.content_hash
    assert Dataset.open(tmp_path / "ds").content_hash == whole.content_hash
    assert not (tmp_path / "ds" / ".curating").exists()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_again_and_again_with_workers(tmp_path: Path) -> None:
    source = write(tmp_path / "cifs", 3000)
    done: list[str] = []
    for count in (100, 700, 1300, 2000, 2600):
        more = kill_after(source, tmp_path / "ds", 2, count)
        assert more[: len(done)] == done  # what was done stays done
        assert len(set(more)) == len(more)  # and nothing is done twice
        done = more
    process = start(source, tmp_path / "ds", 2)
    assert process.wait() == 0
    process = start(source, tmp_path / "all", 2)
    assert process.wait() == 0
    one, other = Dataset.open(tmp_path / "ds"), Dataset.open(tmp_path / "all")
    assert one.content_hash == other.content_hash
