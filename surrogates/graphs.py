"""Packed graphs: a whole list of crystals as a few flat arrays.

Atoms whose surroundings are the same to any depth get the same features from every
message-passing network, so they are kept once, with a count: colour refinement
(Weisfeiler and Leman 1968; Morris et al., AAAI 2019, arXiv:1810.02244) merges them,
and parallel bonds of equal length become one weighted bond. This is the idea of the
asymmetric-unit graph (Ruff et al., doi 10.1039/D4DD00018H) without a symmetry finder:
exact for these networks, the same for every choice of cell, and about a fourth of the
bonds for small intermetallic cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import DataError, SurrogateError
from surrogates.neighbors import nearest, within

SAME_DISTANCE = 1e-4
"""Å. Distances closer than this count as one shell: above the noise of coordinates
with five decimals, below anything that a prediction feels."""
MAX_Z = 103
"""Heaviest element that has descriptors (lawrencium)."""
_DEPTH = 12  # refinement steps at most; a network with fewer layers sees less


@dataclass(frozen=True, eq=False)
class PackedGraphs:
    """g graphs in flat arrays; graph k owns nodes and edges between its offsets."""

    numbers: np.ndarray
    """Atomic number of each node, shape (n,), int64."""
    share: np.ndarray
    """Fraction of its crystal's atoms that a node stands for, shape (n,), float32."""
    source: np.ndarray
    """Sending node of each edge, counted within its graph, shape (e,), int64."""
    target: np.ndarray
    """Receiving node, counted within its graph, ascending, shape (e,), int64."""
    distance: np.ndarray
    """Å, shape (e,), float32."""
    weight: np.ndarray
    """Number of parallel bonds times their smooth membership, shape (e,), float32."""
    node_offsets: np.ndarray
    """Where each graph's nodes start, shape (g + 1,), int64."""
    edge_offsets: np.ndarray
    """Where each graph's edges start, shape (g + 1,), int64."""

    def __len__(self) -> int:
        return len(self.node_offsets) - 1

    def take(self, rows: Sequence[int] | np.ndarray) -> PackedGraphs:
        """Return the graphs at ``rows``, in that order."""
        at = np.asarray(rows, dtype=np.int64)
        nodes, node_offsets = _spans(self.node_offsets, at)
        edges, edge_offsets = _spans(self.edge_offsets, at)
        return PackedGraphs(
            self.numbers[nodes],
            self.share[nodes],
            self.source[edges],
            self.target[edges],
            self.distance[edges],
            self.weight[edges],
            node_offsets,
            edge_offsets,
        )

    @classmethod
    def concatenate(cls, packs: Sequence[PackedGraphs]) -> PackedGraphs:
        """Return all graphs of several packs, in order."""

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(p, name) for p in packs])

        return cls(
            joined("numbers"),
            joined("share"),
            joined("source"),
            joined("target"),
            joined("distance"),
            joined("weight"),
            _joined([p.node_offsets for p in packs]),
            _joined([p.edge_offsets for p in packs]),
        )


def pack(
    crystals: Sequence[Crystal], *, neighbours: int | None, cutoff: float
) -> PackedGraphs:
    """Build the graphs of ``crystals``.

    Args:
        crystals: ordered crystals; any number, also none.
        neighbours: k of the k-nearest list, or None for all within ``cutoff``.
        cutoff: radius in Å where ``neighbours`` is None.

    Raises:
        SurrogateError: a crystal is disordered, broken or holds an unknown element.
    """
    sizes, counts = [], []
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    first = 0
    for crystal in crystals:
        numbers = atomic_numbers(crystal)
        found = (
            within(crystal, cutoff)
            if neighbours is None
            else nearest(crystal, neighbours)
        )
        sizes.append(len(numbers))
        counts.append(len(found.distances))
        arrays = (
            numbers,
            found.neighbors + first,
            found.centers + first,
            found.distances,
            found.weights,
        )
        for column, array in zip(columns, arrays, strict=True):
            column.append(array)
        first += len(numbers)
    if not sizes:
        empty, start = np.zeros(0), np.zeros(1, dtype=np.int64)
        none, single = empty.astype(np.int64), empty.astype(np.float32)
        return PackedGraphs(none, single, none, none, single, single, start, start)
    numbers, source, target, distance, weight = (np.concatenate(c) for c in columns)
    return _merged(
        numbers, source, target, distance, weight, np.array(sizes), np.array(counts)
    )


