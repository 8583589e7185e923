"""Remember crystals, and tell whether a new one is among them, near-linearly.

Compositions part the crystals into blocks; in a block only those with a near profile
(:func:`matdisco.data.fingerprints.profile`) are worth pymatgen's ``StructureMatcher``,
which has the last word. Both compare at one volume per atom. A crystal costs about a
kilobyte: arrays, no objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from pymatgen.core import Lattice, Structure

from matdisco.crystal import Crystal
from matdisco.data.fingerprints import (
    TOLERANCES,
    Level,
    bare,
    composition_key,
    matcher,
    profile,
)
from matdisco.errors import DataError


class _Kept(NamedTuple):
    """A remembered crystal as arrays."""

    name: str
    group: str
    cell: np.ndarray  # (3, 3) Å
    numbers: np.ndarray  # (n,) int16
    fractional: np.ndarray  # (n, 3)

    @classmethod
    def of(cls, crystal: Crystal, group: str) -> _Kept:
        structure = crystal.structure
        return cls(
            crystal.id,
            group,
            np.array(structure.lattice.matrix),
            crystal.atomic_numbers.astype(np.int16),
            np.array(structure.frac_coords),
        )

    def volume(self) -> float:
        """Return the volume per atom, Å³."""
        return abs(float(np.linalg.det(self.cell))) / len(self.numbers)

    def structure(self) -> Structure:
        return Structure(Lattice(self.cell), self.numbers.tolist(), self.fractional)


class _Block:
    """The crystals of one composition; profiles are made when first compared."""

    def __init__(self) -> None:
        self.kept: list[_Kept] = []
        self._profiles = np.empty((0, 0), dtype=np.float32)
        self._done = 0

    def profiles(self) -> np.ndarray:
        """Return the profiles of all, shape (n, width); a row of zeros matches none."""
        for k in range(self._done, len(self.kept)):
            vector = _profile(self.kept[k].structure())
            if vector is None:
                continue
            self._reserve(len(vector))
            self._profiles[k] = vector
        self._done = len(self.kept)
        return self._profiles[: self._done]

    def add(self, kept: _Kept, vector: np.ndarray | None = None) -> None:
        """Append a crystal, with its profile where that is known already."""
        self.kept.append(kept)
        if vector is not None and self._done == len(self.kept) - 1:
            self._reserve(len(vector))
            self._profiles[self._done] = vector
            self._done += 1

    def _reserve(self, width: int) -> None:
        rows = len(self._profiles)
        if rows < len(self.kept):
            larger = np.zeros((max(4, 2 * len(self.kept)), width), dtype=np.float32)
            if rows:
                larger[:rows] = self._profiles
            self._profiles = larger


class Match(NamedTuple):
    """A crystal that a new one equals."""

    name: str
    """Its id."""
    group: str
    """Where it was remembered from, for example ``pool``."""
    distance: float
    """Cosine distance of the profiles."""
    volume: float
    """Volume per atom over that of the known crystal; the comparison leaves it out."""


class Seen:
    """Crystals seen so far, in the order of their arrival."""

    def __init__(self, level: Level = "same") -> None:
        self._bound = TOLERANCES[level].profile
        self._matcher = matcher(level)
        self._blocks: dict[str, _Block] = {}

    def __len__(self) -> int:
        return sum(len(b.kept) for b in self._blocks.values())

    def remember(self, crystals: Iterable[Crystal], group: str) -> None:
        """Keep crystals without comparing them; disordered ones are left out.

        Args:
            crystals: what is known.
            group: where they belong, for the message of later matches.
        """
        for crystal in crystals:
            if crystal.structure.is_ordered:
                self._block(crystal).add(_Kept.of(crystal, group))

    def meet(self, crystal: Crystal, group: str) -> Match | None:
        """Return the nearest equal crystal seen before; keep this one if it is new.

        Args:
            crystal: an ordered crystal.
            group: where it belongs, for the message of later matches.
        """
        block = self._block(crystal)
        if not block.kept:
            block.add(_Kept.of(crystal, group))
            return None
        vector = _profile(crystal.structure)
        if vector is None:
            return None  # too degenerate to compare; other rules judge it
        match = self._find(block, crystal, vector)
        if match is None:
            block.add(_Kept.of(crystal, group), vector)
        return match

    def peek(self, crystal: Crystal) -> Match | None:
        """Return the nearest equal crystal seen before; keep nothing."""
        block = self._blocks.get(composition_key(crystal.structure))
        vector = _profile(crystal.structure) if block else None
        if block is None or vector is None:
            return None
        return self._find(block, crystal, vector)

    def _block(self, crystal: Crystal) -> _Block:
        return self._blocks.setdefault(composition_key(crystal.structure), _Block())

    def _find(
        self, block: _Block, crystal: Crystal, vector: np.ndarray
    ) -> Match | None:
        known = block.profiles()
        if known.shape[1] != len(vector):
            return None
        # float32 dot products of unit vectors are good to 1e-6; bounds are 0.008 up
        distances = 1 - known @ vector.astype(np.float32)
        near = np.flatnonzero(distances <= self._bound)
        if not len(near):
            return None
        mine = self._reduced(bare(crystal.structure))
        for k in near[np.argsort(distances[near], kind="stable")]:
            kept = block.kept[int(k)]
            theirs = self._reduced(kept.structure())
            if len(mine) == len(theirs) and self._matcher.fit(
                mine, theirs, skip_structure_reduction=True
            ):
                volume = crystal.structure.volume / crystal.n_atoms / kept.volume()
                near_by = max(0.0, float(distances[k]))
                return Match(kept.name, kept.group, near_by, volume)
        return None

    def _reduced(self, structure: Structure) -> Structure:
        # The very reduction that StructureMatcher.fit does on every call.
        return self._matcher._get_reduced_structure(structure)


def _profile(structure: Structure) -> np.ndarray | None:
    try:
        return profile(structure)
    except DataError:
        return None
