"""MLflow shows what the ledger holds, whatever happens to either of them."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from campaign_files import small_campaign
from recorded_campaign import RUN_ID, Recording, record, truth_of

from campaigns import Campaign, CampaignConfig
from campaigns.progress import Display
from campaigns.tracking import LiveTracker, default_uri, sync, ui_command
from campaigns.tracking.contents import params, points, unit_name
from campaigns.tracking.liveness import writer_alive
from campaigns.tracking.projection import Projection
from campaigns.tracking.store import explain
from matdisco.errors import CampaignError, ConfigError

DOWN = "http://127.0.0.1:9"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite store for all tests: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def tracking(store: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """An experiment of its own in the common store."""
    return {"uri": store, "experiment": request.node.name}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave plots and report, which have tests of their own, almost empty."""
    from campaigns import plots
    from campaigns.tracking import artifacts

    monkeypatch.setattr(plots, "to_png", lambda figure: b"png")
    monkeypatch.setattr(plots, "to_svg", lambda figure, salt: "<svg/>")
    monkeypatch.setattr(artifacts, "_report", lambda campaign: "<!doctype html>")


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def everything(tracking: dict[str, Any]) -> dict[str, Any]:
    """Return all that the experiment holds, without the ids that MLflow chose."""
    client = client_of(tracking["uri"])
    experiment = client.get_experiment_by_name(tracking["experiment"])
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    out: dict[str, Any] = {"runs": []}
    for run in runs:
        tags = {
            k: v
            for k, v in run.data.tags.items()
            if k not in ("mlflow.parentRunId", "matdisco.folder")
        }
        history = {
            k: [
                (m.step, m.timestamp, m.value)
                for m in client.get_metric_history(run.info.run_id, k)
            ]
            for k in run.data.metrics
        }
        inputs = run.inputs.dataset_inputs
        out["runs"].append(
            {
                "name": run.info.run_name,
                "status": run.info.status,
                "times": (run.info.start_time, run.info.end_time),
                "tags": tags,
                "params": run.data.params,
                "metrics": history,
                "files": sorted(files(client, run.info.run_id)),
                "datasets": sorted((i.dataset.name, i.dataset.digest) for i in inputs),
            }
        )
    out["runs"].sort(key=lambda r: r["name"])
    out["models"] = sorted(
        (m.name, str(m.status), m.tags["matdisco.checkpoint"])
        for m in client.search_logged_models([experiment.experiment_id])
    )
    return out


def files(client: Any, run: str, path: str | None = None) -> Iterator[str]:
    for item in client.list_artifacts(run, path):
        if item.is_dir:
            yield from files(client, run, item.path)
        else:
            yield item.path


def synced(folder: Path) -> str:
    with Campaign.open(folder) as campaign:
        return sync(campaign)


def test_campaign_becomes_parent_and_nested_runs(
    tmp_path: Path, tracking: dict[str, Any]
) -> None:
    plain = record(tmp_path / "plain", rounds=1)
    truth = truth_of(plain, tmp_path / "truth.parquet")
    review = {"truth": str(truth)}
    folder = record(tmp_path / "run", tracking=tracking, review=review)
    parent = synced(folder)
    seen = everything(tracking)
    names = [r["name"] for r in seen["runs"]]
    assert names == ["round 00", "round 01", "round 02", "small"]
    whole = seen["runs"][-1]
    assert whole["status"] == "FINISHED"
    with Campaign.open(folder) as campaign:
        closed = campaign.ledger.events("closed")
        assert whole["tags"]["matdisco.ledger.head"] == campaign.ledger.head()[1]
        assert whole["tags"]["matdisco.pool.content"] == campaign.pool.content_hash
        assert (campaign.pool.name, campaign.pool.content_hash[:32]) in whole[
            "datasets"
        ]
        assert len(whole["datasets"]) == 2
        found = {f"structures/{c.id}.cif".replace("'", "_") for c in campaign.found()}
    assert whole["tags"]["matdisco.run_id"] == RUN_ID
    assert whole["tags"]["version.numpy"]
    assert "report.html" in whole["tags"]["mlflow.note.content"]
    series = whole["metrics"]["search/evaluated"]
    assert [v for _, _, v in series] == [e.payload["evaluated"] for e in closed]
    assert [s for s, _, _ in series] == [0, 1, 2]
    share = [v for _, _, v in whole["metrics"]["search/share_of_truth_found"]]
    assert share == sorted(share)
    assert "prediction/mean_absolute_error_eV_per_atom" in whole["metrics"]
    assert whole["params"]["surrogate.kind"] == "gaussian_process"
    assert found <= set(whole["files"])
    for name in ("progress", "hull", "parity", "calibration"):
        assert {f"plots/{name}.png", f"plots/{name}.svg"} <= set(whole["files"])
    assert {"report.html", "proposals.csv", "proposals.json", "config.yaml"} <= set(
        whole["files"]
    )
    children = client_of(tracking["uri"]).search_runs(
        [whole_experiment(tracking)], f"tags.`mlflow.parentRunId` = '{parent}'"
    )
    assert sorted(c.data.tags["matdisco.round"] for c in children) == ["0", "1", "2"]


