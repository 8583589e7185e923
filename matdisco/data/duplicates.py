"""Find the crystals that are one, near-linearly: block, shortlist, judge.

1. Block: only crystals of one composition can be the same.
2. Shortlist: within a block, only near profiles are worth a judge (a tree search).
3. Judge: pymatgen's ``StructureMatcher``, each structure reduced only once.

A group is what matches its *first* member in input order (as pymatgen's
``group_structures``), so no chain of small steps can join two distinct crystals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from pymatgen.core import Structure
from scipy.spatial import cKDTree

from matdisco.crystal import Crystal
from matdisco.data.congruence import compare
from matdisco.data.fingerprints import (
    TOLERANCES,
    Level,
    bare,
    block_key,
    matcher,
    primitive,
    profile,
)
from matdisco.data.packed import geometry, unpack
from matdisco.data.workers import each
from matdisco.errors import DataError

Member = tuple[np.ndarray, Sequence[Any], np.ndarray, str | None]
"""Cell (3, 3), species, positions (n, 3), and a mark: arrays travel between processes
at a tenth of the cost of structures."""
CROWDED = 200
"""Records of one composition above which a block holds frames of trajectories: frames
in one cell with one order of atoms are then compared atom by atom (a thousand times
faster), and StructureMatcher judges the other pairs."""


def group_duplicates(
    crystals: Sequence[Crystal],
    level: Level = "same",
    *,
    workers: int = 1,
    apart: Sequence[str | None] | None = None,
) -> list[list[int]]:
    """Group the indices of crystals that are one.

    Args:
        crystals: any number; memory beyond them is one profile per crystal.
        level: ``same`` to merge records, ``similar`` to keep splits free of leaks.
        workers: processes to use.
        apart: one mark per crystal; two with the same mark (frames of one
            trajectory) are only one if they are equal to the last digit.

    Returns:
        every index once; groups by their first member, members ascending.
    """
    blocks: dict[str, list[int]] = defaultdict(list)
    for i, crystal in enumerate(crystals):
        blocks[block_key(crystal)].append(i)
    shared = [rows for rows in blocks.values() if len(rows) > 1]
    marks = apart or [None] * len(crystals)
    tasks = [[(*geometry(crystals[i]), marks[i]) for i in rows] for rows in shared]
    groups = [rows for rows in blocks.values() if len(rows) == 1]
    found = each(partial(group_block, level=level), tasks, workers=workers)
    for rows, local in zip(shared, found, strict=True):
        groups += [[rows[i] for i in group] for group in local]
    return sorted(groups)


def group_block(members: Sequence[Member], level: Level = "same") -> list[list[int]]:
    """Group members of one composition; see :func:`group_duplicates`."""
    structures = [unpack(*m[:3]) for m in members]
    bound = TOLERANCES[level].profile
    vectors = [_profile_or_none(s) for s in structures]
    usable = [i for i, v in enumerate(vectors) if v is not None]
    near: dict[int, set[int]] = defaultdict(set)
    if len(usable) > 1:
        # Unit vectors: |u - v|² = 2 (1 - u·v), so a ball search is a cosine search.
        tree = cKDTree(np.array([vectors[i] for i in usable]))
        for i, j in tree.query_pairs(float(np.sqrt(2 * bound))):
            near[usable[j]].add(usable[i])
    judge = _Judge(structures, level, crowded=len(structures) > CROWDED)

    def fits(group: list[int], i: int) -> bool:
        mark = members[i][3]
        frames = [k for k in group if mark is not None and members[k][3] == mark]
        if frames:
            return any(_equal(structures[k], structures[i]) for k in frames)
        return judge(group[0], i)

    groups: list[list[int]] = []
    first: dict[int, list[int]] = {}
    for i in range(len(structures)):
        near_groups = (g for r, g in first.items() if r in near[i])
        home = next((g for g in near_groups if fits(g, i)), None)
        if home is None:
            first[i] = [i]
            groups.append(first[i])
        else:
            home.append(i)
    return groups


def connected(groups: Iterable[Iterable[int]], n: int) -> np.ndarray:
    """Give each of ``range(n)`` the number of its component.

    Two indices that share any group are in one component.


    >>> connected([[0, 1], [1, 2]], 4).tolist()
    [0, 0, 0, 1]
    """
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for group in groups:
        members = list(group)
        for other in members[1:]:
            a, b = sorted((root(members[0]), root(other)))
            parent[b] = a
    order: dict[int, int] = {}
    return np.array(
        [order.setdefault(root(i), len(order)) for i in range(n)], dtype=int
    )


def _equal(a: Structure, b: Structure) -> bool:
    """Tell whether two frames are the same numbers in the same order."""
    return (
        len(a) == len(b)
        and np.array_equal(a.lattice.matrix, b.lattice.matrix)
        and np.array_equal(a.frac_coords, b.frac_coords)
        and a.species_and_occu == b.species_and_occu
    )


def _largest_move(a: Structure, b: Structure) -> float | None:
    """Return the largest displacement between two frames over (V/N)^(1/3).

    None unless both have the same cell (to 0.1 %) and the same order of species.
    """
    one, other = a.lattice.matrix, b.lattice.matrix
    if len(a) != len(b) or np.abs(one - other).max() > 1e-3 * np.abs(one).max():
        return None
    if a.species_and_occu != b.species_and_occu:
        return None
    step = a.frac_coords - b.frac_coords
    step -= np.round(step)
    step -= step.mean(axis=0)
    far = np.linalg.norm((step - np.round(step)) @ one, axis=1).max()
    return float(far / (a.volume / len(a)) ** (1 / 3))


class _Judge:
    """StructureMatcher that reduces each structure once, when first asked."""

    def __init__(
        self, structures: Sequence[Structure], level: Level, *, crowded: bool
    ) -> None:
        self._structures = structures
        self._matcher = matcher(level)
        self._tolerances = TOLERANCES[level]
        self._crowded = crowded
        self._reduced: dict[int, Structure] = {}
        self._cells: dict[int, Structure | None] = {}

    def __call__(self, i: int, j: int) -> bool:
        if self._crowded:
            moved = _largest_move(self._structures[i], self._structures[j])
            if moved is not None:
                return moved <= self._matcher.stol
        one, other = self._primitive(i), self._primitive(j)
        if one is not None and other is not None:
            t = self._tolerances
            answer = compare(
                one, other, lengths=t.lengths, sites=t.sites, angles=t.angles
            )
            if answer is not None:
                return answer
        a, b = self._reduce(i), self._reduce(j)
        if len(a) != len(b):
            return False
        return bool(self._matcher.fit(a, b, skip_structure_reduction=True))

    def _primitive(self, i: int) -> Structure | None:
        """Return the primitive cell that moyopy finds, or None.

        Ten times faster than pymatgen's search.
        """
        if i not in self._cells:
            self._cells[i] = primitive(self._structures[i])
        return self._cells[i]

    def _reduce(self, i: int) -> Structure:
        if i not in self._reduced:
            # The very reduction that StructureMatcher.fit does on every call.
            self._reduced[i] = self._matcher._get_reduced_structure(
                bare(self._structures[i])
            )
        return self._reduced[i]


def _profile_or_none(structure: Structure) -> np.ndarray | None:
    try:
        return profile(structure)
    except DataError:
        return None
