"""Evaluations as Slurm jobs: whatever is killed, none is lost, none is made twice.

Run with `make slurm-demo`, which installs and starts a one-node Slurm.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml
from campaign_files import small_campaign
from evaluators import log_lines

from campaigns import Campaign

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slurm, pytest.mark.timeout(3600)]


@pytest.fixture(autouse=True)
def running_slurm():
    if not shutil.which("sinfo") or subprocess.run(["sinfo", "-h"]).returncode:
        pytest.fail("no Slurm answers here; run: make slurm-demo")
    yield
    subprocess.run(["scancel", "--me"], check=False)


def config(folder):
    path = folder / "campaign.yaml"
    settings = small_campaign(
        evaluator={
            "kind": "function",
            "function": "evaluators:emt_energy",
            "returns": ["energy_per_atom"],
            "settings": {"log": str(folder / "log"), "delay": 1.5},
        },
        execution={
            "timeout": 60,
            "cluster": {
                "kind": "slurm", "partition": "debug", "walltime": "00:10:00",
                "workers_per_node": 2, "heartbeat": 10, "address": "127.0.0.1",
            },
        },
    )  # fmt: skip
    path.write_text(yaml.safe_dump(settings))
    return path


def start(folder, path):
    return subprocess.Popen(
        [sys.executable, "-c", "from campaigns.cli import main; main()", "run",
         str(path), "--to", str(folder / "run"), "--quiet"],
        cwd=folder, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait_for(answers, n, process):
    """Wait until there are n of what ``answers()`` returns."""
    # generous: a starved machine took four minutes to begin
    deadline = time.monotonic() + 1200
    while len(answers()) < n:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no answers came"
        time.sleep(0.1)


def kill_worker(process):
    """kill -9 one process that holds a remote worker, inside the Slurm job."""
    workers = [
        p for p in psutil.process_iter(["name", "cmdline"])
        if "HTEX-Worker" in p.info["name"] or "process_worker_pool.py" in " ".join(
            p.info["cmdline"] or [])
    ]  # fmt: skip
    children = [c for p in workers for c in p.children() if "worker" in c.name().lower()
                or "python" in c.name().lower()]  # fmt: skip
    assert children
    os.kill(children[-1].pid, signal.SIGKILL)


def cancel_job(process):
    subprocess.run(["scancel", "--me"], check=True)


def kill_driver(process):
    os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def ended(folder, process, n, timeout):
    """Wait for the run to end well and give its campaign of n evaluations."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output
    with Campaign.open(folder / "run") as campaign:
        assert campaign.verify()
        assert campaign.finished == f"budget: {n} evaluations are spent"
        yield campaign


@pytest.mark.parametrize("strike", [kill_worker, cancel_job, kill_driver])
def test_whatever_is_killed_the_campaign_ends_complete(tmp_path, strike):
    path = config(tmp_path)
    process = start(tmp_path, path)
    wait_for(lambda: log_lines(tmp_path / "log"), 3, process)
    strike(process)
    if strike is kill_driver:
        process.communicate()
        process = start(tmp_path, path)
    with ended(tmp_path, process, 20, timeout=1800) as campaign:
        assert len(campaign.state.answered) == 20
        evaluated = [
            e.payload["evaluation"]["crystal_id"]
            for e in campaign.ledger.events("evaluated")
        ]
    assert len(evaluated) == len(set(evaluated)) == 20  # none lost
    calls = Counter(log_lines(tmp_path / "log"))
    assert set(calls) == set(evaluated)
    assert set(calls.values()) == {1}  # none made twice


def test_the_quickstarts_evaluations_as_slurm_jobs(tmp_path):
    """CHGNet relaxations of the quickstart's pool, a worker killed on the way."""
    settings = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
    settings |= {
        "surrogate": {"kind": "gaussian_process"},  # the jobs are in question, not it
        "tracking": {"enabled": False},
        "start": {"per_element": 1, "random": 5},
        "budget": {"evaluations": 16},
        "review": {},
        "execution": {
            "timeout": 240,
            "cluster": {
                "kind": "slurm", "partition": "debug", "walltime": "00:15:00",
                "workers_per_node": 2, "heartbeat": 10, "address": "127.0.0.1",
            },
        },
    }  # fmt: skip
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(settings))
    process = start(tmp_path, path)
    evaluations = tmp_path / "run" / "evaluations"
    wait_for(lambda: list(evaluations.glob("*/result.json")), 3, process)
    kill_worker(process)
    with ended(tmp_path, process, 16, timeout=2400) as campaign:
        assert len(campaign.state.evaluations) == 16
        methods = {e.provenance["method"] for e in campaign.state.evaluations.values()}
    assert methods == {"CHGNET 0.3.0"}
    # ASE appends to a log: a second computation would have begun it again
    logs = list(evaluations.glob("*/relax.log"))
    assert len(logs) == 16
    assert all(log.read_text().count("fmax") == 1 for log in logs)
