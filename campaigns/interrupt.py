"""Ctrl-C: finish what runs, record it, stop; the second time stop at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from campaigns.progress import Display


class Interrupted(Exception):
    """The user asked to stop; everything finished so far is on record."""


class Interrupt:
    """Ctrl-C: the first asks to finish what runs, the second stops at once."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    @contextmanager
    def armed(self, display: Display) -> Iterator[None]:
        """Handle SIGINT and SIGTERM inside the block (main thread only)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self.asked.is_set():
                raise KeyboardInterrupt
            self.asked.set()
            display.say(
                "stopping: running evaluations finish and are recorded first; "
                "Ctrl-C again stops at once"
            )

        old = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise where it is a good moment to stop.

        Raises:
            Interrupted: the user has asked.
        """
        if self.asked.is_set():
            raise Interrupted
