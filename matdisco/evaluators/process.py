"""One worker process under control: started, fed, killed at its limit, replaced."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matdisco.crystal import Crystal
from matdisco.errors import SetupError
from matdisco.evaluators.base import TRANSIENT, Evaluation, Failure, FailureKind
from matdisco.evaluators.execution_recipe import ExecutionRecipe
from matdisco.evaluators.results import read_result, write_result
from matdisco.evaluators.worker import GRACE

ONE_THREAD = {
    # Several workers with a thread pool each fight for the cores: 100 EMT
    # relaxations on two cores took 5 times longer without this.
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
}
STARTUP = 300.0  # s; importing torch and a potential from a cold disk takes 10-60 s
LAUNCHERS = ("PMI_", "PMIX_", "OMPI_", "PMI2_")
"""Variables of MPI launchers; GPAW without MPI refuses to run where it sees them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation to be made."""

    crystal: Crystal
    """The candidate."""
    key: str
    """Its evaluation key."""
    folder: Path
    """The evaluation's folder."""


class _WorkerDied(Exception):
    pass


class _Overrun(Exception):
    pass


class WorkerProcess:
    """Feeds one worker process and replaces it when it dies.

    Args:
        recipe: the evaluator as JSON.
        execution: limits.
        log: file for the worker's own output.
        environment: extra environment variables.
    """

    def __init__(
        self,
        recipe: str,
        execution: ExecutionRecipe,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [sys.executable, "-m", "matdisco.evaluators.worker", recipe]
        self._execution, self._log = execution, log
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
        self._environment = {**inherited, **ONE_THREAD, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self.stopping = threading.Event()
        """Set to have lost workers neither replaced nor recorded."""

    def kill(self) -> None:
        """Kill the process and every program it has started."""
        process = self._process
        if process is not None and process.poll() is None:
            _kill_group(process)

    def evaluate(self, job: Job) -> Evaluation:
        """Return the answer, a failure included; a result on disk is not made again.

        Raises:
            SetupError: the worker cannot start.
            OSError: the disk is full.
            InterruptedError: stopped before an answer came.
        """
        found = read_result(job.folder)
        attempt, wall = 0, found.seconds if found is not None else 0.0
        while found is None:
            attempt += 1
            found = self._try(job, attempt)
            wall += found.seconds
            found = replace(found, spent=round(wall * self._execution.cores, 4))
            transient = found.failure is not None and found.failure.kind in TRANSIENT
            if self.stopping.is_set() and transient:
                raise InterruptedError("stopped before an answer came")
            if transient and attempt <= self._execution.retries:
                found = None
            elif found.failure is not None and read_result(job.folder) is None:
                write_result(job.folder, found)
        return replace(found, spent=round(wall * self._execution.cores, 4))

    def _try(self, job: Job, attempt: int) -> Evaluation:
        execution, clock = self._execution, time.perf_counter()

        def failed(kind: FailureKind, message: str) -> Evaluation:
            return Evaluation(
                job.key,
                job.crystal.id,
                failure=Failure(kind, message),
                seconds=round(time.perf_counter() - clock, 4),
                attempts=attempt,
            )

        try:
            self._ready()
            self._send(
                {
                    "crystal": job.crystal.to_dict(),
                    "key": job.key,
                    "folder": str(job.folder),
                    "attempt": attempt,
                    "timeout": execution.timeout,
                    "cores": execution.cores,
                }
            )
            # Before it starts, a worker may wait for an orphan of an earlier
            # driver, which the kernel ends at its own timeout.
            message = self._receive(execution.timeout + 2 * GRACE)
            if message["event"] == "started":
                clock = time.perf_counter()
                message = self._receive(execution.timeout)
            if message["event"] == "no-room":
                reason = os.strerror(errno.ENOSPC)
                raise OSError(errno.ENOSPC, reason, str(job.folder))
        except _Overrun:
            self.kill()
            self.close()
            return failed(
                FailureKind.TIMEOUT,
                f"killed after {execution.timeout:g} s (execution.timeout)",
            )
        except (_WorkerDied, BrokenPipeError):
            return failed(FailureKind.WORKER_LOST, self._obituary())
        result = read_result(job.folder)
        if result is None:
            return failed(FailureKind.WORKER_LOST, "the worker left no result")
        return replace(result, attempts=attempt) if attempt > 1 else result

    def _ready(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the driver alone
                preexec_fn=_limit(self._execution.memory),
            )
        try:
            message = self._receive(STARTUP)
        except (_Overrun, _WorkerDied) as error:
            self.kill()
            raise SetupError(
                f"an evaluation worker did not start; its log: {self._log}"
            ) from error
        if message["event"] != "ready":
            raise SetupError(
                f"the evaluator cannot start: {message['message']}; log: {self._log}"
            )

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _receive(self, seconds: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        pipe, deadline = self._process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise _Overrun
            chunk = os.read(pipe, 65536)
            if not chunk:
                raise _WorkerDied
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def _obituary(self) -> str:
        process = self._process
        if process is None:
            return "the worker process ended"
        code = process.wait()
        self.close()
        if code < 0:
            name = signal.Signals(-code).name
            return f"the worker process was killed by signal {-code} ({name})"
        return f"the worker process ended with exit code {code}"

    def close(self) -> None:
        """Let the process end by itself and wait for it."""
        process, self._process, self._buffer = self._process, None, b""
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:
                pass
        process.wait()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and every program it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _limit(memory: float | None) -> Any:
    if memory is None:
        return None

    def apply() -> None:  # pragma: no cover - runs in the child
        import resource

        size = int(memory * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))

    return apply
