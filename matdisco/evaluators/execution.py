"""Local execution: long-lived worker processes with limits that really kill.

The seam is ``concurrent.futures``: :meth:`WorkerPool.submit` returns a Future of
an Evaluation. A crash, hang or overrun of the backend costs one worker process and
becomes one failed evaluation; it never reaches the driver as an exception.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.errors import SetupError
from matdisco.evaluators.base import (
    TRANSIENT,
    Evaluation,
    EvaluatorRecipe,
    Failure,
    FailureKind,
)
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


@dataclass(frozen=True, slots=True)
class _Job:
    crystal: Crystal
    key: str
    folder: Path
    future: Future[Evaluation]


class WorkerPool:
    """Runs evaluations in ``execution.workers`` processes on this machine.

    Args:
        recipe: the evaluator that every worker builds.
        execution: number of workers and limits.
        logs: folder for the workers' own output.
        environment: extra environment variables of the workers.
    """

    def __init__(
        self,
        recipe: EvaluatorRecipe,
        execution: ExecutionRecipe,
        logs: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [
            sys.executable,
            "-m",
            "matdisco.evaluators.worker",
            recipe.model_dump_json(),
        ]
        self._execution = execution
        self._environment = {**os.environ, **ONE_THREAD, **(environment or {})}
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        logs.mkdir(parents=True, exist_ok=True)
        self._slots = [
            _Slot(self, logs / f"worker-{i}.log") for i in range(execution.workers)
        ]
        for slot in self._slots:
            slot.start()

    def submit(self, crystal: Crystal, key: str, folder: Path) -> Future[Evaluation]:
        """Queue one evaluation.

        Args:
            crystal: the candidate.
            key: its evaluation key.
            folder: the evaluation's folder; a result found there is returned.
        """
        future: Future[Evaluation] = Future()
        self._jobs.put(_Job(crystal, key, folder, future))
        return future

    def shutdown(self, *, kill: bool = False) -> None:
        """End the workers, after the running jobs or (``kill``) at once."""
        self._stopping.set()
        while True:  # drop what nobody has begun
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is not None:
                job.future.cancel()
        for slot in self._slots:
            if kill:
                slot.kill()
            self._jobs.put(None)
        for slot in self._slots:
            slot.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown(kill=kind is not None)


class _WorkerDied(Exception):
    pass


class _Overrun(Exception):
    pass


class _Slot(threading.Thread):
    """Feeds one worker process and replaces it when it dies."""

    def __init__(self, pool: WorkerPool, log: Path) -> None:
        super().__init__(name=log.stem, daemon=True)
        self._pool, self._log = pool, log
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    @override
    def run(self) -> None:
        try:
            while (job := self._pool._jobs.get()) is not None:
                if not job.future.set_running_or_notify_cancel():
                    continue
                try:
                    job.future.set_result(self._evaluate(job))
                except BaseException as error:
                    job.future.set_exception(error)
        finally:
            self._close()

    def kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            _kill_group(process)

    def _evaluate(self, job: _Job) -> Evaluation:
        found = read_result(job.folder)
        attempt = 0
        while found is None:
            attempt += 1
            found = self._try(job, attempt)
            transient = found.failure is not None and found.failure.kind in TRANSIENT
            if self._pool._stopping.is_set() and transient:
                raise InterruptedError("stopped before an answer came")
            if transient and attempt <= self._pool._execution.retries:
                found = None
            elif found.failure is not None and read_result(job.folder) is None:
                write_result(job.folder, found)
        return found

    def _try(self, job: _Job, attempt: int) -> Evaluation:
        execution, clock = self._pool._execution, time.perf_counter()

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
                }
            )
            # Before it starts, a worker may wait for an orphan of an earlier
            # driver, which the kernel ends at its own timeout.
            message = self._receive(execution.timeout + 2 * GRACE)
            if message["event"] == "started":
                clock = time.perf_counter()
                self._receive(execution.timeout)
        except _Overrun:
            self.kill()
            self._close()
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
        self._close()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._pool._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._pool._environment,
                start_new_session=True,  # Ctrl-C is for the driver alone
                preexec_fn=_limit(self._pool._execution.memory),
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
        self._close()
        if code < 0:
            name = signal.Signals(-code).name
            return f"the worker process was killed by signal {-code} ({name})"
        return f"the worker process ended with exit code {code}"

    def _close(self) -> None:
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
