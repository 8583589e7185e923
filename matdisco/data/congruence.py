"""Exact copies: two primitive cells that one change of basis and one shift make equal.

What pymatgen's ``StructureMatcher`` finds by trying lattice after lattice is, for a
crystal described twice, one of few integer matrices. All of them are tried at once.
The test is far tighter than the judge's tolerances: it can say yes in its place, never
no.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from pymatgen.core import Structure

_METRIC = (
    0.005  # relative difference of cell metrics; the judge's is 10 % and 2 degrees
)
_SITES = 0.01  # displacement over (V/N)^(1/3); the judge's is 0.05
_MOST = 40  # atoms; above it the judge is not much slower


def congruent(a: Structure, b: Structure) -> bool:
    """Tell whether two ordered primitive cells surely are one crystal.

    Rotation, reflection, shift, order of atoms, choice of reduced cell and uniform
    scaling do not matter, as for ``StructureMatcher``. False means: not sure.
    """
    n = len(a)
    if n != len(b) or not 0 < n <= _MOST:
        return False
    kinds: dict[str, int] = {}
    one = np.array([kinds.setdefault(s.species_string, len(kinds)) for s in a])
    other = np.array([kinds.setdefault(s.species_string, len(kinds)) for s in b])
    counts = np.bincount(one, minlength=len(kinds))
    if not np.array_equal(counts, np.bincount(other, minlength=len(kinds))):
        return False
    cell = np.asarray(a.lattice.matrix)
    scale = (a.volume / b.volume) ** (1 / 3)
    changes = _matching(cell, scale * np.asarray(b.lattice.matrix))
    if not len(changes):
        return False
    moved = np.einsum("nk,wkl->wnl", b.frac_coords, np.linalg.inv(changes))
    rare = int(counts.argmin())
    anchor = a.frac_coords[one == rare][0]
    bound = (_SITES * (a.volume / n) ** (1 / 3)) ** 2
    alike = one[:, None] == other
    for k in np.flatnonzero(other == rare):
        steps = a.frac_coords[:, None, :] - moved[:, None, :, :]
        steps = steps - (anchor - moved[:, k])[:, None, None, :]
        steps -= np.round(steps)
        far = ((steps @ cell) ** 2).sum(axis=-1)  # (w, n, n) Å²
        near = (far < bound) & alike
        if (near.any(axis=1) & near.any(axis=2)).all(axis=1).any():
            return True
    return False


def _matching(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the integer matrices (w, 3, 3) that turn the rows of b into a's shape."""
    metric, other = a @ a.T, b @ b.T
    lengths = np.sqrt(np.diag(metric))
    allowed = _METRIC * np.outer(lengths, lengths)
    changes = _changes()
    found = np.einsum("wij,jk,wlk->wil", changes, other, changes, optimize=True)
    fits = (np.abs(found - metric) <= allowed).all(axis=(1, 2))
    kept: np.ndarray = changes[fits]
    return kept


@cache
def _changes() -> np.ndarray:
    """All 6,960 integer matrices with entries -1, 0, 1 and determinant ±1.

    Two reduced cells of one lattice differ by one of them.
    """
    every = np.array(list(product((-1.0, 0.0, 1.0), repeat=9))).reshape(-1, 3, 3)
    unimodular: np.ndarray = every[np.abs(np.abs(np.linalg.det(every)) - 1) < 0.5]
    return unimodular
