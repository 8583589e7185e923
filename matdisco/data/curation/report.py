"""CurationReport: what became of every input record, and why."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from typing_extensions import override

from matdisco.data.curation.entry import SEVERITIES, Entry

Outcome = Literal["kept", "mended", "merged", "quarantined", "rejected", "no-structure"]
OUTCOMES: tuple[Outcome, ...] = (
    "kept", "mended", "merged", "quarantined", "rejected", "no-structure",
)  # fmt: skip
COLUMNS = (
    "id", "outcome", "kept_as", "rules", "reasons", "formula",
    "path", "member", "record", "format", "byte_hash",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one input record."""

    entry: Entry
    """The record with its findings."""
    outcome: Outcome
    """Its fate."""
    kept_as: str = ""
    """The id in the dataset under which it, or the record it was merged into, lives."""

    @property
    def reasons(self) -> str:
        """The findings, worst first, as ``rule: sentence``."""
        order = sorted(self.entry.findings, key=lambda f: SEVERITIES.index(f.severity))
        return "; ".join(f"{f.rule}: {f.message}" for f in order)

    def row(self) -> dict[str, object]:
        """Return the line as a row of ``report.csv``."""
        e = self.entry
        return {
            "id": e.id,
            "outcome": self.outcome,
            "kept_as": self.kept_as,
            "rules": " ".join(dict.fromkeys(f.rule for f in e.findings)),
            "reasons": self.reasons,
            "formula": e.formula,
            "path": e.path,
            "member": e.member or "",
            "record": e.record,
            "format": e.format,
            "byte_hash": e.byte_hash,
        }


@dataclass(frozen=True)
class CurationReport(Sequence[Line]):
    """One line per input record, in input order."""

    lines: tuple[Line, ...]
    """All of them; nothing is dropped."""

    @property
    def outcomes(self) -> dict[str, int]:
        """How many records had each fate."""
        counts = Counter(line.outcome for line in self.lines)
        return {o: counts[o] for o in OUTCOMES if counts[o]}

    @property
    def rules(self) -> dict[str, dict[str, int]]:
        """Per rule, how many records it touched with which severity."""
        counts: dict[str, Counter[str]] = {}
        for line in self.lines:
            for rule, severity in {(f.rule, f.severity) for f in line.entry.findings}:
                counts.setdefault(rule, Counter())[severity] += 1
        ordered = sorted(counts, key=lambda r: -sum(counts[r].values()))
        return {
            r: {s: counts[r][s] for s in SEVERITIES if counts[r][s]} for r in ordered
        }

    def to_csv(self, path: str | Path) -> Path:
        """Write one line per input record, atomically."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{target.name}.tmp")
        with scratch.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(line.row() for line in self.lines)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
        return target

    @override
    def __len__(self) -> int:
        return len(self.lines)

    @override
    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    @override
    def __getitem__(self, item):  # type: ignore[no-untyped-def]
        return self.lines[item]

    @override
    def __repr__(self) -> str:
        out = [f"Curation of {len(self.lines):,} records"]
        out += [f"  {name:<14}{count:>8,}" for name, count in self.outcomes.items()]
        if self.rules:
            out.append("by rule" + "".join(f"{s:>12}" for s in SEVERITIES))
        for rule, counts in self.rules.items():
            numbers = "".join(f"{counts.get(s, 0) or '':>12}" for s in SEVERITIES)
            out.append(f"  {rule:<20}"[:22].ljust(7) + numbers)
        return "\n".join(out)
