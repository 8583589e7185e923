"""Read through a guarded process: ended when it hangs, replaced when it dies.

A parser of somebody else's library can loop forever, eat all memory, or crash in
C. In a process of its own none of that reaches the caller: the file gets a finding
and the walk goes on with the next one.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from matdisco.data.readers import parsing, transport
from matdisco.data.readers.base import Blob, Options, RawRecord
from matdisco.errors import SetupError

_START_SECONDS = 120.0  # importing pymatgen from a cold disk
_IDLE: list[_Worker] = []
_LOCK = threading.Lock()


class _Worker:
    """One guarded process and the thread that reads its answers."""

    def __init__(self) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        environment.setdefault("OMP_NUM_THREADS", "1")
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "matdisco.data.readers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue(64)
        self._stopped = threading.Event()
        self._pumping = threading.Thread(target=self._pump, daemon=True)
        self._pumping.start()
        try:
            ready = self.answer(_START_SECONDS)
        except queue.Empty:
            ready = None
        if ready != {"ready": True}:
            self.end()
            raise SetupError(
                "the guarded reader process did not start; try Limits(isolate=False)"
            )

    def _pump(self) -> None:
        pipe = self.process.stdout
        if pipe is None:
            return
        for text in pipe:
            with contextlib.suppress(ValueError):  # the process died inside a line
                self._put(json.loads(text))
        self._put(None)

    def _put(self, item: dict[str, Any] | None) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._answers.put(item, timeout=0.2)
                return

    def ask(self, request: dict[str, Any]) -> None:
        """Send a request."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):  # it died: the answer will be None
                self.process.stdin.write(transport.line(request))
                self.process.stdin.flush()

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """Wait for the next message; None when the process is gone.

        Raises:
            queue.Empty: nothing came in time.
        """
        return self._answers.get(timeout=seconds)

    def end(self) -> None:
        """Stop the process now."""
        self._stopped.set()
        self.process.kill()
        self.process.wait()
        # it ends with the pipe; a pipe closed under its reader is an exception there
        self._pumping.join(timeout=5.0)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def read_file(
    path: Path, name: str, options: Options, *, given: bool
) -> Iterator[RawRecord]:
    """Yield the records of one file, read in a guarded process.

    Args:
        path: the file.
        name: what records call it.
        options: frames, columns, limits.
        given: the caller named this path, so a link may be followed.
    """
    worker = _take()
    clean = False
    skip = 0
    try:
        while skip >= 0:
            worker.ask(
                {
                    "path": str(path),
                    "name": name,
                    "given": given,
                    "skip": skip,
                    "options": transport.dump_options(options),
                }
            )
            skip = yield from _answers(worker, path, name, options)
            if skip != _DONE:
                worker.end()
                worker = _take()
        clean = True
    finally:
        _give_back(worker) if clean else worker.end()


_DONE = -1
_GIVEN_UP = -2


def _answers(
    worker: _Worker, path: Path, name: str, options: Options
) -> Generator[RawRecord, None, int]:
    """Yield records until the file is done; return the member to go on with."""
    seconds = options.limits.patience(_size(path))
    blob, at, count = Blob(str(path), name, None, b"", ""), -1, 0
    while True:
        try:
            message = worker.answer(seconds)
        except queue.Empty:
            yield parsing.timed_out(blob, seconds, count)
            return at + 1 if at >= 0 else _GIVEN_UP
        if message is None:
            code = worker.process.wait()
            yield parsing.refused(
                blob, "parser-crash", f"the parser's process ended with {code}", count
            )
            return at + 1 if at >= 0 else _GIVEN_UP
        if "record" in message:
            count += 1
            yield transport.load_record(message["record"])
        elif "begin" in message:
            at, count = message["begin"], 0
            seconds = options.limits.patience(message["size"])
            blob = Blob(
                str(path), message["name"], message["member"], b"", message["hash"]
            )
        elif "done" in message:  # unpacking the next member takes its time, too
            seconds = options.limits.patience(_size(path))
        else:
            return _DONE


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _take() -> _Worker:
    with _LOCK:
        while _IDLE:
            worker = _IDLE.pop()
            if worker.process.poll() is None:
                return worker
            worker.end()
    return _Worker()


def _give_back(worker: _Worker) -> None:
    with _LOCK:
        if not _IDLE:
            _IDLE.append(worker)
            return
    worker.end()


@atexit.register
def close() -> None:
    """End the idle guarded process; the next read starts another."""
    with _LOCK:
        while _IDLE:
            _IDLE.pop().end()
