"""One unit per property, also for properties that matdisco has no entry for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from matdisco.crystal import Label
from matdisco.data.curation.entry import Entry
from matdisco.errors import DataError
from matdisco.properties import PROPERTIES, convert

_NAME = "unit"
# Factors to the first unit of each family, beyond those of matdisco.properties.
_FAMILIES: tuple[dict[str, float], ...] = (
    {"S/cm": 1.0, "mS/cm": 1e-3, "µS/cm": 1e-6, "uS/cm": 1e-6, "S/m": 1e-2},
    {"1/cm": 1.0, "cm-1": 1.0, "cm^-1": 1.0, "THz": 33.3564095},  # 1e12 / c
    {"K": 1.0},
    {"W/(m K)": 1.0, "W/m/K": 1.0, "mW/(m K)": 1e-3},
)


def harmonise(entries: Sequence[Entry]) -> list[Entry]:
    """Convert labels of unlisted properties to the unit that most records use.

    Values given as ``log10(unit)`` are raised to the power of ten. What cannot be
    converted goes to quarantine.
    """
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        for key, label in entry.labels.items():
            if key.split("@")[0] not in PROPERTIES:
                counts.setdefault(key, Counter())[label.unit] += 1
    target = {
        key: max(_linear(found) or found, key=lambda u: (found[u], u))
        for key, found in counts.items()
        if len(found) > 1
    }
    return [_converted(entry, target) for entry in entries] if target else list(entries)


def _converted(entry: Entry, target: dict[str, str]) -> Entry:
    labels = dict(entry.labels)
    for key, label in entry.labels.items():
        to = target.get(key, label.unit)
        if label.unit == to:
            continue
        shown = f"{key} = {label.value:g} {label.unit or 'without a unit'}"
        try:
            labels[key] = _label(label, to)
        except DataError:
            text = f"{shown} cannot be converted to {to}"
            entry = entry.found(_NAME, "quarantine", text)
            continue
        entry = entry.found(_NAME, "mend", f"{shown} is {labels[key].value:.6g} {to}")
    return entry.with_labels(labels)


def _label(label: Label, to: str) -> Label:
    unit, value, sigma = label.unit, label.value, label.sigma
    if unit.startswith("log10(") and unit.endswith(")"):
        unit = unit[6:-1]
        if abs(value) > 300:  # beyond what a double holds
            raise DataError(f"10^{value:g} is not a number")
        value = 10.0**value
        sigma = sigma and sigma * value * math.log(10)
    factor = _factor(unit, to)
    return Label(value * factor, to, label.method, sigma and sigma * factor)


def _factor(unit: str, to: str) -> float:
    if unit == to:
        return 1.0
    for family in _FAMILIES:
        if unit in family and to in family:
            return family[unit] / family[to]
    return convert(1.0, unit, to)


def _linear(found: Counter[str]) -> list[str]:
    return [u for u in found if u and not u.startswith("log10(")]
