"""Local execution: long-lived worker processes with limits that really kill.

The seam is ``concurrent.futures``: :meth:`WorkerPool.submit` returns a Future of
an Evaluation. A crash, hang or overrun of the backend costs one worker process and
becomes one failed evaluation; it never reaches the driver as an exception.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.evaluators.base import Evaluation, EvaluatorRecipe
from matdisco.evaluators.execution_recipe import ExecutionRecipe
from matdisco.evaluators.process import Job, WorkerProcess


class Workers(Protocol):
    """Where evaluations run: this machine's processes, or a cluster."""

    def submit(self, crystal: Crystal, key: str, folder: Path) -> Future[Evaluation]:
        """Queue one evaluation; a result found in ``folder`` is returned."""
        ...

    def shutdown(self, *, kill: bool = False) -> None:
        """End, after the running jobs or (``kill``) at once."""
        ...


def open_workers(
    recipe: EvaluatorRecipe, execution: ExecutionRecipe, logs: Path
) -> Workers:
    """Start the workers that ``execution`` asks for.

    Raises:
        SetupError: a cluster's scheduler or Parsl is missing.
    """
    if execution.cluster is None:
        return WorkerPool(recipe, execution, logs)
    from matdisco.evaluators.cluster import open_cluster

    return open_cluster(recipe, execution, execution.cluster, logs)


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
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Evaluation]] | None] = (
            queue.SimpleQueue()
        )
        logs.mkdir(parents=True, exist_ok=True)
        self._slots = [
            _Slot(
                self._jobs,
                WorkerProcess(
                    recipe.model_dump_json(),
                    execution,
                    logs / f"worker-{i}.log",
                    environment,
                ),
            )
            for i in range(execution.workers)
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
        self._jobs.put((Job(crystal, key, folder), future))
        return future

    def shutdown(self, *, kill: bool = False) -> None:
        """End the workers, after the running jobs or (``kill``) at once."""
        for slot in self._slots:
            slot.process.stopping.set()
        while True:  # drop what nobody has begun
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is not None:
                job[1].cancel()
        for slot in self._slots:
            if kill:
                slot.process.kill()
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


class _Slot(threading.Thread):
    """Feeds one worker process from the pool's queue."""

    def __init__(
        self,
        jobs: queue.SimpleQueue[tuple[Job, Future[Evaluation]] | None],
        process: WorkerProcess,
    ) -> None:
        super().__init__(daemon=True)
        self._jobs, self.process = jobs, process

    @override
    def run(self) -> None:
        try:
            while (item := self._jobs.get()) is not None:
                job, future = item
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    future.set_result(self.process.evaluate(job))
                except BaseException as error:
                    future.set_exception(error)
        finally:
            self.process.close()
