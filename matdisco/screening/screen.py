"""The screen: every rule on every candidate, and a record of what was found."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from matdisco.crystal import Crystal
from matdisco.data.packed import described, whole
from matdisco.errors import ConfigError, DataError
from matdisco.screening.base import Finding
from matdisco.screening.seen import Seen

if TYPE_CHECKING:
    from matdisco.screening.recipe import ScreeningRecipe

POOL = "pool"
"""Group of the candidates themselves."""


@dataclass(frozen=True, slots=True)
class Screened:
    """One candidate with what the rules found."""

    crystal: Crystal
    """The candidate; flags stand in its source under ``flags``."""
    findings: tuple[Finding, ...]
    """In the order of the rules; nothing after the one that rejects."""

    @property
    def rejected(self) -> Finding | None:
        """The finding that put it out of the pool, or None."""
        return next((f for f in self.findings if f.severity == "reject"), None)

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain row per finding."""
        return [
            {
                "candidate": self.crystal.id,
                "formula": self.crystal.formula,
                "n_atoms": self.crystal.n_atoms,
                "verdict": f.severity,
                "rule": f.rule,
                "message": f.message,
                "numbers": dict(f.numbers),
            }
            for f in self.findings
        ]


class Screen:
    """Asks the rules, and remembers what it has seen for the next candidate."""

    def __init__(self, recipe: ScreeningRecipe) -> None:
        self.recipe = recipe
        self._rules = recipe.rules()
        duplicates, novelty = recipe.duplicates, recipe.novelty
        self._seen = Seen(duplicates.level) if duplicates.severity != "off" else None
        self._known: Seen | None = None
        if novelty.severity != "off" and novelty.against:
            self._known = Seen(novelty.level)
            for name in novelty.against:
                self._known.remember(_reference(name), name)

    def remember(self, crystals: Iterable[Crystal], group: str) -> None:
        """Make crystals known, so that their copies are found as duplicates."""
        if self._seen is not None:
            self._seen.remember(crystals, group)

    def judge(self, crystal: Crystal) -> Screened:
        """Ask every rule about one candidate."""
        findings: list[Finding] = []
        given, crystal = crystal, whole(crystal)  # every rule looks at its structure
        if not crystal.structure.is_ordered:
            findings.append(
                Finding(
                    "ordered",
                    "reject",
                    "expected one species on every site, found shared sites; make "
                    "ordered cells of it first (candidates kind: orderings)",
                )
            )
            return Screened(given, tuple(findings))
        for rule in self._rules:
            finding = rule.find(crystal)
            if finding is not None:
                findings.append(finding)
                if finding.severity == "reject":
                    return Screened(given, tuple(findings))
        if self._known is not None and (match := self._known.peek(crystal)):
            findings.append(self.recipe.novelty.objection(match))
            if self.recipe.novelty.severity == "reject":
                return Screened(given, tuple(findings))
        if self._seen is not None and (match := self._seen.meet(crystal, POOL)):
            findings.append(self.recipe.duplicates.objection(match))
        return Screened(_flagged(given, findings), tuple(findings))

    def stream(self, crystals: Iterable[Crystal]) -> Iterator[Screened]:
        """Judge one after the other; memory grows by a kilobyte per candidate kept."""
        for crystal in crystals:
            yield self.judge(crystal)


class ScreeningReport:
    """Counts by rule."""

    def __init__(self) -> None:
        self.made = 0
        self.kept = 0
        self.rejected: Counter[str] = Counter()
        self.flagged: Counter[str] = Counter()

    def add(self, screened: Screened) -> None:
        """Take one candidate's outcome into account."""
        self.made += 1
        rejected = screened.rejected
        self.kept += rejected is None
        if rejected is not None:
            self.rejected[rejected.rule] += 1
        for finding in screened.findings:
            if finding.severity == "flag":
                self.flagged[finding.rule] += 1

    def summary(self) -> dict[str, Any]:
        """Return plain data for the ledger; the same pool gives the same."""
        return {
            "made": self.made,
            "rejected": dict(sorted(self.rejected.items())),
            "flagged": dict(sorted(self.flagged.items())),
        }


COLUMNS = ("candidate", "formula", "n_atoms", "verdict", "rule", "message", "numbers")
"""Columns of the table of findings."""


class FindingsTable:
    """A CSV file with one line per finding, written as they come."""

    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def add(self, screened: Screened) -> None:
        """Write what was found in one candidate."""
        for row in screened.rows():
            row["numbers"] = json.dumps(row["numbers"], sort_keys=True)
            self._writer.writerow([row[c] for c in COLUMNS])


def describe(summary: Mapping[str, Any]) -> str:
    """Return a summary in one line.

    >>> describe({"made": 9, "rejected": {"density": 2}, "flagged": {}})
    '9 made, 2 rejected (density 2)'
    """
    text = f"{summary['made']:,} made"
    for what in ("rejected", "flagged"):
        counts = summary[what]
        if counts:
            parts = ", ".join(f"{k} {n:,}" for k, n in counts.items())
            text += f", {sum(counts.values()):,} {what} ({parts})"
        elif what == "rejected":
            text += ", none rejected"
    return text


def _flagged(crystal: Crystal, findings: list[Finding]) -> Crystal:
    flags = {f.rule: f.message for f in findings if f.severity == "flag"}
    if not flags:
        return crystal
    return described(crystal, source={**crystal.source, "flags": flags})


def _reference(name: str) -> Iterator[Crystal]:
    from matdisco.data.dataset import Dataset
    from matdisco.data.shipped import resolve

    try:
        dataset = Dataset.open(resolve(name))
    except DataError as error:
        raise ConfigError(f"screening.novelty.against: {error}") from error
    yield from dataset
