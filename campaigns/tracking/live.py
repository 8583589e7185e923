"""Tracking while a campaign runs, in a process of its own.

MLflow is slow to load, retries for minutes when a server is down, and starts
threads that keep an interpreter from ending. In a process of its own it takes no
time from the campaign and can be ended at will. The two talk in lines: the campaign
sends ``sync`` after each round and ``final`` at the end; back comes one JSON object
per step done. When the campaign's process dies, the pipe closes, and the last thing
the tracker does is to mark the run as killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from campaigns.campaign import Campaign

SILENCE = 8.0
"""Seconds without a sign of work (a message, CPU time used) after which the tracker
is given up at the end. A locked SQLite file is waited for 5 s."""
AT_MOST = 60.0
"""Seconds to wait at the end for a tracker that is at work."""
NICENESS = 10
"""How far the tracking process stands back: the cores are for evaluating and
learning. On a machine that is busy twice over it still gets a tenth of one."""
# -P: a file named campaigns.py in the working folder must not come first
COMMAND = [sys.executable, "-P", "-m", "campaigns.tracking"]


class LiveTracker:
    """Keeps MLflow up to date while a campaign runs, without holding it up.

    Whatever goes wrong costs one line on ``say`` and no more than a few seconds at
    the end.

    Args:
        campaign: the campaign, which its own process has open for writing.
        say: prints one line.
    """

    def __init__(self, campaign: Campaign, say: Callable[[str], None]) -> None:
        self._folder = campaign.folder
        self._enabled = campaign.config.tracking.enabled
        self._say = say
        self._said = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._changed = threading.Condition()
        self._heard = 0.0
        self._finished = False
        self._failure: str | None = None

    def round_closed(self, number: int) -> None:
        """Have MLflow brought up to date; returns at once."""
        self._send("sync")

    def __enter__(self) -> Self:
        if self._enabled:
            self._start()
            self._send("sync")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is None:
            return
        self._send("final")
        # "stop at once" means at once: the tracker ends by itself
        at_once = kind is not None and issubclass(kind, KeyboardInterrupt)
        if not at_once:
            self._wait()
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        if not at_once:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(3)

    def _start(self) -> None:
        log = self._log()
        try:
            self._process = subprocess.Popen(
                [*COMMAND, str(self._folder.resolve()), str(NICENESS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the campaign's business
                env={**os.environ, "PYTHONPATH": _python_path()},
            )
        except OSError as error:
            self._complain(f"MLflow tracking did not start: {error}")
            return
        finally:
            if log is not None:
                log.close()
        self._heard = time.monotonic()
        threading.Thread(target=self._listen, daemon=True).start()

    def _log(self) -> IO[bytes] | None:
        try:
            (self._folder / "logs").mkdir(exist_ok=True)
            return (self._folder / "logs" / "tracking.log").open("ab")
        except OSError:
            return Path(os.devnull).open("ab")

    def _send(self, word: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()
        except OSError:  # it has ended; _listen knows why
            pass

    def _listen(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                message = json.loads(line)
                with self._changed:
                    self._heard = time.monotonic()
                    if "error" in message:
                        self._failure = message["error"]
                    elif "run" in message:
                        self._failure = None
                    self._finished |= message.get("of") == "final"
                    self._changed.notify_all()
                if "error" in message and not self._finished:
                    self._complain(message["error"])
        with self._changed:
            if not self._finished:
                self._failure = self._failure or "the tracking process ended early"
            self._finished = True
            self._changed.notify_all()
        # one that outlives the patience of __exit__ is still waited for
        self._process.wait()

    def _wait(self) -> None:
        """Wait for the last sync as long as it makes headway."""
        assert self._process is not None
        begun = time.monotonic()
        counted = _cpu_seconds(self._process.pid)
        with self._changed:
            while not self._finished:
                now = time.monotonic()
                used = _cpu_seconds(self._process.pid)
                if used - counted > 0.02:  # two ticks, however long they took to come
                    self._heard, counted = now, used
                quiet = now - max(self._heard, begun - SILENCE / 2)
                if quiet > SILENCE or now - begun > AT_MOST:
                    self._failure = self._failure or (
                        f"MLflow is not up to date: no answer in {now - begun:.0f} s"
                    )
                    self._process.kill()
                    break
                self._changed.wait(0.5)
        if self._failure:
            self._complain(self._failure)

    def _complain(self, what: str) -> None:
        if what != self._said:
            self._said = what
            self._say(
                f"{what}; nothing is lost, catch up with: matdisco track {self._folder}"
            )


def _python_path() -> str:
    """Return a search path on which this very package is found."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(p for p in (here, os.environ.get("PYTHONPATH")) if p)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used, 0 where that cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")
    except OSError:
        return 0.0
    user, system = fields[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
