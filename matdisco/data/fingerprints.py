"""Fingerprints: say quickly which crystals can be the same, then let a judge decide.

Two levels. :func:`fingerprint` is a string that two descriptions of one crystal share
(rotated, shifted, permuted, another cell, a supercell). :func:`profile` is a vector
that changes little when atoms move little; near vectors are *candidates*, and
:func:`same_structure` (pymatgen's ``StructureMatcher``) has the last word.

The profile is the smeared partial pair-distribution function of Oganov and Valle,
J. Chem. Phys. 130, 104504 (2009), in units of the mean atomic spacing, so that a
uniform scaling of the cell leaves it unchanged (as ``StructureMatcher(scale=True)``).
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any, Literal, NamedTuple

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from matdisco.crystal import Crystal
from matdisco.errors import DataError

CENTRES = np.arange(0.3, 3.31, 0.2)
"""Distances at which the profile is sampled, in units of (V/N)^(1/3)."""
SMEARING = 0.15
"""Gaussian width, same unit: 0.4 Å in an oxide, wide against thermal motion."""
_REACH = 3.7  # no Gaussian of the last centre reaches further (2.7 widths), same unit
_DISTANCES = 2_000_000  # held in memory at a time, 16 MB
_MAX_IMAGES = 400_000  # periodic images times atoms; above it a cell is degenerate
SYMPREC = 0.01
"""Å within which moyopy accepts a symmetry operation; spglib's and MP's usual value."""


class Tolerance(NamedTuple):
    """How far apart two structures may be and still count as one."""

    lengths: float
    """Relative difference of cell lengths (pymatgen's ``ltol``)."""
    sites: float
    """Root mean square displacement over (V/N)^(1/3) (pymatgen's ``stol``)."""
    angles: float
    """Difference of cell angles in degrees (pymatgen's ``angle_tol``)."""
    profile: float
    """Largest cosine distance of profiles at which the judge is asked at all."""


TOLERANCES: dict[str, Tolerance] = {
    # One material described twice: files rounded, settings changed, cells relaxed
    # with another functional. Tight enough to keep MD frames and tilted or
    # ferroelectric distortions apart. Profile bound: the judge's matches among 2,000
    # mixed records with 500 altered copies lie below 0.003; of what the judge accepts,
    # all up to 3 % strain and 0.1 Å rattle lies below 0.006, 97 % at 4.5 % strain.
    "same": Tolerance(lengths=0.05, sites=0.05, angles=2.0, profile=0.008),
    # One prototype: pymatgen's own defaults, as the Materials Project groups.
    # Splits use it, so that near-copies never straddle. Largest profile distance of a
    # match there: 0.032.
    "similar": Tolerance(lengths=0.2, sites=0.3, angles=5.0, profile=0.15),
}
Level = Literal["same", "similar"]


def bare(structure: Structure) -> Structure:
    """Return the structure without oxidation states, spins and site properties."""
    species: list[object] = []
    for site in structure:
        amounts: dict[str, float] = {}
        for specie, amount in site.species.items():
            symbol = specie.symbol
            amounts[symbol] = amounts.get(symbol, 0.0) + float(amount)
        whole = len(amounts) == 1 and abs(next(iter(amounts.values())) - 1) < 1e-8
        species.append(next(iter(amounts)) if whole else Composition(amounts))
    return Structure(structure.lattice, species, structure.frac_coords)  # type: ignore[arg-type]


def composition_key(structure: Structure) -> str:
    """Return the atomic fractions as text: the block in which a duplicate can lie.

    >>> cell = 4.2 * np.eye(3)
    >>> composition_key(Structure(cell, ["Mg2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    'Mg0.500 O0.500'
    """
    return _fractions(structure.composition)


def block_key(crystal: Crystal) -> str:
    """Return :func:`composition_key` of a crystal."""
    return _fractions(crystal.composition)


def _fractions(composition: Composition) -> str:
    amounts: dict[str, float] = {}
    for specie, amount in composition.items():
        amounts[specie.symbol] = amounts.get(specie.symbol, 0.0) + float(amount)
    total = sum(amounts.values())
    # Three digits: partial occupancies are refined to 0.01, so finer is noise.
    return " ".join(f"{e}{n / total:.3f}" for e, n in sorted(amounts.items()))


def profile(structure: Structure) -> np.ndarray:
    """Return the pair-distribution profile, a unit vector.

    Invariant to rotation, translation, permutation, choice of cell, supercell and
    uniform scaling; continuous in the positions. Comparable only between structures
    of the same elements.

    Returns:
        shape (n_pairs * 16,), element pairs alphabetical, times ``CENTRES``.

    Raises:
        DataError: the cell has no volume or no atoms, or is too flat to enumerate.
    """
    cell, fractional, site, element, weight, n_elements = _atoms(structure)
    n_sites = len(structure)
    volume = abs(float(np.linalg.det(cell))) if n_sites else 0.0
    if not (np.isfinite(volume) and volume > 1e-3 * n_sites and n_sites):
        raise DataError(
            f"expected a cell with volume and atoms, found {volume:.3g} Å³ and "
            f"{n_sites} atoms; reject it before asking for a profile"
        )
    spacing = (volume / n_sites) ** (1 / 3)
    shifts = _shifts(cell, _REACH * spacing)
    if len(shifts) * len(element) > _MAX_IMAGES:
        raise DataError(
            f"expected a cell of ordinary shape, found one whose neighbours need "
            f"{len(shifts)} periodic images; check the cell lengths and angles"
        )
    position = fractional @ cell
    images = ((shifts @ cell)[:, None, :] + position[None, :, :]).reshape(-1, 3)
    number = np.tile(np.arange(len(element)), len(shifts))
    here = np.repeat(np.all(shifts == 0, axis=1), len(element))
    squares = np.einsum("mk,mk->m", images, images)
    n_pairs = n_elements * (n_elements + 1) // 2
    total = np.zeros((n_pairs, len(CENTRES)))
    step = max(1, _DISTANCES // len(images))  # atoms at a time: bounded memory
    for first in range(0, len(position), step):
        some = position[first : first + step]
        # |u - v|² = u² + v² - 2 u·v: one matrix product for all atoms and images
        square = np.einsum("nk,nk->n", some, some)[:, None] + squares
        square -= 2 * some @ images.T
        i, m = np.nonzero(square < (_REACH * spacing) ** 2)
        distance = np.sqrt(np.maximum(square[i, m], 0)) / spacing
        i, j = i + first, number[m]
        # An atom is not its own neighbour, nor is another species on its site.
        other = ~(here[m] & (site[i] == site[j]))
        i, j, distance = i[other], j[other], distance[other]
        low = np.minimum(element[i], element[j])
        high = np.maximum(element[i], element[j])
        pairs = low * n_elements - low * (low - 1) // 2 + high - low
        total += _smear(distance, pairs, weight[i] * weight[j], n_pairs)
    # Shells grow as R²; without the division the far ones would drown the bonds.
    vector: np.ndarray = (total / CENTRES**2).ravel()
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def space_group(structure: Structure, symprec: float = SYMPREC) -> int:
    """Return the space group number (moyopy), or 0 where none can be assigned.

    Args:
        structure: ordered or disordered; each distinct mixture is its own species.
        symprec: tolerance in Å.
    """
    made = _symmetry(structure, symprec)
    return 0 if made is None else int(made[0].number)


def primitive(structure: Structure, symprec: float = SYMPREC) -> Structure | None:
    """Return the primitive, Niggli-reduced cell (moyopy) of an ordered structure.

    None where no symmetry can be assigned or sites are mixed. Reduced, because in a
    skewed cell a tolerance of lengths and angles is one of anything.

    Args:
        structure: oxidation states are dropped.
        symprec: tolerance in Å.
    """
    import moyopy

    if not structure.is_ordered:
        return None
    made = _symmetry(bare(structure), symprec)
    if made is None:
        return None
    found, names = made
    cell = found.prim_std_cell
    species = [names[number] for number in cell.numbers]
    basis = np.array(cell.basis)
    try:
        reduced = np.array(moyopy.niggli_reduce(cell.basis)[0])
    except ValueError:  # too flat
        return None
    positions = np.array(cell.positions) @ basis @ np.linalg.inv(reduced)
    return Structure(reduced, species, positions)


def _symmetry(
    structure: Structure, symprec: float
) -> tuple[Any, dict[int, str]] | None:
    """Return moyopy's analysis and what its numbers stand for."""
    import moyopy

    # It warns once per supercell about operations that the number does not need.
    logging.getLogger("moyo").setLevel(logging.ERROR)
    kinds: dict[str, int] = {}
    numbers = [kinds.setdefault(s.species_string, len(kinds) + 1) for s in structure]
    cell = moyopy.Cell(
        basis=structure.lattice.matrix.tolist(),
        positions=structure.frac_coords.tolist(),
        numbers=numbers,
    )
    try:
        found = moyopy.MoyoDataset(cell, symprec=symprec)
    except ValueError:  # moyopy: "cell is too distorted" and the like
        return None
    return found, {number: name for name, number in kinds.items()}


def fingerprint(crystal: Crystal) -> str:
    """Return a short string that all descriptions of one crystal share.

    Reduced formula, space group, and a hash of profile and volume to about 0.5 %.
    Equal strings mean equal crystals; crystals that differ by noise near that
    resolution may differ in it, which is why :mod:`matdisco.data.duplicates` compares
    profiles and not strings.

    Raises:
        DataError: see :func:`profile`.
    """
    structure = bare(crystal.structure)
    # Logarithm: equal relative steps. 1/200 is far above file rounding, far below
    # any difference that a functional makes.
    volume = round(float(np.log(structure.volume / len(structure))) * 200)
    rounded = np.round(profile(structure) * 200).astype(int).tolist()
    code = hashlib.sha256(repr((volume, rounded)).encode()).hexdigest()[:16]
    # pymatgen does not reduce fractional amounts, which would tell supercells apart.
    formula = (
        structure.composition.reduced_formula
        if structure.is_ordered
        else composition_key(structure).replace(" ", "")
    )
    return f"{formula}:{space_group(structure)}:{code}"


def matcher(level: Level = "same") -> StructureMatcher:
    """Return pymatgen's judge with the tolerances of ``level``."""
    t = TOLERANCES[level]
    return StructureMatcher(ltol=t.lengths, stol=t.sites, angle_tol=t.angles)


def same_structure(a: Crystal, b: Crystal, level: Level = "same") -> bool:
    """Tell whether two crystals are one, by pymatgen's ``StructureMatcher``.

    Oxidation states and spins are ignored; a uniform difference in volume as well.
    """
    if composition_key(a.structure) != composition_key(b.structure):
        return False
    return bool(matcher(level).fit(bare(a.structure), bare(b.structure)))


def _atoms(
    structure: Structure,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Expand mixed sites into one weighted pseudo-atom per element."""
    rows = [
        (number, specie.symbol, float(amount))
        for number, one in enumerate(structure)
        for specie, amount in one.species.items()
    ]
    symbols = sorted({symbol for _, symbol, _ in rows})
    site = np.array([r[0] for r in rows], dtype=int)
    element = np.array([symbols.index(r[1]) for r in rows], dtype=int)
    weight = np.array([r[2] for r in rows], dtype=float)
    fractional = np.mod(structure.frac_coords, 1.0)[site]
    cell = np.asarray(structure.lattice.matrix)
    return cell, fractional, site, element, weight, len(symbols)


def _smear(
    distances: np.ndarray, pairs: np.ndarray, weights: np.ndarray, n_pairs: int
) -> np.ndarray:
    """Sum a Gaussian per distance on ``CENTRES``, shape (n_pairs, 16)."""
    bumps = np.exp(-(((distances[:, None] - CENTRES) / SMEARING) ** 2))
    bumps *= weights[:, None]
    total = np.zeros((n_pairs, len(CENTRES)))
    for pair in range(n_pairs):
        total[pair] = bumps[pairs == pair].sum(axis=0)
    return total


def _shifts(cell: np.ndarray, reach: float) -> np.ndarray:
    """Return the lattice translations, shape (n, 3), that can matter within reach."""
    # Spacing of the lattice planes: the inverse norms of the reciprocal vectors.
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    n = np.minimum(np.ceil(reach / heights), 1000).astype(int)
    if np.prod(2.0 * n + 1) > _MAX_IMAGES:
        return np.zeros((_MAX_IMAGES + 1, 3), dtype=int)
    axes = [np.arange(-k, k + 1) for k in n]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
