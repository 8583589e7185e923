"""Shared fixtures: a small real campaign, and where the shared data lie."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import yaml
from campaign_files import small_campaign

# compiled code is tested where it is asked for; elsewhere it would cost each of the
# many short processes a second, and half a minute of the compiler the first
os.environ.setdefault("MATDISCO_COMPILED", "0")

ROOT = Path(__file__).resolve().parents[1]
SUPPORT = ROOT / "tests" / "support"
os.environ["PYTHONPATH"] = os.pathsep.join(
    p for p in (str(SUPPORT), os.environ.get("PYTHONPATH", "")) if p
)
for name in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{name}_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MPLBACKEND", "agg")
# one cache for all workers of this session's user, away from the home folder
os.environ.setdefault(
    "MATDISCO_CACHE", str(Path(tempfile.gettempdir()) / f"matdisco-tests-{os.getuid()}")
)

# begun last, one of them would keep a core busy while the others have nothing to do
LONGEST = {
    "test_broken.py", "test_campaign.py", "test_crash.py", "test_ensemble_tuning.py",
    "test_faults.py", "test_graphs.py", "test_layout.py",
    "test_front_campaign.py", "test_live.py", "test_notebooks.py", "test_resume.py",
    "test_second_opinion.py", "test_sources.py", "test_surrogate_cli.py",
    "test_sync.py",
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


collect_ignore = ["support/vasp_standin.py"]  # a program: it runs when imported


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(os.environ.get("MATDISCO_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"public datasets not found at {folder} (set MATDISCO_SHARED)")
    return folder


@pytest.fixture
def write_config(tmp_path):
    """Write a campaign YAML and return its path."""

    def write(name: str = "campaign.yaml", **changes) -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(small_campaign(**changes)))
        return path

    return write
