"""Build structures from what files say, and refuse what no crystal can be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from pymatgen.core import DummySpecies, Element, Lattice, Species, Structure

from matdisco.data.readers.base import Finding, Unreadable

_VACUUM = 10.0  # Å around a molecule: neighbour lists of 5 Å do not see the image
_MIN_VOLUME = 1e-3  # Å³ per cell; the smallest real cell (H under pressure) has ~1
_MAX_LENGTH = 1e5  # Å


def structure(
    cell: Any,
    species: Sequence[Any],
    positions: Any,
    *,
    cartesian: bool = False,
    limit: int = 20_000,
) -> Structure:
    """Make a structure after checking cell, species and numbers.

    Args:
        cell: (3, 3) lattice vectors as rows, Å.
        species: one per site: symbol, atomic number, or {symbol: occupancy}.
        positions: (n, 3) fractions of the cell, or Å when ``cartesian``.
        cartesian: what ``positions`` are.
        limit: most sites.

    Raises:
        Unreadable: with the rule that says what is wrong.
    """
    if not len(species):
        raise Unreadable("no-structure", "the record has no atoms")
    if len(species) > limit:
        raise Unreadable(
            "too-many-sites", f"{len(species):,} sites, more than the limit {limit:,}"
        )
    matrix, sites = np.asarray(cell, float), np.asarray(positions, float)
    if matrix.shape != (3, 3):
        raise Unreadable(
            "no-cell", f"expected 3 x 3 cell components, got shape {matrix.shape}"
        )
    if sites.shape != (len(species), 3):
        raise Unreadable(
            "count-mismatch",
            f"{len(species)} species, but positions of shape {sites.shape}",
        )
    check_cell(matrix)
    if not (np.isfinite(sites).all() and np.abs(sites).max() < 1e6):
        raise Unreadable("bad-number", "a position is NaN, infinite or absurdly large")
    out = Structure(
        Lattice(matrix),
        [site_species(s) for s in species],
        sites,
        coords_are_cartesian=cartesian,
    )
    return out


def check_cell(matrix: np.ndarray) -> None:
    """Refuse a cell (3, 3) in Å that no crystal has.

    Raises:
        Unreadable: not finite, absurdly long, zero, or without volume.
    """
    if not np.isfinite(matrix).all():
        raise Unreadable("bad-number", "a cell component is NaN or infinite")
    if np.abs(matrix).max() > _MAX_LENGTH:
        raise Unreadable(
            "bad-number", f"a cell component of {np.abs(matrix).max():.3g} Å"
        )
    if not np.any(matrix):
        raise Unreadable("no-cell", "the cell is zero")
    volume = abs(float(np.linalg.det(matrix)))
    lengths = np.linalg.norm(matrix, axis=1)
    if volume < _MIN_VOLUME or volume < 1e-6 * float(np.prod(lengths)):
        raise Unreadable("flat-cell", f"the cell has a volume of {volume:.3g} Å³")


def check(made: Structure, limit: int) -> None:
    """Refuse a structure, whoever made it, that has no finite cell and positions.

    Args:
        made: the structure.
        limit: most sites.

    Raises:
        Unreadable: with the rule that says what is wrong.
    """
    check_cell(np.asarray(made.lattice.matrix))
    if len(made) > limit:
        raise Unreadable(
            "too-many-sites", f"{len(made):,} sites, more than the limit {limit:,}"
        )
    if not len(made):
        raise Unreadable("no-structure", "the record has no atoms")
    fractions = made.frac_coords
    if not (np.isfinite(fractions).all() and np.abs(fractions).max() < 1e6):
        raise Unreadable("bad-number", "a position is NaN, infinite or absurdly large")


def boxed(
    species: Sequence[Any],
    positions: Any,
    cell: Any = None,
    pbc: Sequence[bool] = (False, False, False),
    **rest: Any,
) -> tuple[Structure, Finding]:
    """Put atoms that are not periodic in every direction into a box with vacuum.

    Args:
        species: one per site.
        positions: (n, 3) Å.
        cell: lattice vectors, Å; the zero ones, or all, are made here.
        pbc: which cell vectors count.
        rest: for :func:`structure`.
    """
    sites = np.asarray(positions, float).reshape(-1, 3)
    if len(sites) == 0:
        raise Unreadable("no-structure", "the record has no atoms")
    if not (np.isfinite(sites).all() and np.abs(sites).max() < 1e6):
        raise Unreadable("bad-number", "a position is NaN, infinite or absurdly large")
    matrix = np.zeros((3, 3)) if cell is None else np.array(cell, float)
    matrix[~np.asarray(pbc, bool)] = 0
    keep = [i for i in range(3) if np.any(matrix[i])]
    if len(keep) == 3:
        raise ValueError("boxed() is for atoms without a full cell")
    matrix = _completed(matrix, keep, sites)
    made = structure(matrix, species, sites, cartesian=True, **rest)
    if not keep:
        return made, Finding(
            "no-cell",
            "quarantine",
            "the file holds a molecule without a periodic cell; it was put into a box "
            f"with {_VACUUM:g} Å of vacuum",
        )
    return made, Finding(
        "partial-cell",
        "quarantine",
        f"the file is periodic in {len(keep)} of 3 directions; the others got "
        f"{_VACUUM:g} Å of vacuum",
    )


def _completed(matrix: np.ndarray, keep: list[int], sites: np.ndarray) -> np.ndarray:
    """Fill the missing cell vectors, at right angles to the given ones."""
    extent = sites.max(axis=0) - sites.min(axis=0)
    if not keep:
        return np.diag(extent + _VACUUM)
    known = matrix[keep]
    basis = np.linalg.svd(known, full_matrices=True)[2]
    normals = list(basis[len(keep) :])
    for i in range(3):
        if i not in keep:
            normal = normals.pop()
            heights = sites @ normal
            matrix[i] = normal * (heights.max() - heights.min() + _VACUUM)
    return matrix


def site_species(value: Any) -> Any:
    """Return what pymatgen takes for a site.

    Raises:
        Unreadable: no such element, or impossible occupancies.
    """
    if isinstance(value, Mapping):
        total = 0.0
        out = {}
        for key, amount in value.items():
            share = float(amount)
            if not 0 <= share < 1.0001:
                raise Unreadable(
                    "occupancy", f"occupancy {share:g} of {key} is not within 0 and 1"
                )
            total += share
            out[_species(str(key))] = share
        if total > 1.0001:
            raise Unreadable("occupancy", f"a site holds {total:g} atoms")
        return out
    if isinstance(value, (Element, Species, DummySpecies)):
        return value
    if isinstance(value, (int, np.integer)):
        return _by_number(int(value))
    return _species(str(value))


@lru_cache(4096)
def _by_number(z: int) -> Element:
    if not 1 <= z <= 118:
        raise Unreadable("unknown-species", f"no element has atomic number {z}")
    return Element.from_Z(z)


@lru_cache(4096)
def _species(name: str) -> Element | Species | DummySpecies:
    text = name.strip()
    if Element.is_valid_symbol(text):
        return Element(text)
    try:
        if re.fullmatch(r"[A-Z][a-z]?\d*\.?\d*[+-](?:,spin=-?\d+\.?\d*)?", text):
            return Species.from_str(text)
        if re.fullmatch(r"(?:X|Q)[a-z]?\d*\+?", text):
            return DummySpecies.from_str(text)
    except ValueError:
        pass
    raise Unreadable("unknown-species", f"{text[:40]!r} is no chemical element")


def symbol_of(label: str) -> str:
    """Return the element at the start of a site label such as ``Fe2`` or ``O_s``.

    Raises:
        Unreadable: there is none.

    >>> symbol_of("Fe2"), symbol_of("SI1"), symbol_of("O_h")
    ('Fe', 'Si', 'O')
    """
    match = re.match(r"[A-Za-z]{1,2}", label.strip())
    letters = match.group() if match else ""
    for size in (2, 1):
        symbol = letters[:size].capitalize()
        if len(letters) >= size and Element.is_valid_symbol(symbol):
            return symbol
    raise Unreadable("unknown-species", f"{label[:40]!r} names no chemical element")


def unnamed(kind: int) -> DummySpecies:
    """Return a placeholder for the n-th species of a file that names none."""
    return DummySpecies(f"Q{'abcdefghijklmnopqrstuvwxyz'[(kind - 1) % 26]}")


def cell_from_parameters(values: Sequence[float]) -> np.ndarray:
    """Return cell vectors (3, 3) in Å from a, b, c (Å) and the angles (degrees)."""
    a, b, c, alpha, beta, gamma = values
    if min(a, b, c) <= 0 or not all(0 < x < 180 for x in (alpha, beta, gamma)):
        raise Unreadable("flat-cell", f"no cell has the parameters {list(values)}")
    matrix = np.array(Lattice.from_parameters(a, b, c, alpha, beta, gamma).matrix)
    if not np.isfinite(matrix).all():
        raise Unreadable("flat-cell", f"no cell has the angles {list(values[3:])}")
    return matrix


def by_mass(mass: float) -> str | None:
    """Return the element with that atomic mass (u), if only one is within 0.3 %.

    >>> by_mass(131.294), by_mass(58.8)
    ('Xe', None)
    """
    close = [
        e.symbol
        for e in Element
        if e.Z < 93
        and e.symbol not in ("D", "T")
        and abs(float(e.atomic_mass) - mass) < 0.003 * mass
    ]
    return close[0] if len(set(close)) == 1 else None
