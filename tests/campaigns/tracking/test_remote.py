"""A real MLflow server: runs, artifacts, models and the comparison of two campaigns."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml
from recorded_campaign import record
from tracked import client_of, everything, synced, whole_experiment

from campaigns import Campaign
from campaigns.tracking.cards import open_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
        "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{home / 'server.db'}",
        "--artifacts-destination", (home / "artifacts").as_uri(),
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, cwd=home
        )
        try:
            while True:
                assert process.poll() is None, (home / "log").read_text()
                try:
                    with urlopen(f"http://127.0.0.1:{port}/health", timeout=10):
                        break
                except (URLError, OSError):
                    Event().wait(1)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server shares a busy machine with the tests."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "200")


def test_a_server_holds_what_a_file_holds(
    tmp_path: Path, tracking: dict[str, Any], server: str
) -> None:
    remote = {"uri": server, "experiment": "remote"}
    folder = record(tmp_path / "run", rounds=2, tracking=tracking)
    synced(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "tracking": remote}))
    parent = synced(folder)
    local, there = everything(tracking), everything(remote)
    assert there == local
    assert "report.html" in there["runs"][-1]["files"]
    assert synced(folder) == parent  # once more changes nothing


def test_two_campaigns_compare(tmp_path: Path, server: str) -> None:
    """What the compare view reads: same keys and steps, params that tell them apart."""
    tracking = {"uri": server, "experiment": "compared"}
    for seed in (0, 1):
        folder = record(
            tmp_path / f"run-{seed}", rounds=2, seed=seed, name=f"seed-{seed}",
            tracking=tracking, run_id=f"{seed}" * 32,
        )  # fmt: skip
        synced(folder)
    client = client_of(server)
    runs = client.search_runs(
        [whole_experiment(tracking)], "tags.`matdisco.kind` = 'campaign'"
    )
    assert {r.info.run_name for r in runs} == {"seed-0", "seed-1"}
    first, second = runs
    assert set(first.data.metrics) == set(second.data.metrics)
    differing = {
        k for k in first.data.params if first.data.params[k] != second.data.params[k]
    }
    assert differing == {"name", "seed"}


def test_a_server_registers_the_surrogate(tmp_path: Path, server: str) -> None:
    """The server looks its own model up; it opens again from there, by alias."""
    tracking = {"uri": server, "experiment": "registered"}
    folder = record(tmp_path / "run", rounds=2, tracking=tracking)
    with Campaign.open(folder) as campaign:
        surrogate = campaign.config.surrogate.build(0)
        surrogate.fit(campaign.state.learning_set(), campaign.config.objective.target)
        some = campaign.pool[:3].crystals
    place = folder / "surrogates" / "round-001"
    place.mkdir(parents=True)
    surrogate.save(place)
    run = synced(folder)
    client = client_of(server)
    assert "matdisco.registry" not in client.get_run(run).data.tags
    opened = open_model("models:/small-surrogate@newest", server, tmp_path)
    expected = surrogate.predict(some).mean
    assert opened.predict(some).mean.tolist() == pytest.approx(expected.tolist())
