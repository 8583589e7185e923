"""Parsl's configuration for each scheduler, from a cluster block's few lines."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matdisco.evaluators.execution_recipe import ClusterRecipe, ExecutionRecipe
from matdisco.evaluators.process import LAUNCHERS, ONE_THREAD

POD_MEMORY = 2.0
"""GiB for each worker of a Kubernetes pod that names no memory: PyTorch with a graph
potential takes 0.7, small plane-wave calculations up to 2. Parsl's own limit, 0.5,
would kill both."""


def parsl_config(execution: ExecutionRecipe, cluster: ClusterRecipe, logs: Path) -> Any:
    """Return Parsl's configuration for a cluster."""
    from parsl.config import Config
    from parsl.executors import FluxExecutor, HighThroughputExecutor

    provider = _provider(execution, cluster)
    if cluster.kind == "flux":
        # every task is a Flux job; its files are beside the log, not where one stands
        home = str((logs / "flux").resolve())
        executors: list[Any] = [
            FluxExecutor(label="matdisco", provider=provider, working_dir=home)
        ]
    else:
        executors = [
            HighThroughputExecutor(
                label="matdisco",
                provider=provider,
                address=cluster.address,
                max_workers_per_node=cluster.workers_per_node,
                cores_per_worker=1e-6,  # as many workers as asked, whatever the cores
                heartbeat_period=max(1, cluster.heartbeat // 3),
                heartbeat_threshold=cluster.heartbeat,
                drain_period=drain_period(execution, cluster),
                # jobs that end early are replaced, as long as there is work
                block_error_handler=False,
                encrypted=cluster.kind != "local" and cluster.address != "127.0.0.1",
            )
        ]
    return Config(
        executors=executors,
        run_dir=str((logs / "parsl").resolve()),
        strategy_period=2,
        max_idletime=60.0,
        usage_tracking=0,
        initialize_logging=False,  # its own never closes the file: see log_to
    )


def log_to(path: Path) -> Callable[[], None]:
    """Let Parsl log into a file; return what ends that and closes it."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(
        logging.Formatter(
            "%(asctime)s %(threadName)s %(name)s %(levelname)s %(message)s"
        )
    )
    logger = logging.getLogger("parsl")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)

    def end() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()

    return end


def drain_period(execution: ExecutionRecipe, cluster: ClusterRecipe) -> int | None:
    """Return the seconds after which a job takes no further work.

    Nothing begins that could not end within its job.
    """
    if cluster.kind == "local":
        return None
    return max(30, int(cluster.seconds - execution.timeout - 30))


def _provider(execution: ExecutionRecipe, cluster: ClusterRecipe) -> Any:
    from parsl import launchers
    from parsl import providers as untyped

    providers: Any = untyped

    common: Mapping[str, Any] = {
        "nodes_per_block": cluster.nodes,
        "init_blocks": 1,
        "min_blocks": 0,
        "max_blocks": cluster.jobs,
        "worker_init": worker_init(cluster),
    }
    # what starts the workers on every node of a job
    across = {
        "slurm": launchers.SrunLauncher,
        "pbs": launchers.MpiExecLauncher,
        "lsf": launchers.JsrunLauncher,
    }
    simple = cluster.nodes == 1 or cluster.kind not in across
    launcher = launchers.SimpleLauncher() if simple else across[cluster.kind]()
    cores = cluster.workers_per_node * execution.cores
    memory = None if cluster.memory is None else math.ceil(cluster.memory)
    if cluster.kind == "slurm":
        return providers.SlurmProvider(
            partition=cluster.partition, account=cluster.account,
            walltime=cluster.walltime, scheduler_options=cluster.options,
            exclusive=False, cores_per_node=cores, mem_per_node=memory,
            launcher=launcher, **common,
        )  # fmt: skip
    if cluster.kind == "pbs":
        return providers.PBSProProvider(
            queue=cluster.partition, account=cluster.account,
            walltime=cluster.walltime, scheduler_options=cluster.options,
            select_options="" if memory is None else f"mem={memory}gb",
            cpus_per_node=cores, launcher=launcher, **common,
        )  # fmt: skip
    if cluster.kind == "lsf":
        # jobs of several nodes need jsrun, and with it LSF's -nnodes; others ask for
        # cores, which every LSF knows. Without "<" LSF would not read the #BSUB lines.
        return providers.LSFProvider(
            queue=cluster.partition, project=cluster.account,
            walltime=cluster.walltime, scheduler_options=cluster.options,
            request_by_nodes=not simple, cores_per_block=cores * cluster.nodes,
            cores_per_node=cores, bsub_redirection=True, launcher=launcher, **common,
        )  # fmt: skip
    if cluster.kind == "kubernetes":
        needed = memory or math.ceil(POD_MEMORY * cluster.workers_per_node)
        return providers.KubernetesProvider(
            image=cluster.image or "",
            namespace=cluster.partition or "default",
            init_cpu=cores, max_cpu=cores,
            init_mem=f"{needed}Gi", max_mem=f"{needed}Gi",
            persistent_volumes=list(cluster.volumes.items()), **common,
        )  # fmt: skip
    return providers.LocalProvider(launcher=launcher, **common)


def worker_init(cluster: ClusterRecipe) -> str:
    """Return the shell lines that give the workers this process's environment.

    A container has an environment of its own; there only the threads are set.
    """
    here = str(Path(sys.executable).parent)
    paths = os.pathsep.join(p for p in sys.path if p and Path(p).is_dir())
    ours = [f"export PATH={here}:$PATH", f"export PYTHONPATH={paths}"]
    lines = [
        cluster.worker_init,
        *(ours if cluster.kind != "kubernetes" else ()),
        "export " + " ".join(f"{k}={v}" for k, v in ONE_THREAD.items()),
        "unset " + " ".join(f"${{!{p}*}}" for p in LAUNCHERS) + " 2>/dev/null || true",
    ]
    return "\n".join(line for line in lines if line)
