"""What an ``execution:`` block may say (no heavy imports)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from pydantic import Field

from matdisco.errors import MissingExtra, SetupError
from matdisco.recipe import Recipe

PROGRAMS = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub", "flux": "flux"}
"""The command by which each scheduler takes jobs."""


class ClusterRecipe(Recipe):
    """Pilot jobs of a scheduler, through Parsl (extra hpc)."""

    kind: Literal["slurm", "pbs", "lsf", "flux", "kubernetes", "local"]
    """Slurm, PBS Pro, LSF, Flux, Kubernetes, or processes of this machine. matdisco's
    makers ran Slurm and local for real, PBS Pro, LSF and Kubernetes against programs in
    the scheduler's place that obey their scripts, Flux not at all."""
    partition: str | None = None
    """Partition (Slurm) or queue (PBS, LSF); namespace (Kubernetes)."""
    account: str | None = None
    """Account or project to charge."""
    walltime: str = Field("01:00:00", pattern=r"^\d{1,3}:[0-5]\d:[0-5]\d$")
    """Length of one job, hours:minutes:seconds."""
    nodes: int = Field(1, ge=1)
    """Nodes of one job."""
    workers_per_node: int = Field(1, ge=1)
    """Evaluations at a time on one node."""
    jobs: int = Field(1, ge=1)
    """Jobs at a time, at most."""
    worker_init: str = ""
    """Shell lines before the workers start, such as ``module load``. The environment
    that runs the campaign is put on PATH already."""
    options: str = ""
    """Further lines for the job script, such as ``#SBATCH --mem=8G``."""
    memory: float | None = Field(None, gt=0)
    """GiB on each node of a job, rounded up; the scheduler's default when not given (2
    for each worker with Kubernetes). For LSF, whose units are a site's own, use
    ``options``."""
    image: str | None = None
    """Container with matdisco in it (Kubernetes)."""
    volumes: Mapping[str, str] = Field(default_factory=dict)
    """Persistent volume claims and where pods mount them (Kubernetes). The run folder
    must lie on one, under the same path as here."""
    address: str | None = None
    """Address of this machine as the nodes see it; found out when not given."""
    heartbeat: int = Field(30, ge=5)
    """Seconds without a sign of life after which a job counts as lost."""

    @property
    def seconds(self) -> int:
        """The walltime in seconds."""
        hours, minutes, seconds = map(int, self.walltime.split(":"))
        return 3600 * hours + 60 * minutes + seconds


class ExecutionRecipe(Recipe):
    """How evaluations are run."""

    workers: int = Field(2, ge=1, le=1024)
    """Worker processes on this machine; with a cluster, evaluations on their way."""
    cluster: ClusterRecipe | None = None
    """Run evaluations as jobs of a cluster instead of on this machine."""
    mode: Literal["rounds", "continuous"] = "rounds"
    """rounds: propose when a whole batch is answered; the same seed gives the same
    campaign. continuous: propose as results arrive, so that no worker waits for the
    slowest of a batch; what is proposed then depends on the order of arrival."""
    ahead: int = Field(2, ge=1)
    """Continuous: proposals kept waiting beyond those that run, so that workers have
    work while the surrogate learns."""
    timeout: float = Field(600.0, gt=0)
    """Seconds after which one evaluation is killed."""
    retries: int = Field(1, ge=0, le=10)
    """Further tries after a transient failure (a lost worker)."""
    cores: int = Field(1, ge=1)
    """Cores that one evaluation keeps busy, for the account of core-hours: 1 unless
    the code runs in parallel (``command: mpirun -np 4 pw.x`` takes 4)."""
    price_per_core_hour: float = Field(0.0, ge=0)
    """What a core-hour costs, in the currency of ``budget.currency``."""
    memory: float | None = Field(None, gt=0)
    """GiB of data a worker may allocate; no limit when not given."""
    tolerated_failure_rate: float = Field(0.5, ge=0, le=1)
    """Stop the campaign when more than this share of evaluations failed."""
    failures_before_stop: int = Field(10, ge=1)
    """Judge that rate only after this many evaluations."""

    def check(self) -> None:
        """Refuse a cluster that cannot be used from here.

        Raises:
            SetupError: Parsl or the scheduler is missing, or a job is too short.
        """
        cluster = self.cluster
        if cluster is None:
            return
        if find_spec("parsl") is None:
            raise MissingExtra("parsl", "hpc")
        program = PROGRAMS.get(cluster.kind)
        if program and shutil.which(program) is None:
            raise SetupError(
                f"execution.cluster: {program} is not on PATH; run the campaign on a "
                f"login node of the {cluster.kind} cluster"
            )
        if cluster.kind == "kubernetes" and cluster.image is None:
            raise SetupError("execution.cluster.image: required with kubernetes")
        if cluster.kind == "lsf" and cluster.memory is not None:
            raise SetupError(
                "execution.cluster.memory: LSF counts memory in a unit of the site; "
                "ask with execution.cluster.options, for example: "
                '#BSUB -R "rusage[mem=8G]"'
            )
        if cluster.kind != "local" and cluster.seconds <= self.timeout + 60:
            raise SetupError(
                f"execution.cluster.walltime: a job of {cluster.walltime} is too short "
                f"for one evaluation of up to {self.timeout:g} s (execution.timeout) "
                "and a minute to start"
            )
        if cluster.kind == "kubernetes" and find_spec("kubernetes") is None:
            raise SetupError(
                "execution.cluster: Parsl needs the package kubernetes for this kind; "
                "install it with: pip install kubernetes 'python-dateutil<3' (its "
                "newest release asks for a dateutil that MLflow cannot take)"
            )
