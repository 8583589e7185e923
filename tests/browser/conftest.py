"""One browser for a file; skipped with the reason where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import missing


@pytest.fixture(scope="session", autouse=True)
def _there() -> None:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[str], Path]:
    """Where a screenshot goes: the folder $MATDISCO_SCREENSHOTS, or a passing one."""
    folder = Path(os.environ.get("MATDISCO_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: folder / f"{name}.png"
