"""Rules that compare a candidate with others: the pool, answers, a reference set."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from matdisco.screening.base import Finding, ScreeningRule

if TYPE_CHECKING:
    from matdisco.screening.seen import Match


class DuplicateRule(ScreeningRule):
    """Every candidate is there once, and none equals what was already evaluated."""

    name: ClassVar[str] = "duplicates"
    level: Literal["same", "similar"] = "same"
    """How near is equal: ``same`` (5 % in lengths, 0.05 of the atomic spacing in
    positions) or ``similar`` (pymatgen's defaults: one prototype)."""

    def objection(self, match: Match) -> Finding:
        """Return the finding for a match."""
        return self._finding(
            f"the same crystal as {match.name} ({match.group})",
            match=match.name,
            group=match.group,
            distance=round(match.distance, 6),
        )


class NoveltyRule(DuplicateRule):
    """No candidate is in a set of known materials."""

    name: ClassVar[str] = "novelty"
    against: tuple[str, ...] = ()
    """Parquet datasets of known crystals: paths or ``shipped:NAME``. A public set
    becomes one with ``matdisco data get NAME``."""
