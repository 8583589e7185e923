"""Any executor as workers; Parsl's local provider; what a cluster's block may say."""

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest
from ase.build import bulk
from evaluators import log_lines

from matdisco.crystal import Crystal
from matdisco.errors import SetupError
from matdisco.evaluators.base import FailureKind, evaluation_key
from matdisco.evaluators.cluster import ExecutorPool
from matdisco.evaluators.execution import open_workers
from matdisco.evaluators.execution_recipe import ClusterRecipe, ExecutionRecipe
from matdisco.evaluators.function import FunctionRecipe
from matdisco.evaluators.schedulers import _provider, drain_period, worker_init


def function(name="emt_energy", **settings):
    return FunctionRecipe(
        function=f"evaluators:{name}", returns=("energy_per_atom",), settings=settings
    )


def copper(n):
    return [Crystal.from_atoms(bulk("Cu", a=3.5 + 0.01 * i), f"c{i}") for i in range(n)]


def submit(pool, thing, recipe, root):
    key = evaluation_key(thing, recipe)
    return pool.submit(thing, key, root / key[:16])


def test_a_killed_remote_worker_loses_nothing_and_repeats_nothing(tmp_path):
    """kill -9 of the process that runs the task: its child finishes, once."""
    log = tmp_path / "log"
    recipe = function(log=str(log), delay=1.0)
    execution = ExecutionRecipe(workers=1, timeout=60)
    # a broken process pool refuses further work, so each submission gets a new one,
    # as a scheduler gives a new job
    executors = []

    class Renewed(ProcessPoolExecutor):
        def submit(self, *call):
            executors.append(ProcessPoolExecutor(1, get_context("spawn")))
            return executors[-1].submit(*call)

    with Renewed(1) as renewed:
        pool = ExecutorPool(renewed, recipe, execution, tmp_path / "logs")
        (thing,) = copper(1)
        future = submit(pool, thing, recipe, tmp_path)
        lock = tmp_path / evaluation_key(thing, recipe)[:16] / "lock"
        deadline = time.monotonic() + 60
        while not lock.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        (process,) = executors[0]._processes.values()
        os.kill(process.pid, signal.SIGKILL)
        answer = future.result(90)
        again = submit(pool, thing, recipe, tmp_path).result(5)
    for executor in executors:
        executor.shutdown()
    assert answer.ok and again.ok
    assert log_lines(log) == ["c0"]


def test_what_keeps_failing_is_a_failure_and_what_cannot_start_an_error(tmp_path):
    recipe = function()

    class Broken(ThreadPoolExecutor):
        def submit(self, *call):
            return super().submit(lambda: 1 / 0)

    with Broken(1) as broken:
        pool = ExecutorPool(broken, recipe, ExecutionRecipe(), tmp_path / "logs")
        answer = submit(pool, copper(1)[0], recipe, tmp_path).result(30)
        assert answer.failure.kind is FailureKind.WORKER_LOST
        assert "ZeroDivisionError" in answer.failure.message
        assert answer.attempts == 6


def test_parsl_on_this_machine(tmp_path):
    pytest.importorskip("parsl", reason="Parsl is not installed: matdisco[hpc]")
    recipe = function(log=str(tmp_path / "log"))
    execution = ExecutionRecipe.model_validate(
        {"timeout": 60, "cluster": {"kind": "local", "address": "127.0.0.1"}}
    )
    pool = open_workers(recipe, execution, tmp_path / "logs")
    try:
        things = copper(4)
        answers = [submit(pool, t, recipe, tmp_path) for t in things]
        assert all(a.result(120).ok for a in answers)
    finally:
        pool.shutdown()
    assert sorted(log_lines(tmp_path / "log")) == ["c0", "c1", "c2", "c3"]


def test_a_job_that_is_too_short_is_refused():
    pytest.importorskip("parsl", reason="Parsl is not installed: matdisco[hpc]")
    short = {"timeout": 900, "cluster": {"kind": "lsf", "walltime": "00:10:00"}}
    with pytest.raises(SetupError, match="bsub is not on PATH"):
        ExecutionRecipe.model_validate(short).check()
    short["cluster"] = {"kind": "kubernetes", "walltime": "00:10:00", "image": "x"}
    with pytest.raises(
        SetupError, match=r"a job of 00:10:00 is too short for one eval"
    ):
        ExecutionRecipe.model_validate(short).check()


@pytest.mark.parametrize(
    ("kind", "launcher"),
    [("slurm", "SrunLauncher"), ("pbs", "MpiExecLauncher"), ("lsf", "JsrunLauncher")],
)
def test_nothing_begins_that_could_not_end_within_its_job(kind, launcher):
    pytest.importorskip("parsl", reason="Parsl is not installed: matdisco[hpc]")
    execution = ExecutionRecipe.model_validate(
        {"timeout": 900, "cluster": {
            "kind": kind, "walltime": "02:00:00", "account": "a1", "partition": "long",
            "nodes": 3, "workers_per_node": 4, "jobs": 5, "options": "#EXTRA"}}
    )  # fmt: skip
    # no more work is sent to a job once less than a whole evaluation is left of it
    assert drain_period(execution, execution.cluster) == 2 * 3600 - 900 - 30
    provider = _provider(execution, execution.cluster)
    assert provider.walltime == "02:00:00" and provider.max_blocks == 5
    assert type(provider.launcher).__name__ == launcher
    assert provider.nodes_per_block == 3
    assert "#EXTRA" in provider.scheduler_options


def test_workers_get_this_environment():
    text = worker_init(ClusterRecipe(kind="slurm", worker_init="module load gcc"))
    assert text.startswith("module load gcc\nexport PATH=")
    assert "OMP_NUM_THREADS=1" in text and "PYTHONPATH=" in text
