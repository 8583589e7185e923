"""Facts about elements (``facts.yaml``): supply, price, regulation, oxidation states.

Read without pymatgen, so that validating a configuration stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class Fact(NamedTuple):
    """One quantity for many elements."""

    label: str
    """What it is, with its unit."""
    source: str
    """Where the values come from."""
    dated: int
    """Year of the values."""
    values: Mapping[str, Any]
    """Element symbol to value."""
    complete: bool
    """Whether an element that is absent is known not to qualify."""


@cache
def facts() -> Mapping[str, Fact]:
    """Return all facts by key."""
    import yaml

    text = Path(__file__).with_name("facts.yaml").read_text(encoding="utf-8")
    blocks = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {
        key: Fact(
            block["label"],
            block["source"],
            block["dated"],
            block["values"],
            block.get("complete", False),
        )
        for key, block in blocks.items()
    }


def fact(key: str, symbol: str) -> Any:
    """Return one value, or None where nobody knows it.

    >>> fact("hhi_production", "Ti")
    1100
    """
    return facts()[key].values.get(symbol)
