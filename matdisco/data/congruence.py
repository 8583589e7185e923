"""The judge's question answered at once, where the answer is plain.

pymatgen's ``StructureMatcher`` tries lattice after lattice and shift after shift. Here
all of them are one array: the integer changes of basis within its tolerances of length
and angle, and the shifts that put one atom of the rarest species on another. Where no
combination brings every atom near one of its species, its own first test fails for
all of them: no match. Where one brings them well within its tolerance, it matches.
Where every atom has one nearest partner of its own in all combinations, and in each
of them some atom is well outside the tolerance, nothing matches. Between these the
judge is asked.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from pymatgen.core import Structure

_MOST = 60  # atoms; above it the judge is not much slower
_WORK = 4_000_000  # distances; above it the judge is asked
_SURE = 0.8  # share of a tolerance within which a match is certain
_SLACK = 1.2  # of a tolerance beyond which no match is possible: the judge measures in
# the average of both cells, here it is the first one
_STEPS = np.array([s for s in product((-2, -1, 0, 1, 2), repeat=3) if any(s)], float)


def compare(
    a: Structure, b: Structure, *, lengths: float, sites: float, angles: float
) -> bool | None:
    """Compare two ordered primitive cells as ``StructureMatcher`` would.

    Rotation, reflection, shift, order of atoms, choice of cell and uniform scaling do
    not matter.

    Args:
        a: a primitive, reduced cell.
        b: another.
        lengths: relative tolerance (pymatgen's ``ltol``).
        sites: largest displacement over (V/N)^(1/3) (``stol``).
        angles: tolerance in degrees (``angle_tol``).

    Returns:
        Whether they match; None where that is not plain.
    """
    n = len(a)
    if n != len(b) or not 0 < n <= _MOST:
        return None
    kinds: dict[str, int] = {}
    one = np.array([kinds.setdefault(s.species_string, len(kinds)) for s in a])
    other = np.array([kinds.setdefault(s.species_string, len(kinds)) for s in b])
    counts = np.bincount(one, minlength=len(kinds))
    if not np.array_equal(counts, np.bincount(other, minlength=len(kinds))):
        return False
    cell = np.asarray(a.lattice.matrix)
    scaled = np.asarray(b.lattice.matrix) * (a.volume / b.volume) ** (1 / 3)
    changes = _changes(cell, scaled, lengths * _SLACK, angles * _SLACK)
    if not len(changes):
        return False
    if len(changes) * n * n * counts.min() > _WORK:
        return None
    moved = np.einsum("nk,wkl->wnl", b.frac_coords, np.linalg.inv(changes))
    spacing = (a.volume / n) ** (1 / 3)
    # 2 · stol along each plane normal: the first test of StructureMatcher
    reach = 2 * sites * spacing * np.linalg.norm(np.linalg.inv(cell), axis=0) * _SLACK
    rare = int(counts.argmin())
    anchor = a.frac_coords[one == rare][0]
    alike = one[:, None] == other
    # Fractional steps shorter than this are the shortest between their atoms (Å): a
    # vector shorter than half of each plane spacing has all fractions below 1/2.
    exact = 0.5 / float(np.linalg.norm(np.linalg.inv(cell), axis=0).max()) / _SLACK
    plain = True
    for k in np.flatnonzero(other == rare):
        steps = a.frac_coords[:, None, :] - moved[:, None, :, :]
        steps = steps - (anchor - moved[:, k])[:, None, None, :]
        steps -= np.round(steps)
        near = (np.abs(steps) <= reach).all(axis=-1) & alike  # (w, n, n)
        left = (near.any(axis=1) & near.any(axis=2)).all(axis=1)
        if not left.any():
            continue
        far, longest = _farthest(steps[left] @ cell, alike)
        if (far < sites * spacing * _SURE).any():
            sure = _changes(cell, scaled, lengths * _SURE, angles * _SURE)
            return True if len(sure) else None
        decided = (far > sites * spacing * _SLACK) & (longest < exact)
        plain &= bool(decided.all())
    return False if plain else None


def _farthest(steps: np.ndarray, alike: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far atoms are from their partners, Å, for each combination.

    The partner of an atom is the nearest one of its species. Where these partners are
    all different they are also the assignment that StructureMatcher finds.

    Args:
        steps: from each atom of one to each of the other, shape (w, n, n, 3), Å.
        alike: which pairs are of one species, shape (n, n).

    Returns:
        The largest displacement after the common shift is taken off, and before,
        shape (w,) each; nan where two atoms have one partner.
    """
    squares = np.where(alike, (steps**2).sum(axis=-1), np.inf)
    nearest = squares.argmin(axis=2)  # (w, n)
    n = nearest.shape[1]
    whole = (np.sort(nearest, axis=1) == np.arange(n)).all(axis=1)
    chosen = np.take_along_axis(steps, nearest[:, :, None, None], axis=2)[:, :, 0]
    shifted = chosen - chosen.mean(axis=1, keepdims=True)
    far, longest = (np.linalg.norm(x, axis=-1).max(axis=1) for x in (shifted, chosen))
    return np.where(whole, far, np.nan), np.where(whole, longest, np.nan)


def _changes(a: np.ndarray, b: np.ndarray, lengths: float, angles: float) -> np.ndarray:
    """Return the integer matrices (w, 3, 3) that give the rows of b the shape of a."""
    vectors = _STEPS @ b
    norms = np.linalg.norm(vectors, axis=1)
    wanted = np.linalg.norm(a, axis=1)
    fits = [
        np.flatnonzero((norms < x * (1 + lengths)) & (norms > x / (1 + lengths)))
        for x in wanted
    ]
    units = vectors / norms[:, None]

    def at(i: int, j: int) -> np.ndarray:
        """Which candidates for rows i and j enclose the angle that a's rows do."""
        want = np.degrees(np.arccos(a[i] @ a[j] / (wanted[i] * wanted[j])))
        cosines = np.clip(units[fits[i]] @ units[fits[j]].T, -1, 1)
        found: np.ndarray = np.abs(np.degrees(np.arccos(cosines)) - want) <= angles
        return found

    all_three = at(0, 1)[:, :, None] & at(0, 2)[:, None, :] & at(1, 2)[None, :, :]
    i, j, k = np.nonzero(all_three)
    out = np.stack([_STEPS[fits[0][i]], _STEPS[fits[1][j]], _STEPS[fits[2][k]]], axis=1)
    kept: np.ndarray = out[np.abs(np.abs(np.linalg.det(out)) - 1) < 0.5]
    return kept
