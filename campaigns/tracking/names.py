"""Names of metrics: parts and units in letters that MLflow takes."""

from __future__ import annotations


def unit_name(unit: str) -> str:
    """Return a unit in letters that metric names may hold.

    >>> unit_name("eV/atom"), unit_name("Å³/atom")
    ('eV_per_atom', 'A3_per_atom')
    >>> unit_name("GPa · g/cm³")
    'GPa_g_per_cm3'
    """
    unit = unit.replace(" · ", " ")
    table = str.maketrans({"/": "_per_", "Å": "A", "³": "3", "²": "2", "μ": "u"})
    return unit.translate(table).replace("%", "percent").replace(" ", "_")


def named(stem: str, key: str, unit: str) -> str:
    """Return a metric's name: its parts and its unit in letters, joined by ``_``."""
    return "_".join(part for part in (stem, key, unit_name(unit)) if part)
