"""What the battery leaves: measures with verdicts, in sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surrogates.assessment.suite import SectionName, SuiteRecipe, Threshold, Verdict

DIGITS = 10
"""Significant digits kept of a measure: below any meaning, above the noise of sums in
another order, so that the same inputs give the same card."""


@dataclass(frozen=True)
class Measure:
    """One number with its verdict."""

    key: str
    """``section.name``; thresholds go by it."""
    value: float | None
    """The number; None where it is not defined."""
    text: str
    """What it says, in a sentence or less."""
    unit: str = ""
    """Its unit."""
    source: str = ""
    """Where the definition comes from."""
    verdict: Verdict = "info"
    """Against the suite's threshold."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the card."""
        return {
            "key": self.key,
            "value": self.value,
            "unit": self.unit,
            "verdict": self.verdict,
            "text": self.text,
            "source": self.source,
        }


@dataclass
class Section:
    """One part of the battery while it is filled; judged as it is filled."""

    name: SectionName
    """Which part."""
    thresholds: Mapping[str, Threshold]
    """Of the suite."""
    measures: list[Measure] = field(default_factory=list)
    """In the order of measurement."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Check to the reason why it did not apply."""
    series: dict[str, Any] = field(default_factory=dict)
    """Curves and tables for the plots, plain data."""
    remarks: list[str] = field(default_factory=list)
    """What a reader should know besides."""
    absent: str = ""
    """Why the whole part cannot apply to this kind of subject; empty where it can."""

    def add(
        self, name: str, value: float, text: str, *, unit: str = "", source: str = ""
    ) -> Measure:
        """Record and judge one number."""
        key = f"{self.name}.{name}"
        kept = rounded(value)
        limit = self.thresholds.get(key)
        verdict: Verdict = limit.judge(kept) if limit else "info"
        measure = Measure(key, kept, text, unit, source, verdict)
        self.measures.append(measure)
        return measure

    def skip(self, check: str, reason: str) -> None:
        """Record that a check did not apply."""
        self.skipped[check] = reason

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the card."""
        found = worst(m.verdict for m in self.measures)
        return {
            "name": self.name,
            "verdict": "n/a" if self.absent else found,
            "measures": [m.to_dict() for m in self.measures],
            "skipped": dict(self.skipped),
            "series": plain(self.series),
            "remarks": list(self.remarks),
            **({"not_applicable": self.absent} if self.absent else {}),
        }


def worst(verdicts: Any) -> Verdict:
    """Return the worst of the verdicts; ``info`` where none was judged."""
    found = set(verdicts)
    order: tuple[Verdict, ...] = ("fail", "warn", "pass")
    return next((v for v in order if v in found), "info")


def overall(
    suite: SuiteRecipe, kind: str, sections: Sequence[Mapping[str, Any]]
) -> Verdict:
    """Return the card's verdict: the worst section; what is required must be there."""
    if lacking(suite, kind, sections):
        return "fail"
    return worst(s["verdict"] for s in sections)


def lacking(
    suite: SuiteRecipe, kind: str, sections: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return the parts that this kind must show and that nothing was measured of."""
    judged = {s["name"]: s["verdict"] for s in sections}
    return [
        name
        for name in suite.asks(kind).requires
        if judged.get(name, "info") not in ("pass", "warn", "fail")
    ]


def rounded(value: float | None) -> float | None:
    """Keep ``DIGITS`` significant digits; None for what is not a finite number.

    >>> rounded(1 / 3)
    0.3333333333
    """
    if value is None or not np.isfinite(value):
        return None
    return float(f"{float(value):.{DIGITS}g}") + 0.0


def plain(value: Any) -> Any:
    """Turn arrays and NumPy numbers into rounded JSON data."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    return rounded(float(value))
