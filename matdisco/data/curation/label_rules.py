"""Rules about labels: disguised missing values, units, signs, impossible values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from matdisco.crystal import Label
from matdisco.data.curation.entry import Entry
from matdisco.data.curation.rule import Rule
from matdisco.data.readers.base import Severity
from matdisco.errors import DataError
from matdisco.properties import PROPERTIES, UNITS, convert

_NEVER_NEGATIVE = frozenset(
    {"band_gap", "bulk_modulus", "shear_modulus", "density", "volume_per_atom",
     "max_force"}
)  # fmt: skip


class SentinelRule(Rule):
    """Values that programs write for *missing*, and values that are not numbers."""

    name: ClassVar[str] = "sentinel"
    reason: ClassVar[str] = "-999, 9999, 1e30 and NaN stand for a missing value"
    severity: Severity = "mend"
    """With ``mend`` the label is taken off, the structure stays."""
    values: tuple[float, ...] = (
        -999.0, -9999.0, -99999.0, -99.0, 999.0, 9999.0, 99999.0, 999999.0, 1e30, 1e36,
    )  # fmt: skip
    """Numbers that mean *missing*, whatever the property."""
    zero_is_missing: tuple[str, ...] = ("bulk_modulus", "shear_modulus", "density")
    """Properties of which exactly 0 means *missing*: no solid has that value."""

    @override
    def apply(self, entry: Entry) -> Entry:
        """Take labels off that hold no value."""
        labels = dict(entry.labels)
        for key, label in entry.labels.items():
            value = label.value
            missing = (
                not np.isfinite(value)
                or value in self.values
                or (value == 0 and key in self.zero_is_missing)
                or self._was_sentinel(key, label)
            )
            if not missing:
                continue
            text = f"{key} = {value:g} {label.unit} stands for a missing value"
            if self.severity == "mend":
                del labels[key]
                text += "; label removed"
            entry = entry.found(self.name, self.severity, text)
        return entry.with_labels(labels)

    def _was_sentinel(self, key: str, label: Label) -> bool:
        """Tell whether a reader converted a -999 to another unit (-999 kbar)."""
        if label.value >= 0 or key not in _NEVER_NEGATIVE or label.unit not in UNITS:
            return False
        dimension, factor = UNITS[label.unit]
        before = [label.value * factor / f for d, f in UNITS.values() if d == dimension]
        return bool(np.isclose(np.subtract.outer(before, self.values), 0).any())


class UnitRule(Rule):
    """Known properties are stored in their own unit."""

    name: ClassVar[str] = "unit"
    reason: ClassVar[str] = (
        "one unit per property; a label without a unit cannot be trusted"
    )
    severity: Severity = "quarantine"
    """What an unknown, missing or unfitting unit means. A conversion between known
    units is always a mend."""

    @override
    def apply(self, entry: Entry) -> Entry:
        """Convert, or say why not."""
        labels = dict(entry.labels)
        for key, label in entry.labels.items():
            known = PROPERTIES.get(key)
            if known is None or label.unit == known.unit:
                continue
            if not label.unit and known.unit:
                text = f"{key} = {label.value:g} has no unit; expected {known.unit}"
                entry = entry.found(self.name, self.severity, text)
                continue
            try:
                value = _convert(label.value, label.unit, known.unit, entry)
                sigma = label.sigma and _convert(
                    label.sigma, label.unit, known.unit, entry
                )
            except DataError as error:
                entry = entry.found(self.name, self.severity, f"{key}: {error}")
                continue
            labels[key] = Label(value, known.unit, label.method, sigma)
            text = f"{key} = {label.value:g} {label.unit} is {value:.6g} {known.unit}"
            entry = entry.found(self.name, "mend", text)
        return entry.with_labels(labels)


class RangeRule(Rule):
    """Values are physically possible."""

    name: ClassVar[str] = "range"
    reason: ClassVar[str] = (
        "values outside the physical range are sign, unit or typing errors"
    )
    severity: Severity = "quarantine"
    """What a violation means."""
    limits: Mapping[str, tuple[float, float]] = Field(
        default={
            "band_gap": (0.0, 25.0),  # LiF 14, solid Ne 21.7 eV
            "bulk_modulus": (0.0, 600.0),  # diamond 443, Os 462 GPa
            "shear_modulus": (0.0, 600.0),  # diamond 535 GPa
            "formation_energy_per_atom": (-10.0, 10.0),  # CaF2 -4.2 eV/atom
            "energy_above_hull": (-1.0, 10.0),  # below 0 only against an old hull
            "volume_per_atom": (2.0, 1000.0),
            "density": (0.0, 30.0),  # Os 22.6 g/cm³
            "max_force": (0.0, 500.0),
            "magnetic_moment_per_atom": (-15.0, 15.0),  # Ho, Dy about 10 μB
        }
    )
    """Lowest and highest possible value per property, in the property's unit."""

    @override
    def apply(self, entry: Entry) -> Entry:
        """Compare each label with the limits of its property."""
        for key, (low, high) in self.limits.items():
            label = entry.labels.get(key)
            if label is None or label.unit != getattr(
                PROPERTIES.get(key), "unit", label.unit
            ):
                continue
            if not low <= label.value <= high:
                text = (
                    f"{key} = {label.value:g} {label.unit} is outside the possible "
                    f"{low:g} to {high:g}"
                )
                entry = entry.found(self.name, self.severity, text)
        return entry


class PoissonRule(Rule):
    """Bulk and shear modulus fit together."""

    name: ClassVar[str] = "poisson-ratio"
    reason: ClassVar[str] = (
        "swapped moduli or one modulus in kbar give an isotropic Poisson ratio that crystals do not have"  # noqa: E501
    )
    severity: Severity = "quarantine"
    """What a violation means."""
    lowest: float = 0.0
    """Lowest accepted; among 1,181 crystals of de Jong et al. (2015) it is 0.043.
    A few framework silicates are auxetic: lower it to -0.2 for them."""
    highest: float = 0.475
    """Highest accepted; the largest there is 0.468 (AlV3)."""

    @override
    def apply(self, entry: Entry) -> Entry:
        """Compute the ratio from the Voigt-Reuss-Hill moduli."""
        bulk, shear = (
            entry.labels.get("bulk_modulus"),
            entry.labels.get("shear_modulus"),
        )
        if not (bulk and shear and bulk.value > 0 and shear.value > 0):
            return entry
        k, g = bulk.value, shear.value
        ratio = (3 * k - 2 * g) / (2 * (3 * k + g))
        if self.lowest <= ratio <= self.highest:
            return entry
        guess = (
            "are they swapped?" if ratio < 0 else "is one of them in kbar or missing?"
        )
        text = (
            f"bulk modulus {k:g} and shear modulus {g:g} GPa give a Poisson ratio of "
            f"{ratio:.3f}, expected {self.lowest:g} to {self.highest:g}; {guess}"
        )
        return entry.found(self.name, self.severity, text)


def _convert(value: float, unit: str, to: str, entry: Entry) -> float:
    """Convert, also between per cell and per atom where the atoms are known."""
    if to.endswith("/atom") and not unit.endswith("/atom") and entry.crystal:
        per_cell = to.removesuffix("/atom")
        if unit in UNITS and UNITS[unit][0] == "energy":
            return convert(value, unit, per_cell) / entry.crystal.n_atoms
    return convert(value, unit, to)
