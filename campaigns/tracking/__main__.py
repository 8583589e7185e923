"""The tracking process, ``python -m campaigns.tracking RUN NICENESS``: ``live.py``."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaigns.campaign import Campaign
from campaigns.tracking.liveness import writer_alive
from campaigns.tracking.store import sync

REDRAW = 120.0
"""Least seconds between two times that plots and report are made while running: they
cost some 5 s of CPU."""


def main() -> None:
    """Sync on command until the campaign's process says ``final`` or is gone."""
    folder = Path(sys.argv[1])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log
    with contextlib.suppress(OSError):
        os.nice(int(sys.argv[2]))

    def answer(**message: Any) -> None:
        with contextlib.suppress(OSError):
            print(json.dumps(message), file=out, flush=True)

    serve(folder, _read_words, answer)


def serve(
    folder: Path, read: Callable[[], list[str]], answer: Callable[..., None]
) -> None:
    """Bring MLflow up to date at every word until ``final``, or until nobody is there.

    Args:
        folder: the run folder.
        read: waits for words; none when the campaign's process is gone.
        answer: tells it what was done.
    """
    words: list[str] = []
    drawn = time.monotonic()
    while "final" not in words:
        words = read()
        gone = not words
        if gone:
            words = ["final"]
        final = "final" in words
        light = not final and time.monotonic() - drawn < REDRAW
        _sync(folder, "final" if final else "sync", gone, light, answer)
        if not light:
            drawn = time.monotonic()


def _sync(
    folder: Path, of: str, gone: bool, light: bool, answer: Callable[..., None]
) -> None:
    if gone and writer_alive(folder):  # continued already, with a tracker of its own
        return
    try:
        with Campaign.open(folder) as campaign:
            if not campaign.ledger.events("started"):
                answer(step="nothing yet")
                return
            run = sync(
                campaign,
                ended=of == "final",
                light=light,
                tell=lambda step: answer(step=step),
            )
    except Exception as error:
        traceback.print_exc()
        answer(error=str(error), of=of)
    else:
        answer(run=run, of=of)


def _read_words() -> list[str]:
    """Wait for commands; several that piled up count as one. Empty: nobody there."""
    select.select([0], [], [])
    return os.read(0, 65536).decode().split()


if __name__ == "__main__":
    main()
