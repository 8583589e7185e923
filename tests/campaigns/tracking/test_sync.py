"""MLflow shows what the ledger holds, however often and wherever a sync stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from recorded_campaign import RUN_ID, Recording, record, truth_of
from tracked import client_of, everything, synced, whole_experiment

from campaigns import Campaign
from campaigns.tracking import sync
from campaigns.tracking.store import quiet_mlflow
from matdisco.errors import CampaignError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")


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
    pages = {"report.html", "structures.html"}
    assert {*pages, "proposals.csv", "proposals.json", "config.yaml"} <= set(
        whole["files"]
    )
    for child in seen["runs"][:-1]:
        assert {"structures.html", "explained.txt"} <= set(child["files"])
    children = client_of(tracking["uri"]).search_runs(
        [whole_experiment(tracking)], f"tags.`mlflow.parentRunId` = '{parent}'"
    )
    assert sorted(c.data.tags["matdisco.round"] for c in children) == ["0", "1", "2"]


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
    folder = record(tmp_path / "run", rounds=1, tracking=tracking)
    steps: list[str] = []
    clean = {**tracking, "experiment": tracking["experiment"] + "-clean"}
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "tracking": clean}))
    with Campaign.open(folder) as campaign:
        sync(campaign, tell=steps.append)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert len(steps) > 7
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
    texts = [json.dumps(c.to_dict()["structure"]) for c in some]
    with quiet_mlflow():
        import mlflow

        mlflow.set_tracking_uri(tracking["uri"])
        try:
            model = mlflow.pyfunc.load_model(f"models:/{models[0].model_id}")
            loaded = model.predict(pd.DataFrame({"structure": texts}))["mean"]
        finally:
            mlflow.set_tracking_uri(None)
    expected = surrogate.predict(some.crystals).mean
    assert loaded.tolist() == pytest.approx(expected.tolist())
    client = client_of(tracking["uri"])
    (version,) = client.search_model_versions("name = 'small-surrogate'")
    assert version.tags["matdisco.model"] == models[0].model_id
    assert version.tags["matdisco.checkpoint"] == "round-002"
    newest = client.get_model_version_by_alias("small-surrogate", "newest")
    assert newest.version == version.version
    assert "matdisco surrogate assess models:/small-surrogate@newest" in (
        newest.description
    )


@pytest.mark.usefixtures("quick")
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
