"""One MLflow store for all tests of a worker: making its tables takes seconds."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite store."""
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