def whole_experiment(tracking: dict[str, Any]) -> str:
    client = client_of(tracking["uri"])
    return client.get_experiment_by_name(tracking["experiment"]).experiment_id


@pytest.mark.usefixtures("quick")
def test_sync_can_be_repeated(tmp_path: Path, tracking: dict[str, Any]) -> None:
    folder = record(tmp_path / "run", rounds=2, tracking=tracking)
    first = synced(folder)
    before = everything(tracking)
    assert synced(folder) == first
    assert everything(tracking) == before


@pytest.mark.usefixtures("quick")
def test_sync_that_died_is_completed_by_the_next(
    tmp_path: Path, tracking: dict[str, Any]
) -> None:
    folder = record(tmp_path / "run", rounds=2, tracking=tracking)
    steps: list[str] = []
    clean = {**tracking, "experiment": tracking["experiment"] + "-clean"}
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "tracking": clean}))
    with Campaign.open(folder) as campaign:
        sync(campaign, tell=steps.append)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert len(steps) > 8
    for fatal in steps:

        def die(step: str, fatal: str = fatal) -> None:
            if step == fatal:
                raise KeyboardInterrupt

        with Campaign.open(folder) as campaign, pytest.raises(KeyboardInterrupt):
            sync(campaign, tell=die)
    synced(folder)
    assert everything(tracking) == everything(clean)


@pytest.mark.usefixtures("quick")
def test_light_sync_leaves_the_heavy_part_to_the_next(
    tmp_path: Path, tracking: dict[str, Any]
) -> None:
    folder = record(tmp_path / "run", rounds=2, tracking=tracking)
    with Campaign.open(folder) as campaign:
        sync(campaign, light=True)
    light = everything(tracking)["runs"]
    assert [r["name"] for r in light] == ["round 00", "round 01", "small"]
    assert light[-1]["files"] == []
    assert len(light[-1]["metrics"]["search/evaluated"]) == 2
    synced(folder)
    full = everything(tracking)["runs"][-1]
    assert "report.html" in full["files"]
    assert full["metrics"] == light[-1]["metrics"]


@pytest.mark.usefixtures("quick")
def test_runs_that_came_twice_are_reduced_to_one(
    tmp_path: Path, tracking: dict[str, Any]
) -> None:
    folder = record(tmp_path / "run", rounds=2, tracking=tracking)
    parent = synced(folder)
    before = everything(tracking)
    client = client_of(tracking["uri"])
    experiment = whole_experiment(tracking)
    for kind in ("round", "campaign"):
        tags = {"matdisco.kind": kind, "matdisco.run_id": RUN_ID, "matdisco.round": "1"}
        client.create_run(experiment, tags=tags)
    assert synced(folder) == parent
    assert everything(tracking) == before


@pytest.mark.usefixtures("quick")
def test_series_grow_and_states_follow(
    tmp_path: Path, tracking: dict[str, Any]
) -> None:
    folder = tmp_path / "run"
    recording = Recording(folder, tracking=tracking)
    recording.round()
    synced(folder)
    assert everything(tracking)["runs"][-1]["status"] == "RUNNING"
    with Campaign.open(folder) as campaign:
        before = {c.id for c in campaign.found()}
    while True:  # until a lower phase pushes one off the hull
        recording.round(batch=6)
        with Campaign.open(folder) as campaign:
            now = {c.id for c in campaign.found()}
        if before - now:
            break
    recording.ledger.close()
    synced(folder)
    stopped = everything(tracking)["runs"][-1]
    assert stopped["status"] == "KILLED"
    assert "continue with: matdisco run" in stopped["tags"]["matdisco.state"]
    shown = {f for f in stopped["files"] if f.startswith("structures/")}
    assert len(shown) == len(now)
    recording.ledger = type(recording.ledger).writing(folder)
    recording.finish("failure rate: too many")
    recording.ledger.close()
    synced(folder)
    assert everything(tracking)["runs"][-1]["status"] == "FAILED"


