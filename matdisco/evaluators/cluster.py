"""Evaluations through any ``concurrent.futures.Executor``, Parsl's on clusters.

A task is one call of :func:`run_job` in a remote worker. The simulator itself runs in
a child process there, long-lived, killed at its time limit, surviving its parent: when
the remote worker dies, the child finishes what it has begun and leaves the result on
the shared file system, and the evaluation's lock makes whoever repeats it wait for
that. So neither the death of a worker, nor of a job, nor of the campaign loses an
answer or computes one twice. (Locks need a file system with ``flock`` between nodes;
NFSv4, GPFS and Lustre mounted with ``flock`` have it.)
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path

from matdisco.crystal import Crystal
from matdisco.errors import MissingExtra, SetupError
from matdisco.evaluators.base import Evaluation, EvaluatorRecipe, Failure, FailureKind
from matdisco.evaluators.execution_recipe import ClusterRecipe, ExecutionRecipe
from matdisco.evaluators.process import Job, WorkerProcess
from matdisco.evaluators.results import read_result, write_result
from matdisco.evaluators.worker import no_room

LOST = 5
"""How often an evaluation whose worker or job was lost is submitted again: jobs end for
reasons that have nothing to do with it."""

_processes: dict[str, WorkerProcess] = {}


def run_job(recipe: str, execution: str, job: str, logs: str) -> str:
    """Evaluate in a child process of this remote worker; return the evaluation as JSON.

    Args:
        recipe: the evaluator, JSON.
        execution: the limits, JSON.
        job: crystal, key and folder, JSON.
        logs: folder for the child's output, on the shared file system.
    """
    process = _processes.get(recipe)
    if process is None:
        limits = ExecutionRecipe.model_validate_json(execution)
        log = Path(logs) / f"{os.uname().nodename}-{os.getpid()}.log"
        process = _processes[recipe] = WorkerProcess(recipe, limits, log)
    data = json.loads(job)
    folder = Path(data["folder"])
    crystal = Crystal.from_dict(data["crystal"])
    return json.dumps(process.evaluate(Job(crystal, data["key"], folder)).to_dict())


class ExecutorPool:
    """Workers behind any executor whose processes share a file system with this one.

    Args:
        executor: where :func:`run_job` is called.
        recipe: the evaluator.
        execution: limits.
        logs: folder for the workers' output.
        closing: called when the executor has ended.
    """

    def __init__(
        self,
        executor: Executor,
        recipe: EvaluatorRecipe,
        execution: ExecutionRecipe,
        logs: Path,
        closing: Callable[[], None] = lambda: None,
    ) -> None:
        self._executor, self._closing = executor, closing
        logs.mkdir(parents=True, exist_ok=True)
        self._cores = execution.cores
        self._call = (recipe.model_dump_json(), execution.model_dump_json())
        self._logs = str(logs.resolve())
        self._stopping = threading.Event()

    def submit(self, crystal: Crystal, key: str, folder: Path) -> Future[Evaluation]:
        """Queue one evaluation, unless its result is there already."""
        future: Future[Evaluation] = Future()
        found = read_result(folder)
        if found is not None:
            future.set_result(found)
            return future
        self._send(Job(crystal, key, folder.resolve()), future, 1, 0.0)
        return future

    def shutdown(self, *, kill: bool = False) -> None:
        """End the executor; what still runs leaves its results in its folders."""
        self._stopping.set()
        self._executor.shutdown(wait=not kill)
        self._closing()

    def _send(
        self, job: Job, future: Future[Evaluation], attempt: int, lost: float
    ) -> None:
        text = json.dumps(
            {
                "crystal": job.crystal.to_dict(),
                "key": job.key,
                "folder": str(job.folder),
            }
        )
        inner = self._executor.submit(run_job, *self._call, text, self._logs)
        inner.add_done_callback(
            lambda done: self._answer(done, job, future, attempt, lost)
        )

    def _answer(
        self,
        inner: Future[str],
        job: Job,
        future: Future[Evaluation],
        attempt: int,
        lost: float,
    ) -> None:
        """Pass an answer on; submit again where the worker or its job was lost.

        ``lost`` is the core-seconds of earlier attempts that left nothing.
        """
        if self._stopping.is_set() or future.cancelled():
            future.cancel()
            return
        error = inner.exception()
        try:
            if error is None:
                answer = Evaluation.from_dict(json.loads(inner.result()))
            else:
                found = read_result(job.folder)
                if found is None and (isinstance(error, SetupError) or no_room(error)):
                    future.set_exception(error)
                    return
                if found is None:
                    lost += _since(job.folder / "lock") * self._cores
                if found is None and attempt <= LOST:
                    self._send(job, future, attempt + 1, lost)
                    return
                answer = found or self._lost(job, error, attempt)
            if not future.cancelled():
                future.set_result(
                    replace(
                        answer,
                        attempts=max(attempt, answer.attempts),
                        spent=answer.spent + lost,
                    )
                )
        except BaseException as failure:
            if not future.done():
                future.set_exception(failure)

    def _lost(self, job: Job, error: BaseException, attempt: int) -> Evaluation:
        message = f"{type(error).__name__}: {error}".rstrip(": ")
        evaluation = Evaluation(
            job.key,
            job.crystal.id,
            failure=Failure(FailureKind.WORKER_LOST, message),
            attempts=attempt,
        )
        write_result(job.folder, evaluation)
        return evaluation


def _since(lock: Path) -> float:
    """Return the seconds since a worker took up an evaluation; 0 if none did."""
    try:
        return max(0.0, round(time.time() - lock.stat().st_mtime, 3))
    except FileNotFoundError:
        return 0.0


def open_cluster(
    recipe: EvaluatorRecipe,
    execution: ExecutionRecipe,
    cluster: ClusterRecipe,
    logs: Path,
) -> ExecutorPool:
    """Start Parsl for ``cluster`` and return the workers behind it.

    Raises:
        SetupError: Parsl or the scheduler cannot be used.
    """
    execution.check()
    try:
        from parsl.concurrent import ParslPoolExecutor
    except ImportError:
        raise MissingExtra("parsl", "hpc") from None
    from matdisco.evaluators.schedulers import log_to, parsl_config

    logs.mkdir(parents=True, exist_ok=True)
    # Parsl starts its interchange by name
    here = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([here, os.environ.get("PATH", "")])
    executor = ParslPoolExecutor(parsl_config(execution, cluster, logs))
    return ExecutorPool(executor, recipe, execution, logs, log_to(logs / "parsl.log"))
