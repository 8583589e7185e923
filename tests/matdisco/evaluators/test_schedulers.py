"""What is said to PBS Pro, LSF and Kubernetes, by stand-ins that obey; Flux's setting.

The engine itself, killed in every way, is tested on a real Slurm: `make slurm-demo`.
"""

import os
import sys
from pathlib import Path

import pytest
import yaml
from ase.build import bulk
from evaluators import log_lines
from standin_schedulers import Pods, end_all, install

from matdisco.crystal import Crystal
from matdisco.errors import SetupError
from matdisco.evaluators.base import evaluation_key
from matdisco.evaluators.execution import open_workers
from matdisco.evaluators.execution_recipe import ClusterRecipe, ExecutionRecipe
from matdisco.evaluators.function import FunctionRecipe
from matdisco.evaluators.schedulers import worker_init

pytestmark = pytest.mark.timeout(900)


def four_evaluations(folder, **cluster):
    """Run through a scheduler; return the answers."""
    recipe = FunctionRecipe(
        function="evaluators:emt_energy", returns=("energy_per_atom",),
        settings={"log": str(folder / "log")},
    )  # fmt: skip
    execution = ExecutionRecipe.model_validate(
        {"timeout": 300, "cores": 2, "cluster": {
            "walltime": "01:30:00", "account": "mat1", "partition": "long",
            "workers_per_node": 2, "address": "127.0.0.1", **cluster}}
    )  # fmt: skip
    execution.check()
    things = [Crystal.from_atoms(bulk("Cu", a=3.5 + i / 50), f"c{i}") for i in range(4)]
    pool = open_workers(recipe, execution, folder / "logs")
    try:
        keys = [evaluation_key(t, recipe) for t in things]
        futures = [
            pool.submit(t, key, folder / "evaluations" / key[:16])
            for t, key in zip(things, keys, strict=True)
        ]
        answers = [f.result(600) for f in futures]
    finally:
        pool.shutdown()
    assert all(a.ok for a in answers)
    assert sorted(log_lines(folder / "log")) == ["c0", "c1", "c2", "c3"]
    return answers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("pbs", ["#PBS -l walltime=01:30:00", "#PBS -l select=1:ncpus=4:mem=8gb",
                 "#SITE line"]),
        ("lsf", ["#BSUB -W 90", "#BSUB -P mat1", "#BSUB -q long", "#BSUB -n 4",
                 '#BSUB -R "span[ptile=4]"', "#SITE line"]),
    ],
)  # fmt: skip
def test_jobs_of_pbs_and_lsf(tmp_path, monkeypatch, kind, lines):
    pytest.importorskip("parsl", reason="Parsl is not installed: matdisco[hpc]")
    jobs = install(kind, tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    memory = {"memory": 7.5} if kind == "pbs" else {}
    try:
        four_evaluations(
            tmp_path, kind=kind, options="#SITE line",
            worker_init="export FROM_THE_SITE=1", **memory,
        )  # fmt: skip
    finally:
        end_all(jobs)
    script = next(p for p in jobs.iterdir() if not p.name.startswith(".")).read_text()
    for line in [*lines, "export FROM_THE_SITE=1", "export OMP_NUM_THREADS=1"]:
        assert line in script.replace("OPENBLAS", "\nexport OPENBLAS"), script
    if kind == "pbs":
        asked = (jobs / ".commands").read_text()
        assert "-q long" in asked and "-A mat1" in asked


@pytest.mark.slow
# Parsl never closes the connections of Kubernetes' client
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_pods_of_kubernetes(tmp_path, monkeypatch):
    pytest.importorskip("parsl", reason="Parsl is not installed: matdisco[hpc]")
    pytest.importorskip(
        "kubernetes", reason="not installed: pip install kubernetes 'python-dateutil<3'"
    )
    pods = Pods()
    settings = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": pods.url}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": {}}],
    }  # fmt: skip
    (tmp_path / "kube").write_text(yaml.safe_dump(settings))
    # the client reads the variable when it is imported
    from kubernetes.config import kube_config

    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION",
                        str(tmp_path / "kube"))  # fmt: skip
    # the "image" has this environment
    here = Path(sys.executable).parent
    paths = os.pathsep.join(p for p in sys.path if p)
    try:
        four_evaluations(
            tmp_path, kind="kubernetes", image="lab/matdisco:1", memory=3.2,
            volumes={"scratch": "/scratch"},
            worker_init=f"export PATH={here}:$PATH PYTHONPATH={paths}",
        )  # fmt: skip
    finally:
        pods.close()
    (manifest, *_) = pods.manifests.values()
    box = manifest["spec"]["containers"][0]
    assert manifest["metadata"].get("namespace", "long") == "long"
    assert box["image"] == "lab/matdisco:1"
    assert box["resources"]["limits"] == {"cpu": "4", "memory": "4Gi"}
    assert box["volumeMounts"] == [{"mountPath": "/scratch", "name": "scratch"}]


def test_a_container_keeps_its_own_environment():
    inside = worker_init(ClusterRecipe(kind="kubernetes", image="x"))
    assert "PATH=" not in inside and "OMP_NUM_THREADS=1" in inside


def test_what_a_scheduler_cannot_be_asked(monkeypatch, tmp_path):
    pytest.importorskip("parsl", reason="Parsl is not installed: matdisco[hpc]")
    install("lsf", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked = ExecutionRecipe.model_validate({"cluster": {"kind": "lsf", "memory": 8}})
    with pytest.raises(SetupError, match="LSF counts memory in a unit of the site"):
        asked.check()
    flux = ExecutionRecipe.model_validate({"cluster": {"kind": "flux"}})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="flux is not on PATH"):
        flux.check()
