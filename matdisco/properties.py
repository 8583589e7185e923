"""Every quantity once: its key, its name, its unit, and which end is better.

Column names, axis titles, MLflow metric names and error texts all come from here.
Inside matdisco energies are eV, lengths Å, pressures eV/Å³; other units appear
only at the edges, through :func:`convert`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from matdisco.errors import DataError


@dataclass(frozen=True, slots=True)
class Property:
    """One physical quantity."""

    key: str
    """The name in files, columns and configurations."""
    label: str
    """The name on an axis."""
    unit: str
    """The unit in which matdisco stores and prints it."""
    better: Literal["low", "high"] | None = None
    """Which end is usually wanted; None where that depends on the use."""
    description: str = ""
    """One sentence for cards and help texts."""

    @property
    def axis(self) -> str:
        """Label and unit as an axis title.

        >>> get("energy_above_hull").axis
        'Energy above hull (eV/atom)'
        """
        return f"{self.label} ({self.unit})" if self.unit else self.label


_ALL = (
    Property(
        "energy",
        "Energy",
        "eV",
        "low",
        "Total energy of the cell as the evaluator defines its zero.",
    ),
    Property(
        "energy_per_atom",
        "Energy",
        "eV/atom",
        "low",
        "Total energy of the cell divided by its number of atoms.",
    ),
    Property(
        "formation_energy_per_atom",
        "Formation energy",
        "eV/atom",
        "low",
        "Energy per atom relative to the elements' most stable evaluated structures.",
    ),
    Property(
        "compressed_formation_energy",
        "Formation energy, compressed above 0",
        "eV/atom",
        "low",
        "Formation energy where negative, its logarithm above; what surrogates of "
        "stability learn (matdisco.thermo.compressed).",
    ),
    Property(
        "energy_above_hull",
        "Energy above hull",
        "eV/atom",
        "low",
        "Distance to the convex hull of all evaluated phases; 0 is on the hull.",
    ),
    Property("volume_per_atom", "Volume", "Å³/atom", None, "Cell volume per atom."),
    Property("density", "Density", "g/cm³", None, "Mass density of the cell."),
    Property(
        "packing_fraction",
        "Packing fraction",
        "",
        None,
        "Share of the cell filled by spheres of the atomic radii.",
    ),
    Property(
        "void_radius",
        "Largest void",
        "Å",
        None,
        "Radius of the largest sphere between the atoms.",
    ),
    Property(
        "bottleneck_radius",
        "Bottleneck",
        "Å",
        None,
        "Radius of the largest sphere that can travel through the crystal.",
    ),
    Property("band_gap", "Band gap", "eV", None, "Fundamental gap; 0 for a metal."),
    Property("bulk_modulus", "Bulk modulus", "GPa", "high", "Voigt-Reuss-Hill."),
    Property("shear_modulus", "Shear modulus", "GPa", "high", "Voigt-Reuss-Hill."),
    Property("young_modulus", "Young's modulus", "GPa", None, "Voigt-Reuss-Hill."),
    Property("poisson_ratio", "Poisson's ratio", "", None, "Voigt-Reuss-Hill."),
    Property(
        "lowest_phonon_frequency",
        "Lowest phonon frequency",
        "THz",
        "high",
        "Over the points of a small supercell; below zero means unstable.",
    ),
    Property("max_force", "Largest force", "eV/Å", "low", "Largest atomic force."),
    Property(
        "magnetic_moment_per_atom",
        "Magnetic moment",
        "μB/atom",
        None,
        "Total cell moment per atom.",
    ),
)
PROPERTIES: dict[str, Property] = {p.key: p for p in _ALL}


def get(key: str) -> Property:
    """Look a property up, or make a unitless one for a user's own key."""
    return PROPERTIES.get(key) or Property(key, key.replace("_", " "), "")


