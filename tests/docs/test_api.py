"""The Python reference names everything that the packages export."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "package", ["matdisco", "surrogates", "surrogates.assessment", "campaigns"]
)
def test_every_exported_name_is_there_and_loads(package: str) -> None:
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert re.search(rf"\b{name}\b", PAGE), f"{package}.{name}"


def test_what_the_page_names_exists() -> None:
    named = re.findall(r"^::: ([\w.]+)$", PAGE, re.M)
    assert len(named) > 15
    for path in named:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name), path
