"""How alike two crystals are: a quick descriptor for 'nearest known material'.

The descriptor is the partial radial distribution of each pair of elements in
reduced units (distance over the cube root of the volume per atom), in the spirit of
K. T. Schütt et al., Phys. Rev. B 89, 205118 (2014), next to the composition. It does
not change under rotation, translation, supercells, choice of cell, or uniform
scaling; it is meant for pointing a reader to a neighbour, not for telling duplicates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from matdisco.crystal import Crystal

REACH = 2.0
"""Cutoff in units of (volume per atom)^(1/3): in fcc the third shell ends here."""
BINS = 24
"""Width 0.083, about the thermal width of a shell in these units."""


def describe(crystal: Crystal) -> dict[tuple[int, int], np.ndarray]:
    """Return for each pair of atomic numbers its smeared shell counts, (BINS,).

    The pair (z, 0) holds the element's atomic fraction, repeated over the bins with
    the weight of one neighbour shell, so that composition counts too.
    """
    structure, z = crystal.structure, crystal.atomic_numbers
    length = (structure.volume / len(structure)) ** (1 / 3)
    first, second, _, distance = structure.get_neighbor_list(REACH * length)
    position = distance / length / REACH * BINS - 0.5
    low = np.floor(position).astype(int)
    share = position - low
    table: dict[tuple[int, int], np.ndarray] = {}
    for element, count in zip(*np.unique(z, return_counts=True), strict=True):
        fraction = count / len(z)
        table[(int(element), 0)] = np.full(BINS, fraction * 6 / np.sqrt(BINS))
    for pair in {(int(a), int(b)) for a, b in zip(z[first], z[second], strict=True)}:
        mine = (z[first] == pair[0]) & (z[second] == pair[1])
        counts = np.zeros(BINS + 2)
        # linear sharing between two bins keeps the descriptor continuous
        np.add.at(counts, np.clip(low[mine] + 1, 0, BINS + 1), 1 - share[mine])
        np.add.at(counts, np.clip(low[mine] + 2, 0, BINS + 1), share[mine])
        table[pair] = counts[1:-1] / len(z)
    return table


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Known crystals, ready to be searched."""

    rows: csr_array
    """Descriptors of length 1, one row per crystal."""
    columns: Mapping[tuple[int, int], int]
    """Pair of atomic numbers to its block of BINS columns."""

    @classmethod
    def of(cls, crystals: Sequence[Crystal]) -> Neighbours:
        """Describe the known crystals."""
        tables = [describe(c) for c in crystals]
        pairs = dict.fromkeys(pair for table in tables for pair in table)
        columns = {pair: i for i, pair in enumerate(pairs)}
        return cls(_packed(tables, columns), columns)

    def distances(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Return how unlike crystals and known ones are, (len(crystals), known).

        The distance is 1 - cosine similarity: 0 for the same arrangement of the same
        elements, 1 where nothing is shared.
        """
        mine = _packed([describe(c) for c in crystals], self.columns)
        far: np.ndarray = 1.0 - (mine @ self.rows.T).toarray()
        return np.asarray(np.maximum(far, 0.0))

    def among(self) -> np.ndarray:
        """Return the distances of the known crystals from each other, (n, n)."""
        far: np.ndarray = 1.0 - (self.rows @ self.rows.T).toarray()
        return np.asarray(np.maximum(far, 0.0))

    def nearest(self, crystal: Crystal) -> tuple[int, float]:
        """Return position and distance of the most alike known crystal."""
        far = self.distances([crystal])[0]
        best = int(far.argmin())
        return best, float(far[best])


def _packed(
    tables: Sequence[Mapping[tuple[int, int], np.ndarray]],
    columns: Mapping[tuple[int, int], int],
) -> csr_array:
    """Return descriptors over their length; pairs without a column only count there."""
    values, where, ends = [], [], [0]
    for table in tables:
        length = np.sqrt(sum(float(v @ v) for v in table.values()))
        for pair, block in table.items():
            if pair in columns:
                values.append(block / length)
                where.append(columns[pair] * BINS + np.arange(BINS))
        ends.append(len(values) * BINS)
    return csr_array(
        (
            np.concatenate(values) if values else np.zeros(0),
            np.concatenate(where) if where else np.zeros(0, dtype=int),
            np.array(ends),
        ),
        shape=(len(tables), len(columns) * BINS),
    )