@pytest.mark.usefixtures("quick")
def test_surrogate_loads_with_pyfunc_and_without_pickle(
    tmp_path: Path, tracking: dict[str, Any]
) -> None:
    folder = record(tmp_path / "run", rounds=2, tracking=tracking)
    with Campaign.open(folder) as campaign:
        surrogate = campaign.config.surrogate.build(0)
        surrogate.fit(campaign.state.learning_set(), campaign.config.objective.target)
        some = campaign.pool[:3]
    for number in (1, 2):
        place = folder / "surrogates" / f"round-{number:03d}"
        place.mkdir(parents=True)
        surrogate.save(place)
        synced(folder)
    models = client_of(tracking["uri"]).search_logged_models(
        [whole_experiment(tracking)]
    )
    assert [m.tags["matdisco.checkpoint"] for m in models] == ["round-002"]
    place = Path(models[0].artifact_location.removeprefix("file://"))
    left = [p for p in place.rglob("*") if p.is_file()]
    kinds = {".json", ".safetensors", ".yaml", ".txt", ""}
    assert {p.suffix for p in left} <= kinds
    assert not [p for p in left if p.read_bytes()[:1] == b"\x80"]
    code = (
        "import json, sys, warnings; warnings.simplefilter('ignore')\n"
        "import mlflow, pandas\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model(f'models:/{sys.argv[2]}')\n"
        "table = pandas.DataFrame({'structure': json.loads(sys.argv[3])})\n"
        "print(json.dumps(model.predict(table)['mean'].tolist()))\n"
    )
    texts = json.dumps([json.dumps(c.to_dict()["structure"]) for c in some])
    done = subprocess.run(
        [sys.executable, "-c", code, tracking["uri"], models[0].model_id, texts],
        capture_output=True, text=True, check=True, timeout=200,
    )  # fmt: skip
    expected = surrogate.predict(some.crystals).mean
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected.tolist())


