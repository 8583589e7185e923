"""Crystals as arrays: a hundred thousand of them fit where pymatgen's sites do not.

A pymatgen site takes about a kilobyte and some 50 µs to make; curation looks at most
structures only to check, count, hash and store them. A :class:`PackedCrystal` keeps
cell, species and positions as they are stored and makes the ``Structure`` anew each
time that somebody asks for it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Structure
from typing_extensions import override

from matdisco.crystal import DIGITS, Crystal, Label, rounded

Species = str | Mapping[str, float]
"""A site: an element symbol, or species (with charges) and their occupancies."""


class PackedCrystal(Crystal):
    """A crystal whose structure is arrays until somebody asks for it."""

    def __init__(
        self,
        id: str,  # noqa: A002 - the field's own name
        structure: Structure | Mapping[str, Any],
        labels: Mapping[str, Label] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        """Take a structure, or its parts: ``cell``, ``species``, ``fractional``."""
        parts: Mapping[str, Any] = (
            Crystal("", structure).to_dict()["structure"]
            if isinstance(structure, Structure)
            else structure
        )
        new = object.__setattr__
        new(self, "id", id)
        new(self, "labels", labels or {})
        new(self, "source", source or {})
        # copies of a crystal share its arrays, all crystals the names of elements
        new(self, "cell", np.asarray(parts["cell"], dtype=float))
        species = (sys.intern(s) if type(s) is str else s for s in parts["species"])
        new(self, "species", tuple(species))
        new(self, "fractional", np.asarray(parts["fractional"], float).reshape(-1, 3))

    cell: np.ndarray
    """Lattice vectors as rows, Å, shape (3, 3)."""
    species: tuple[Species, ...]
    """One per site."""
    fractional: np.ndarray
    """Positions in cell vectors, shape (n, 3)."""

    @property
    @override
    def structure(self) -> Structure:
        """The atoms and their cell, made anew at each call."""
        return unpack(self.cell, self.species, self.fractional)

    @cached_property
    @override
    def composition(self) -> Composition:
        """The cell's composition."""
        plain = plain_counts(self)
        return self.structure.composition if plain is None else Composition(plain)

    @property
    @override
    def elements(self) -> tuple[str, ...]:
        """The element symbols, alphabetical."""
        plain = plain_counts(self)
        return super().elements if plain is None else tuple(sorted(plain))

    @property
    @override
    def n_atoms(self) -> int:
        """Number of sites in the cell."""
        return len(self.species)

    @cached_property
    @override
    def atomic_numbers(self) -> np.ndarray:
        """Atomic numbers, shape (n_atoms,), int64; ordered crystals only.

        Raises:
            DataError: a site is shared by several species.
        """
        numbers = [_number(s) if isinstance(s, str) else 0 for s in self.species]
        if not all(numbers):  # mixed sites, or no element: the structure says which
            return Crystal(self.id, self.structure).atomic_numbers
        return np.array(numbers, dtype=np.int64)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crystal) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    @override
    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, equal to that of an unpacked crystal."""
        return {
            "id": self.id,
            "structure": {
                "cell": rounded(self.cell),
                "species": [
                    s
                    if isinstance(s, str)
                    else {k: round(v, DIGITS) for k, v in s.items()}
                    for s in self.species
                ],
                "fractional": rounded(self.fractional),
            },
            "labels": {k: v.to_dict() for k, v in self.labels.items()},
            "source": dict(self.source),
        }


@cache
def _number(symbol: str) -> int:
    """Return the atomic number of a symbol; 0 where it is none."""
    return int(Element(symbol).Z) if Element.is_valid_symbol(symbol) else 0


def described(
    crystal: Crystal,
    *,
    name: str | None = None,
    labels: Mapping[str, Label] | None = None,
    source: Mapping[str, Any] | None = None,
) -> Crystal:
    """Return a copy with another id, labels or source; arrays stay arrays."""
    name = crystal.id if name is None else name
    labels = crystal.labels if labels is None else labels
    source = crystal.source if source is None else source
    if not isinstance(crystal, PackedCrystal):
        return Crystal(name, crystal.structure, labels, source)
    parts = {
        "cell": crystal.cell,
        "species": crystal.species,
        "fractional": crystal.fractional,
    }
    return PackedCrystal(name, parts, labels, source)


def geometry(crystal: Crystal) -> tuple[np.ndarray, Sequence[Any], np.ndarray]:
    """Return what :func:`unpack` takes: cell, species and positions."""
    if isinstance(crystal, PackedCrystal):
        return crystal.cell, crystal.species, crystal.fractional
    structure = crystal.structure
    species = [s.species for s in structure]
    return structure.lattice.matrix, species, structure.frac_coords


def plain_counts(crystal: Crystal) -> dict[str, int] | None:
    """Return atoms of each element; None unless packed, with an atom on every site.

    Without the structure, and without pymatgen's ``Composition``: both are what takes
    the time in a large pool.
    """
    if not isinstance(crystal, PackedCrystal):
        return None
    counts = Counter(s for s in crystal.species if isinstance(s, str))
    if counts.total() != len(crystal.species) or not all(map(_number, counts)):
        return None
    return dict(counts)


def whole(crystal: Crystal) -> Crystal:
    """Return the crystal with its structure made once, for who looks at it often."""
    if not isinstance(crystal, PackedCrystal):
        return crystal
    return Crystal(crystal.id, crystal.structure, crystal.labels, crystal.source)


def volume(crystal: Crystal) -> float:
    """Return the volume of the cell, Å³."""
    return abs(float(np.linalg.det(geometry(crystal)[0])))


def ordered(crystal: Crystal) -> bool:
    """Tell whether one atom fills every site."""
    if isinstance(crystal, PackedCrystal) and all(
        isinstance(s, str) for s in crystal.species
    ):
        return True
    return bool(crystal.structure.is_ordered)


def unpack(
    cell: np.ndarray, species: Sequence[Any], fractional: np.ndarray
) -> Structure:
    """Make the structure of arrays; see :class:`PackedCrystal`."""
    return Structure(Lattice(cell), [*species], fractional)
