"""A table of elemental properties, standardised, one row per atomic number."""

from __future__ import annotations

import math
import warnings
from functools import cache

import numpy as np

from surrogates.graphs import MAX_Z

COLUMNS: tuple[str, ...] = (
    "atomic_number",
    "group",
    "row",
    "electronegativity",
    "atomic_radius",
    "mendeleev_number",
    "molar_volume_root",
    "melting_point",
    "valence_s",
    "valence_p",
    "valence_d",
    "valence_f",
)
"""Z; group; row; Pauling electronegativity; atomic radius (Å); Pettifor-Mendeleev
number; cube root of molar volume (cm); melting point (K); valence electrons by shell.
Electronegativity and molar volume are what Miedema's alloy model needs (de Boer et al.,
Cohesion in Metals, 1988)."""


@cache
def raw_table() -> np.ndarray:
    """Return the properties in their units, shape (MAX_Z + 1, columns).

    Row 0 is unused. A value that nobody measured is filled with the mean of its column,
    so no NaN leaves this function.
    """
    from pymatgen.core.periodic_table import Element

    table = np.full((MAX_Z + 1, len(COLUMNS)), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns on every missing value
        for z in range(1, MAX_Z + 1):
            element = Element.from_Z(z)
            volume = _number(element.molar_volume)
            table[z] = [
                z,
                element.group,
                element.row,
                _number(element.X),
                _first(element.atomic_radius, element.atomic_radius_calculated),
                _number(element.mendeleev_no),
                volume ** (1 / 3),
                _number(element.melting_point),
                *_valence(element.full_electronic_structure, element.row),
            ]
    for column in range(table.shape[1]):
        have = np.isfinite(table[1:, column])
        table[1:, column][~have] = table[1:, column][have].mean()
    table[0] = 0.0
    return table


@cache
def standard_table() -> np.ndarray:
    """Return :func:`raw_table` with each column at mean 0 and variance 1, float32."""
    raw = raw_table()[1:]
    table = np.zeros_like(raw_table())
    table[1:] = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    return table.astype(np.float32)


def radii() -> np.ndarray:
    """Return atomic radii in Å, shape (MAX_Z + 1,), row 0 unused (1 Å)."""
    values = raw_table()[:, COLUMNS.index("atomic_radius")].copy()
    values[0] = 1.0
    return values


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
    return number


def _first(*values: object) -> float:
    numbers = (_number(v) for v in values)
    return next((x for x in numbers if math.isfinite(x)), math.nan)


def _valence(shells: list[tuple[int, str, int]], row: int) -> list[float]:
    """Count s, p, d, f electrons outside closed inner shells (Hf is like Ti here)."""
    outer = {"s": row, "p": row, "d": row - 1, "f": row - 2}
    s, p, d, f = (
        float(sum(n for level, kind, n in shells if kind == k and level == outer[k]))
        for k in "spdf"
    )
    return [s, p, 0.0 if p and d == 10 else d, 0.0 if f == 14 else f]
