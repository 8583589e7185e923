"""The periodic search without compiled code of ours: pymatgen's, crystal by crystal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Structure
from pymatgen.optimization.neighbors import find_points_in_spheres

from matdisco.crystal import Crystal
from surrogates.neighbors import (
    FADE,
    GROW,
    LARGEST,
    TOO_CLOSE,
    NeighborLists,
    overlapping,
    too_few,
)

_SAME_POINT = 1e-8  # Å, pymatgen's own tolerance for "the atom itself"
_Found = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def search(
    crystals: Sequence[Crystal | Structure],
    cells: np.ndarray,
    spots: np.ndarray,
    atoms: np.ndarray,
    radius: float,
    k: int,
) -> NeighborLists:
    """Do what :func:`surrogates.search_kernels.search` does; arguments as there."""
    rims = np.full(len(spots), np.nan)
    parts: list[_Found] = []
    ends = np.zeros(len(cells) + 1, np.int64)
    for g, cell in enumerate(cells):
        here = spots[atoms[g] : atoms[g + 1]]
        found: _Found | None
        if k == 0:
            found = _pairs(cell, here, radius)
        else:
            found = _nearest(cell, here, k, rims[atoms[g] : atoms[g + 1]])
            if found is None:
                raise too_few(crystals, g, k)
        if len(found[3]) and found[3].min() < TOO_CLOSE:
            raise overlapping(crystals, g, here, cell)
        order = np.argsort(found[0], kind="stable")
        parts.append((found[0][order], found[1][order], found[2][order],
                      found[3][order]))  # fmt: skip
        ends[g + 1] = ends[g] + len(order)
    if not parts:
        none = np.zeros(0, np.int32)
        parts = [(none, none, np.zeros((0, 3), np.int32), np.zeros(0))]
    i, j, n, d = (np.concatenate(column) for column in zip(*parts, strict=True))
    return NeighborLists(
        i.astype(np.int32), j.astype(np.int32), n.astype(np.int32), d, rims,
        None if k else radius, atoms, ends,
    )  # fmt: skip


def _nearest(
    cell: np.ndarray, spots: np.ndarray, k: int, rims: np.ndarray
) -> _Found | None:
    n = len(spots)
    volume = abs(np.linalg.det(cell))
    radius = 1.12 * FADE * (3.0 * (k + 1) * volume / (4.0 * np.pi * n)) ** (1 / 3)
    radius = min(radius, LARGEST)
    while True:
        i, j, images, d = _pairs(cell, spots, radius)
        counts = np.bincount(i, minlength=n)
        if counts.min() < k:
            if radius >= LARGEST:
                return None
            radius = min(GROW * radius, LARGEST)
            continue
        order = np.lexsort((d, i))
        rims[:] = d[order][np.cumsum(counts) - counts + k - 1]
        if FADE * rims.max() <= radius:
            keep = d < FADE * rims[i]
            return i[keep], j[keep], images[keep], d[keep]
        radius = FADE * float(rims.max()) + 1e-6


def _pairs(cell: np.ndarray, spots: np.ndarray, radius: float) -> _Found:
    lattice = np.ascontiguousarray(cell, dtype=float)
    points = np.ascontiguousarray(spots @ lattice)
    i, j, images, d = find_points_in_spheres(
        points, points, r=float(radius), pbc=np.ones(3, dtype=np.int64),
        lattice=lattice, tol=_SAME_POINT,
    )  # fmt: skip
    keep = (i != j) | (d > _SAME_POINT)
    return i[keep], j[keep], images[keep], d[keep]
