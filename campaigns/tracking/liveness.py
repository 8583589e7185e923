"""Who is at work on a run folder: the campaign's writer, another sync."""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from campaigns.ledger_file import LOCK
from matdisco.errors import CampaignError

SYNC_LOCK = ".tracking.lock"
PATIENCE = 60.0  # s to wait for another sync of the same run


def writer_alive(folder: Path) -> bool:
    """Whether a process holds the writer's lock, found out without touching it."""
    lock = folder / LOCK
    try:
        inode = lock.stat().st_ino
        held = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return False
    pattern = rf"^\d+: FLOCK +ADVISORY +WRITE +-?\d+ [0-9a-f]+:[0-9a-f]+:{inode} "
    return re.search(pattern, held, flags=re.M) is not None


@contextmanager
def sync_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time project this run.

    Raises:
        CampaignError: another one does not finish.
    """
    try:
        file = (folder / SYNC_LOCK).open("a", encoding="utf-8")
    except OSError:  # somebody else's run, readable only: nobody syncs it live
        yield
        return
    with file:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CampaignError(
                        f"{folder}: another process has been bringing MLflow up to "
                        f"date for more than {PATIENCE:.0f} s; try again later"
                    ) from None
                time.sleep(0.2)
        yield
