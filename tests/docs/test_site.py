"""The generated references hold every key and every command."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from campaigns.config import json_schema

pytest.importorskip("mkdocs", reason="needs the extra docs: make docs")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate() -> Any:
    spec = importlib.util.spec_from_file_location("gen", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_key_of_every_block_is_explained(generate: Any) -> None:
    page = generate.configuration()
    for name, block in json_schema()["$defs"].items():
        keys = [k for k in block.get("properties", {}) if k != "kind"]
        if not keys:
            continue
        assert f"{{#{name.lower()}}}" in page, name
        section = page.partition(f"{{#{name.lower()}}}")[2].partition("\n## ")[0]
        for key in keys:
            row = section.partition(f"| `{key}` |")[2].partition("\n")[0]
            assert row.split("|")[2].strip(), f"{name}.{key} has no meaning"
    assert json.dumps(page)


def test_every_command_is_there(generate: Any) -> None:
    page = generate.commands()
    for name in ("run", "init", "data curate", "surrogate assess", "compare", "replay"):
        assert f"## `matdisco {name}`" in page
    assert "`--dry-run`" in page and "Stop after this many more rounds" in page
