"""Neighbour lists of periodic crystals: all within a radius, or the k nearest.

Lists are made for many crystals at once and stay packed in flat arrays. The compiled
search of :mod:`surrogates.search_kernels` needs numba (the extra ``fast``); without it
pymatgen's search gives the same edges, several times slower.

The k-nearest list has no hard edge: it keeps every neighbour up to ``FADE`` times the
distance of the k-th, and a weight falls smoothly from 1 at the k-th to 0 there. The
k-th distance is a continuous function of the positions, so ties need no rule, and
nothing jumps when atoms move (a hard k-nearest list does both; compare Ruff et al.,
Digital Discovery 3, 594 (2024), doi 10.1039/D4DD00018H, who keep ties by a tolerance).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
from pymatgen.core import Structure

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError

FADE = 1.2
"""Where a k-nearest list ends, as a multiple of the k-th distance. In fcc the next
shell is at 1.41, in bcc the 14 nearest span 1.15: both stay whole."""
TOO_CLOSE = 0.1
"""Å: no two nuclei are this close; the input is broken."""
GROW = 1.35
"""Radius factor of a k-nearest search that found fewer than k."""
LEAST_VOLUME = 0.1
"""Å³ per atom under which a cell is flat: the densest solids, pressed to an eighth,
have some 0.7; in a flat one there is no end of images within any radius."""
LARGEST = 60.0
"""Å: beyond this a cell holds no crystal."""
_ROOM = 64  # edges per atom to make room for at first; grows when it was too few


@dataclass(frozen=True, eq=False)
class NeighborLists:
    """Directed edges i ← j of g crystals, those of one receiving atom together."""

    centers: np.ndarray
    """Receiving atom i, counted within its crystal, shape (e,), int32."""
    neighbors: np.ndarray
    """Sending atom j, counted within its crystal, shape (e,), int32."""
    images: np.ndarray
    """Lattice translation of j, shape (e, 3), int32."""
    distances: np.ndarray
    """Å, shape (e,), float64."""
    rims: np.ndarray
    """Distance of each atom's k-th neighbour, Å, shape (n,); of a radius list NaN."""
    radius: float | None
    """Å; None for a k-nearest list."""
    atom_offsets: np.ndarray
    """Where each crystal's atoms start, shape (g + 1,), int64."""
    edge_offsets: np.ndarray
    """Where each crystal's edges start, shape (g + 1,), int64."""

    def __len__(self) -> int:
        return len(self.edge_offsets) - 1

    @property
    def atom_of_edge(self) -> np.ndarray:
        """Receiving atom counted over all crystals, shape (e,), int64."""
        first = np.repeat(self.atom_offsets[:-1], np.diff(self.edge_offsets))
        numbers: np.ndarray = self.centers + first
        return numbers

    @property
    def weights(self) -> np.ndarray:
        """Smooth membership in [0, 1], shape (e,), float64."""
        if self.radius is not None:
            return envelope(self.distances, 0.8 * self.radius, self.radius)
        return envelope(self.distances / self.rims[self.atom_of_edge], 1.0, FADE)


def envelope(x: np.ndarray, start: float, end: float) -> np.ndarray:
    """Fall smoothly (C²) from 1 at ``start`` to 0 at ``end``, elementwise.

    The quintic step 1 - 10t³ + 15t⁴ - 6t⁵.

    >>> envelope(np.array([0.5, 1.5, 3.0]), 1.0, 2.0)
    array([1. , 0.5, 0. ])
    """
    t = np.clip((x - start) / (end - start), 0.0, 1.0)
    value: np.ndarray = 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t**2)
    return value


def within(
    crystals: Sequence[Crystal | Structure],
    radius: float,
    *,
    compiled: bool | None = None,
) -> NeighborLists:
    """List all pairs closer than ``radius`` Å, for all crystals at once.

    Args:
        crystals: crystals or pymatgen structures; periodic in all directions.
        radius: Å.
        compiled: whether numba is used; None asks :func:`has_kernels`.

    Raises:
        SurrogateError: a cell or position is not finite, or two atoms overlap; names
            the crystal.
    """
    return _search(crystals, radius, 0, compiled=compiled)


def nearest(
    crystals: Sequence[Crystal | Structure], k: int, *, compiled: bool | None = None
) -> NeighborLists:
    """List every atom's k nearest neighbours, ties and a fading rim included.

    The search radius starts from the density and grows until every atom has k, so
    cells with a single atom or much vacuum work.

    Args:
        crystals: crystals or pymatgen structures; periodic in all directions.
        k: neighbours, 1 or more.
        compiled: whether numba is used; None asks :func:`has_kernels`.

    Raises:
        SurrogateError: as for :func:`within`, or fewer than k within 60 Å.
    """
    return _search(crystals, 0.0, k, compiled=compiled)


@lru_cache(maxsize=1)
def has_kernels() -> bool:
    """Say whether the compiled loops are used: numba is there, and not refused.

    ``MATDISCO_COMPILED=0`` refuses it: the loops compile once per installation (some
    20 s) and importing numba takes a second, which a thousand crystals do not repay.
    """
    return os.environ.get("MATDISCO_COMPILED") != "0" and find_spec("numba") is not None