def atomic_numbers(crystal: Crystal) -> np.ndarray:
    """Return atomic numbers, shape (n_atoms,); refuse what no surrogate can take.

    Raises:
        SurrogateError: no atoms, a cell or position that is not a number, a shared
            site, or an element beyond lawrencium.
    """
    if crystal.n_atoms == 0:
        raise SurrogateError(f"crystal {crystal.id}: has no atoms")
    structure = crystal.structure
    if not (
        np.isfinite(structure.frac_coords).all()
        and np.isfinite(structure.lattice.matrix).all()
    ):
        raise SurrogateError(
            f"crystal {crystal.id}: a cell vector or an atom's position is not a number"
        )
    try:
        numbers = crystal.atomic_numbers
    except DataError as error:
        raise SurrogateError(str(error)) from error
    except AttributeError as error:  # a DummySpecies has no Z
        raise SurrogateError(
            f"crystal {crystal.id}: holds a species that is no element "
            f"({crystal.formula})"
        ) from error
    if not ((numbers >= 1) & (numbers <= MAX_Z)).all():
        odd = int(numbers[(numbers < 1) | (numbers > MAX_Z)][0])
        raise SurrogateError(
            f"crystal {crystal.id}: element with atomic number {odd} is unknown here; "
            f"expected 1 to {MAX_Z}"
        )
    return numbers


def _merged(
    numbers: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    distance: np.ndarray,
    weight: np.ndarray,
    sizes: np.ndarray,
    counts: np.ndarray,
) -> PackedGraphs:
    """Merge equivalent atoms and parallel bonds; edges come sorted by target."""
    n_graphs = len(sizes)
    atom_graph = np.repeat(np.arange(n_graphs), sizes)
    shell, shell_distance = _shells(np.repeat(np.arange(n_graphs), counts), distance)
    ends = np.searchsorted(target, np.arange(len(numbers) + 1))
    colour = _mix(numbers.astype(np.uint64))
    n_classes = 0
    for _ in range(_DEPTH):
        token = _mix(colour[source] ^ _mix(shell + np.uint64(1 << 32)))
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(token)])[ends]
        colour = _mix(colour + _mix(total[1:] - total[:-1]))
        _, first, inverse, size = np.unique(
            np.stack([atom_graph.astype(np.uint64), colour]),
            axis=1, return_index=True, return_inverse=True, return_counts=True,
        )  # fmt: skip
        if len(first) == n_classes:
            break
        n_classes = len(first)
    class_of = inverse.reshape(-1)
    chosen = np.zeros(len(numbers), dtype=bool)
    chosen[first] = True
    kept = chosen[target]
    keys = np.stack([class_of[target[kept]], class_of[source[kept]], shell[kept]])
    keys, at, back = np.unique(
        keys.astype(np.int64), axis=1, return_index=True, return_inverse=True
    )
    bonds = np.bincount(back.reshape(-1), weights=weight[kept], minlength=keys.shape[1])
    class_graph = atom_graph[first]
    node_offsets = np.searchsorted(class_graph, np.arange(n_graphs + 1))
    edge_graph = class_graph[keys[0]]
    return PackedGraphs(
        numbers[first],
        (size / sizes[class_graph]).astype(np.float32),
        keys[1] - node_offsets[edge_graph],
        keys[0] - node_offsets[edge_graph],
        shell_distance[kept][at].astype(np.float32),
        bonds.astype(np.float32),
        node_offsets,
        np.searchsorted(edge_graph, np.arange(n_graphs + 1)),
    )


def _shells(graph: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each edge's shell number within its graph and that shell's distance."""
    order = np.lexsort((distance, graph))
    sorted_graph, sorted_distance = graph[order], distance[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(sorted_graph) > 0) | (np.diff(sorted_distance) > SAME_DISTANCE)
    number = np.cumsum(new) - 1  # over all graphs
    mean = np.bincount(number, weights=sorted_distance) / np.bincount(number)
    starts = number[np.searchsorted(sorted_graph, sorted_graph)]
    shell = np.empty(len(order), dtype=np.uint64)
    value = np.empty(len(order))
    shell[order] = (number - starts).astype(np.uint64)
    value[order] = mean[number]
    return shell, value


def _mix(x: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = x.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def _spans(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat positions of the spans at ``rows`` and their new offsets."""
    lengths = offsets[rows + 1] - offsets[rows]
    fresh = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    flat = np.arange(fresh[-1]) + np.repeat(offsets[rows] - fresh[:-1], lengths)
    return flat, fresh


def _joined(offsets: Sequence[np.ndarray]) -> np.ndarray:
    lengths = np.concatenate([np.diff(o) for o in offsets])
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