def test_nothing_of_the_users_own_mlflow_is_touched(
    tmp_path: Path, tracking: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    before, uri = dict(os.environ), mlflow.get_tracking_uri()
    synced(record(tmp_path / "run", rounds=1, tracking=tracking))
    assert dict(os.environ) == before
    assert mlflow.get_tracking_uri() == uri
    assert mlflow.active_run() is None


class Said(list[str]):
    """Collects what a tracker says."""

    def __call__(self, text: str) -> None:
        self.append(text)


def test_live_tracker_keeps_up_and_ends(
    tmp_path: Path, tracking: dict[str, Any], store: str
) -> None:
    recording = Recording(tmp_path / "run", tracking=tracking)
    said = Said()
    campaign = Campaign(recording.folder, recording.config, recording.ledger)
    with LiveTracker(campaign, said) as tracker:
        for number in range(3):
            recording.round()
            tracker.round_closed(number)
        recording.finish()
    assert said == []
    seen = everything(tracking)["runs"]
    assert [r["name"] for r in seen] == ["round 00", "round 01", "round 02", "small"]
    assert seen[-1]["status"] == "FINISHED"
    assert tracker._process is not None
    assert tracker._process.wait(10) == 0
    recording.ledger.close()


def test_run_whose_process_died_is_marked_as_killed(
    tmp_path: Path, tracking: dict[str, Any], store: str
) -> None:
    recording = Recording(tmp_path / "run", tracking=tracking)
    recording.round()
    tracker = LiveTracker(
        Campaign(recording.folder, recording.config, recording.ledger), Said()
    )
    tracker.__enter__()
    recording.ledger.close()  # as the system does for a process that was killed
    assert tracker._process is not None
    assert tracker._process.stdin is not None
    tracker._process.stdin.close()
    assert tracker._process.wait(60) == 0
    assert everything(tracking)["runs"][-1]["status"] == "KILLED"


@pytest.fixture
def hanging_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


@pytest.mark.parametrize("trouble", ["down", "hanging"])
def test_server_in_trouble_costs_one_line_and_seconds(
    tmp_path: Path, hanging_server: str, trouble: str
) -> None:
    uri = {"down": DOWN, "hanging": hanging_server}[trouble]
    recording = Recording(tmp_path / "run", tracking={"uri": uri})
    said = Said()
    campaign = Campaign(recording.folder, recording.config, recording.ledger)
    with LiveTracker(campaign, said) as tracker:
        for number in range(2):
            recording.round()
            tracker.round_closed(number)
        recording.finish()
        clock = time.monotonic()
    spent = time.monotonic() - clock
    recording.ledger.close()
    assert len(said) == 1, said
    assert f"matdisco track {recording.folder}" in said[0]
    assert spent < 30
    assert tracker._process is not None
    tracker._process.wait(15)


@pytest.mark.parametrize("trouble", ["down", "locked"])
def test_campaign_finishes_whatever_the_tracker_does(
    tmp_path: Path, trouble: str
) -> None:
    uri = DOWN
    database = tmp_path / "locked.db"
    holder = sqlite3.connect(database, isolation_level=None)
    if trouble == "locked":
        uri = f"sqlite:///{database}"
        holder.execute("CREATE TABLE t (x)")
        holder.execute("BEGIN EXCLUSIVE")
    said = Said()

    class Told(Display):
        def say(self, text: str) -> None:
            said.append(text)

    config = CampaignConfig.model_validate(
        small_campaign(
            tracking={"uri": uri},
            acquisition={"kind": "random", "batch_size": 4},
            budget={"evaluations": 12},
        )
    )
    with Campaign.start(config, tmp_path / "run") as campaign:
        reason = campaign.run(display=Told(quiet=True))
        assert reason.startswith("budget")
        assert len(campaign.state.evaluations) == 12
    holder.close()
    lines = [s for s in said if "matdisco track" in s]
    assert len(lines) == 1, said
    assert (tmp_path / "run" / "report.html").exists()


def test_disabled_tracking_starts_nothing(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", rounds=1)
    with Campaign.open(folder) as campaign, LiveTracker(campaign, Said()) as tracker:
        tracker.round_closed(0)
        assert tracker._process is None


def test_store_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    folder = record(
        tmp_path / "run", rounds=1, tracking={"uri": "http://me:pw@127.0.0.1:9"}
    )
    with (
        Campaign.open(folder) as campaign,
        pytest.raises(CampaignError, match="connection refused") as caught,
    ):
        sync(campaign)
    assert "pw" not in str(caught.value)


@pytest.mark.usefixtures("quick")
def test_deleted_experiment_says_how_to_restore_it(
    tmp_path: Path, tracking: dict[str, Any]
) -> None:
    folder = record(tmp_path / "run", rounds=1, tracking=tracking)
    synced(folder)
    client_of(tracking["uri"]).delete_experiment(whole_experiment(tracking))
    with pytest.raises(CampaignError, match="experiments restore"):
        synced(folder)


def test_writer_is_seen_without_touching_its_lock(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "run")
    assert writer_alive(recording.folder)
    recording.ledger.close()
    assert not writer_alive(recording.folder)
    assert not writer_alive(tmp_path / "nowhere")


def test_default_store_is_beside_the_folder_of_runs(tmp_path: Path) -> None:
    assert default_uri(tmp_path / "runs" / "x") == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert default_uri(Path("/tmp/x")) == "sqlite:////tmp/mlflow.db"


def test_dashboard_is_for_this_machine_only() -> None:
    command = ui_command("sqlite:////tmp/mlflow.db", 5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5001"
    with pytest.raises(ConfigError, match="open it in a browser"):
        ui_command("http://tracking.example", 5000)


def test_params_are_flat_short_texts() -> None:
    config = CampaignConfig.model_validate(
        small_campaign(start={"include": [f"candidate-{i}" for i in range(200)]})
    )
    flat = params(config)
    assert flat["candidates.elements"] == "Cu, Au"
    assert flat["acquisition.batch_size"] == "4"
    assert all(len(v) <= 500 for v in flat.values())
    assert flat["start.include"].endswith("…")


def test_metrics_come_with_the_events_own_time(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", rounds=3)
    with Campaign.open(folder) as campaign:
        first, second = points(campaign, None), points(campaign, None)
    assert first == second
    assert len({(p.key, p.step) for p in first}) == len(first)
    assert {p.step for p in first} == {0, 1, 2}


def test_names_of_units_and_errors() -> None:
    assert unit_name("g/cm³") == "g_per_cm3"
    assert "locked" in explain(RuntimeError("(sqlite3) database is locked [SQL: ...]"))
    assert Projection.__doc__
