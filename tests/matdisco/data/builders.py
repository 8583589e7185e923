"""Small crystals made here for the data tests."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Lattice, Structure

from matdisco.crystal import Crystal, Label

_FACES = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def rocksalt(a: str = "Mg", b: str = "O", edge: float = 4.21) -> Structure:
    """Conventional B1 cell; edge in Å."""
    sites = np.vstack([_FACES, _FACES + 0.5]) % 1
    return Structure(Lattice.cubic(edge), [a] * 4 + [b] * 4, sites)


def fluorite(a: str = "Ca", b: str = "F", edge: float = 5.46) -> Structure:
    """Conventional C1 cell; edge in Å."""
    sites = np.vstack([_FACES, _FACES + 0.25, _FACES + 0.75]) % 1
    return Structure(Lattice.cubic(edge), [a] * 4 + [b] * 8, sites)


def perovskite(a: str = "Sr", b: str = "Ti", edge: float = 3.91) -> Structure:
    """Cubic ABO3 cell; edge in Å."""
    sites = [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(edge), [a, b, "O", "O", "O"], sites)


def wurtzite(a: str = "Zn", b: str = "S") -> Structure:
    """Hexagonal B4 cell, four atoms."""
    third = 1 / 3
    sites = [[third, 2 * third, 0], [2 * third, third, 0.5],
             [third, 2 * third, 0.375], [2 * third, third, 0.875]]  # fmt: skip
    return Structure(Lattice.hexagonal(3.82, 6.26), [a, a, b, b], sites)


def crystal(
    structure: Structure, name: str = "x", method: str = "PBE", **values: float
) -> Crystal:
    """A crystal with labels; ``band_gap=1.2`` is in eV, moduli in GPa."""
    units = {"band_gap": "eV", "bulk_modulus": "GPa", "shear_modulus": "GPa"}
    labels = {
        key: Label(value, units.get(key, "eV/atom"), method)
        for key, value in values.items()
    }
    return Crystal(name, structure, labels)


def disguised(structure: Structure, rng: np.random.Generator) -> Structure:
    """The same crystal in another cell: rotated, shifted, permuted, doubled."""
    other = structure.copy()
    matrix = np.eye(3, dtype=int)
    matrix[0, 1], matrix[2, 2] = rng.integers(-1, 2), rng.integers(1, 3)
    other.make_supercell(matrix)
    other.translate_sites(range(len(other)), rng.random(3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = rng.permutation(len(other))
    return Structure(
        Lattice(other.lattice.matrix @ turn),
        [other[int(i)].species for i in order],
        other.frac_coords[order],
    )


def rattled(
    structure: Structure, distance: float, rng: np.random.Generator
) -> Structure:
    """The structure with each atom moved by exactly ``distance`` Å."""
    moves = rng.normal(size=(len(structure), 3))
    moves *= distance / np.linalg.norm(moves, axis=1, keepdims=True)
    return Structure(
        structure.lattice,
        structure.species_and_occu,
        structure.cart_coords + moves,
        coords_are_cartesian=True,
    )
