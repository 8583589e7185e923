"""What is shown, as plain data, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign_files import small_campaign
from recorded_campaign import record

from campaigns import Campaign, CampaignConfig
from campaigns.tracking import default_uri, ui_command
from campaigns.tracking.contents import params, points, unit_name
from campaigns.tracking.projection import Projection
from campaigns.tracking.store import explain
from matdisco.errors import ConfigError


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
    keys = {p.key for p in first}
    assert "surrogate/held_out_mae_eV_per_atom" in keys
    assert "prediction/mean_sigma_eV_per_atom" in keys


def test_names_of_units_and_errors() -> None:
    assert unit_name("g/cm³") == "g_per_cm3"
    assert "locked" in explain(RuntimeError("(sqlite3) database is locked [SQL: ...]"))
    assert Projection.__doc__