# Factors to matdisco's unit of each dimension. Sources: CODATA 2018 as used by
# ase.units (Hartree, Bohr, Rydberg), and the SI definitions of eV, mol and calorie.
_EV_PER_J = 1 / 1.602176634e-19
_PER_MOL = 1 / 6.02214076e23
UNITS: dict[str, tuple[str, float]] = {
    "eV": ("energy", 1.0),
    "meV": ("energy", 1e-3),
    "Ha": ("energy", 27.211386245988),
    "Ry": ("energy", 13.605693122994),
    "kJ/mol": ("energy", 1e3 * _PER_MOL * _EV_PER_J),
    "kcal/mol": ("energy", 4184 * _PER_MOL * _EV_PER_J),
    "eV/atom": ("energy/atom", 1.0),
    "meV/atom": ("energy/atom", 1e-3),
    "Ha/atom": ("energy/atom", 27.211386245988),
    "Ry/atom": ("energy/atom", 13.605693122994),
    "kJ/mol/atom": ("energy/atom", 1e3 * _PER_MOL * _EV_PER_J),
    "Å": ("length", 1.0),
    "nm": ("length", 10.0),
    "pm": ("length", 0.01),
    "bohr": ("length", 0.529177210903),
    "Å³/atom": ("volume/atom", 1.0),
    "bohr³/atom": ("volume/atom", 0.529177210903**3),
    "GPa": ("pressure", 1.0),
    "kbar": ("pressure", 0.1),
    "MPa": ("pressure", 1e-3),
    "eV/Å³": ("pressure", 160.21766339999998),
    "eV/Å": ("force", 1.0),
    "Ha/bohr": ("force", 27.211386245988 / 0.529177210903),
    "Ry/bohr": ("force", 13.605693122994 / 0.529177210903),
    "THz": ("frequency", 1.0),
    # 1 THz over the speed of light
    "cm⁻¹": ("frequency", 0.0299792458),
    "g/cm³": ("density", 1.0),
    "kg/m³": ("density", 1e-3),
    "μB/atom": ("moment/atom", 1.0),
    "": ("none", 1.0),
}
_ALIASES = {
    "ev": "eV", "mev": "meV", "hartree": "Ha", "ha": "Ha", "rydberg": "Ry",
    "ry": "Ry", "angstrom": "Å", "a": "Å", "Angstrom": "Å", "A": "Å", "Bohr": "bohr",
    "A^3/atom": "Å³/atom", "angstrom^3/atom": "Å³/atom", "eV/A": "eV/Å",
    "eV/A^3": "eV/Å³", "eV/angstrom": "eV/Å", "g/cm^3": "g/cm³", "g/cc": "g/cm³",
    "kg/m^3": "kg/m³", "gpa": "GPa", "mu_B/atom": "μB/atom", "muB/atom": "μB/atom",
    "ev/atom": "eV/atom", "mev/atom": "meV/atom",
}  # fmt: skip


def convert(value: float, unit: str, to: str) -> float:
    """Convert ``value`` from one unit to another of the same dimension.

    Args:
        value: the number.
        unit: the unit it is in, for example ``"meV/atom"``.
        to: the unit wanted.

    Raises:
        DataError: an unknown unit, or units of different dimensions.

    >>> convert(25.0, "meV/atom", "eV/atom")
    0.025
    >>> round(convert(1.0, "eV/Å^3".replace("^3", "³"), "GPa"), 3)
    160.218
    """
    (from_dim, from_factor), (to_dim, to_factor) = _lookup(unit), _lookup(to)
    if from_dim != to_dim:
        raise DataError(
            f"cannot convert {unit!r} ({from_dim}) to {to!r} ({to_dim}); "
            "give the value in a unit of the same kind"
        )
    return value * from_factor / to_factor


def check_unit(key: str, unit: str | None) -> None:
    """Refuse a unit that values of a property cannot have; None is the property's own.

    Raises:
        ValueError: says which units fit.
    """
    if unit is None:
        return
    own = get(key).unit
    try:
        fits = same_dimension(unit, own)
    except DataError as error:
        raise ValueError(f"unit: {error}") from None
    if not fits:
        raise ValueError(
            f"unit: expected a unit of {get(key).label.lower()} such as {own!r}, got "
            f"{unit!r}"
        )


def same_dimension(unit: str, other: str) -> bool:
    """Tell whether two known units measure the same kind of quantity."""
    return _lookup(unit)[0] == _lookup(other)[0]


def _lookup(unit: str) -> tuple[str, float]:
    name = unit if unit in UNITS else _ALIASES.get(unit, unit)
    if name not in UNITS:
        raise DataError(
            f"unknown unit {unit!r}; known: {', '.join(u for u in UNITS if u)}"
        )
    return UNITS[name]
