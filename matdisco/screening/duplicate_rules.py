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
    """How near is equal, once both are scaled to one volume per atom: ``same`` (5 % in
    lengths, 2° in angles, 0.05 of the atomic spacing in positions: one crystal) or
    ``similar`` (pymatgen's defaults, 20 %, 5° and 0.3: one prototype). Volumes are not
    compared, since copies that differ in volume alone relax to one crystal; where
    structures are evaluated as they stand (evaluator.relax null, or relax.cell false),
    set severity to flag or off to keep them."""

    def objection(self, match: Match) -> Finding:
        """Return the finding for a match."""
        return self._finding(
            self._sentence(match),
            match=match.name,
            group=match.group,
            distance=round(match.distance, 6),
            volume_ratio=round(match.volume, 4),
        )

    def _sentence(self, match: Match) -> str:
        from matdisco.data.fingerprints import TOLERANCES

        what = (
            "the same crystal as" if self.level == "same" else "of one prototype with"
        )
        sentence = f"{what} {match.name} ({match.group})"
        # As far apart as lengths may be, in volume.
        if abs(match.volume ** (1 / 3) - 1) <= TOLERANCES[self.level].lengths:
            return sentence
        sentence += f" at {match.volume:.2f} times its volume"
        if self.level == "similar":
            return sentence
        return f"{sentence}; relaxing the cell would make them one"


class NoveltyRule(DuplicateRule):
    """No candidate is in a set of known materials."""

    name: ClassVar[str] = "novelty"
    against: tuple[str, ...] = ()
    """Parquet datasets of known crystals: paths or ``shipped:NAME``. A public set
    becomes one with ``matdisco data get NAME``."""
