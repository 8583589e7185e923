"""Every campaign writes its report; its pictures are drawn where a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drawing import blank, drawing


@pytest.fixture(scope="session", autouse=True)
def _blank() -> Iterator[None]:
    with blank():
        yield


@pytest.fixture
def drawn() -> Iterator[None]:
    """The pictures of reports are drawn in this test."""
    with drawing():
        yield
