"""The way to the shared datasets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("MATDISCO_SHARED", ROOT.parent / "shared")) / "data"


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """Path of a shared dataset; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs shared data {name}; set MATDISCO_SHARED to its folder")
        return path

    return find
