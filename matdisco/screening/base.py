"""A screening rule: a named question to one candidate, answered with numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from matdisco.recipe import Recipe

if TYPE_CHECKING:
    from matdisco.crystal import Crystal

Severity = Literal["reject", "flag", "off"]
"""What a finding means: out of the pool, in it with a remark, or not looked for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a candidate was rejected or flagged."""

    rule: str
    """The rule's name."""
    severity: Literal["reject", "flag"]
    """What it means for the candidate."""
    message: str
    """A sentence with what was expected and what was found."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """The same as plain data."""


class ScreeningRule(Recipe):
    """Base of the blocks under ``screening:``."""

    name: ClassVar[str]
    severity: Severity = "reject"
    """What a finding means: ``reject``, ``flag`` (kept, with a remark) or ``off``."""

    def find(self, crystal: Crystal) -> Finding | None:
        """Return what speaks against a candidate, or None."""
        raise NotImplementedError

    def _finding(self, message: str, **numbers: Any) -> Finding:
        severity: Literal["reject", "flag"] = (
            "reject" if self.severity == "reject" else "flag"
        )
        return Finding(self.name, severity, message, numbers)


def element_counts(crystal: Crystal) -> dict[str, int]:
    """Return atoms of each element in the cell; ordered crystals only."""
    counts: dict[str, int] = {}
    for site in crystal.structure:
        symbol = site.specie.symbol
        counts[symbol] = counts.get(symbol, 0) + 1
    return counts