def _search(
    crystals: Sequence[Crystal | Structure],
    radius: float,
    k: int,
    *,
    compiled: bool | None,
) -> NeighborLists:
    cells, spots, atoms = _arrays(crystals)
    if has_kernels() if compiled is None else compiled:
        return _compiled(crystals, cells, spots, atoms, radius, k)
    from surrogates.plain_search import search

    return search(crystals, cells, spots, atoms, radius, k)


def _arrays(
    crystals: Sequence[Crystal | Structure],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cells (n, 3, 3), fractional coordinates (atoms, 3), offsets (n + 1,)."""
    structures = [c.structure if isinstance(c, Crystal) else c for c in crystals]
    spots = [s.frac_coords for c in structures for s in c.sites]
    cells = np.array([c.lattice.matrix for c in structures]).reshape(-1, 3, 3)
    flat = np.concatenate(spots).reshape(-1, 3) if spots else np.zeros((0, 3))
    atoms = np.zeros(len(structures) + 1, np.int64)
    np.cumsum([len(c.sites) for c in structures], out=atoms[1:])
    finite = np.isfinite(cells).all(axis=(1, 2))
    finite[np.searchsorted(atoms, np.flatnonzero(~np.isfinite(flat).all(axis=1)),
                           "right") - 1] = False  # fmt: skip
    if (broken := np.flatnonzero(~finite)).size:
        raise SurrogateError(
            f"{_name(crystals, int(broken[0]))}: cell or positions are not finite"
        )
    if (empty := np.flatnonzero(np.diff(atoms) == 0)).size:
        raise SurrogateError(f"{_name(crystals, int(empty[0]))}: has no atoms")
    space = np.abs(np.linalg.det(cells)) / np.diff(atoms)
    if (flat_cells := np.flatnonzero(space < LEAST_VOLUME)).size:
        raise SurrogateError(
            f"{_name(crystals, int(flat_cells[0]))}: the cell is flat, "
            f"{space[flat_cells[0]]:.2g} Å³ per atom; is its cell right?"
        )
    return cells, flat, atoms


def _compiled(
    crystals: Sequence[Crystal | Structure],
    cells: np.ndarray,
    spots: np.ndarray,
    atoms: np.ndarray,
    radius: float,
    k: int,
) -> NeighborLists:
    from surrogates.search_kernels import search

    rims = np.full(len(spots), np.nan)
    ends = np.zeros(len(cells) + 1, np.int64)
    parts: list[tuple[np.ndarray, ...]] = []
    room, g, begin, former = _ROOM * len(spots) + 4096, 0, 0, 0
    while True:
        edges = np.empty((2, room), np.int32)
        images = np.empty((room, 3), np.int32)
        distances = np.empty(room)
        g, begin, state = search(
            cells, spots, atoms, radius, k, FADE, GROW, LARGEST, TOO_CLOSE, g,
            edges, images, distances, rims, ends,
        )  # fmt: skip
        parts.append((edges[0, :begin], edges[1, :begin], images[:begin],
                      distances[:begin]))  # fmt: skip
        ends[former + 1 : g + 1] += ends[former]
        if state != 1:
            break
        # room for what is left at the density so far, or for one crystal that needs all
        seen = begin / max(1, atoms[g] - atoms[former])
        left = int(atoms[-1] - atoms[g])
        room = max(int(1.2 * seen * left) + 4096, 2 * room if g == former else 0)
        former = g
    if state == 2:
        raise overlapping(crystals, g, spots[atoms[g] : atoms[g + 1]], cells[g])
    if state == 3:
        raise too_few(crystals, g, k)
    i, j, n, d = (
        parts[0]
        if len(parts) == 1
        else [np.concatenate(c) for c in zip(*parts, strict=True)]
    )
    return NeighborLists(i, j, n, d, rims, None if k else radius, atoms, ends)


def overlapping(
    crystals: Sequence[Crystal | Structure],
    row: int,
    spots: np.ndarray,
    cell: np.ndarray,
) -> SurrogateError:
    """Return the error that names two atoms on one spot."""
    shift = spots[:, None] - spots[None]
    shift -= np.round(shift)
    far = np.linalg.norm(shift @ cell, axis=-1)
    far[np.diag_indices(len(far))] = np.inf
    i, j = sorted(np.unravel_index(int(far.argmin()), far.shape))
    where = f"atoms {i} and {j} are {far[i, j]:.3f} Å apart"
    if far[i, j] > TOO_CLOSE:
        where = "a cell vector is so short that an atom meets its own image"
    return SurrogateError(
        f"{_name(crystals, row)}: {where}; overlapping atoms cannot be predicted"
    )


def too_few(
    crystals: Sequence[Crystal | Structure], row: int, k: int
) -> SurrogateError:
    """Return the error for a cell that holds no crystal."""
    return SurrogateError(
        f"{_name(crystals, row)}: fewer than {k} neighbours within {LARGEST:g} Å; "
        "is its cell right?"
    )


def _name(crystals: Sequence[Crystal | Structure], row: int) -> str:
    crystal = crystals[row]
    if isinstance(crystal, Crystal):
        return f"crystal {crystal.id}"
    return f"structure {row} ({crystal.reduced_formula if len(crystal) else 'empty'})"
