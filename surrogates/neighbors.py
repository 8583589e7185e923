"""Neighbour lists of periodic crystals: all within a radius, or the k nearest.

Distances come from pymatgen's compiled periodic search. The k-nearest list has no
hard edge: it keeps every neighbour up to ``FADE`` times the distance of the k-th, and
a weight falls smoothly from 1 at the k-th to 0 there. The k-th distance is a
continuous function of the positions, so ties need no rule, and nothing jumps when
atoms move (a hard k-nearest list does both; compare Ruff et al., Digital Discovery 3,
594 (2024), doi 10.1039/D4DD00018H, who keep ties by a tolerance).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError

FADE = 1.2
"""Where a k-nearest list ends, as a multiple of the k-th distance. In fcc the next
shell is at 1.41, in bcc the 14 nearest span 1.15: both stay whole."""
_SAME_POINT = 1e-8  # Å, pymatgen's own tolerance for "the atom itself"
_TOO_CLOSE = 0.1  # Å: no two nuclei are this close; the input is broken
_GROW = 1.35  # radius factor of the search when it found fewer than k
_LARGEST = 60.0  # Å: beyond this a cell holds no crystal


@dataclass(frozen=True, eq=False)
class NeighborList:
    """Directed pairs i ← j of one crystal, sorted by (i, distance, j)."""

    centers: np.ndarray
    """Receiving atom i, shape (e,), int64."""
    neighbors: np.ndarray
    """Sending atom j, shape (e,), int64."""
    images: np.ndarray
    """Lattice translation of j, shape (e, 3), int64."""
    distances: np.ndarray
    """Å, shape (e,)."""
    weights: np.ndarray
    """Smooth membership in [0, 1], shape (e,)."""


def envelope(x: np.ndarray, start: float, end: float) -> np.ndarray:
    """Fall smoothly (C²) from 1 at ``start`` to 0 at ``end``, elementwise.

    The quintic step 1 - 10t³ + 15t⁴ - 6t⁵.

    >>> envelope(np.array([0.5, 1.5, 3.0]), 1.0, 2.0)
    array([1. , 0.5, 0. ])
    """
    t = np.clip((x - start) / (end - start), 0.0, 1.0)
    value: np.ndarray = 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t**2)
    return value


def within(crystal: Crystal, radius: float) -> NeighborList:
    """List all pairs closer than ``radius`` Å, weights fading over the last 20 %."""
    i, j, images, d = _search(crystal, radius)
    return _sorted(i, j, images, d, envelope(d, 0.8 * radius, radius))


def nearest(crystal: Crystal, k: int) -> NeighborList:
    """List the k nearest neighbours of every atom, ties and a fading rim included.

    The search radius starts from the density and grows until every atom has k, so
    cells with a single atom or much vacuum work.
    """
    n, volume = crystal.n_atoms, float(crystal.structure.volume)
    radius = 1.3 * FADE * (3.0 * (k + 1) * volume / (4.0 * np.pi * n)) ** (1 / 3)
    while True:
        i, j, images, d = _search(crystal, radius)
        order = np.lexsort((d, i))
        counts = np.bincount(i, minlength=n)
        if counts.min() >= k:
            starts = np.cumsum(counts) - counts
            kth = d[order][starts + k - 1]  # (n,) distance of the k-th neighbour
            if FADE * kth.max() <= radius:
                break
            radius = FADE * float(kth.max()) + 1e-6
            continue
        radius *= _GROW
        if radius > _LARGEST:
            raise SurrogateError(
                f"crystal {crystal.id}: fewer than {k} neighbours within "
                f"{_LARGEST:g} Å; is its cell right?"
            )
    keep = d < FADE * kth[i]
    i, j, images, d = i[keep], j[keep], images[keep], d[keep]
    return _sorted(i, j, images, d, envelope(d / kth[i], 1.0, FADE))


def _search(
    crystal: Crystal, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    lattice = np.ascontiguousarray(crystal.structure.lattice.matrix, dtype=float)
    fractional = np.asarray(crystal.structure.frac_coords, dtype=float)
    if not (np.isfinite(lattice).all() and np.isfinite(fractional).all()):
        raise SurrogateError(f"crystal {crystal.id}: cell or positions are not finite")
    points = np.ascontiguousarray(fractional @ lattice)
    i, j, images, d = find_points_in_spheres(
        points,
        points,
        r=float(radius),
        pbc=np.ones(3, dtype=np.int64),
        lattice=lattice,
        tol=_SAME_POINT,
    )
    keep = (i != j) | (d > _SAME_POINT)
    i, j, images, d = i[keep], j[keep], images[keep], d[keep]
    if len(d) and d.min() < _TOO_CLOSE:
        at = int(d.argmin())
        raise SurrogateError(
            f"crystal {crystal.id}: atoms {i[at]} and {j[at]} are {d[at]:.3f} Å apart; "
            "overlapping atoms cannot be predicted"
        )
    return i, j, images.astype(np.int64), d


def _sorted(
    i: np.ndarray, j: np.ndarray, images: np.ndarray, d: np.ndarray, w: np.ndarray
) -> NeighborList:
    order = np.lexsort((j, d, i))
    return NeighborList(
        i[order].astype(np.int64), j[order].astype(np.int64), images[order], d[order],
        w[order],
    )  # fmt: skip
