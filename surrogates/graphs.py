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
from pymatgen.core import DummySpecies

from matdisco.crystal import Crystal
from matdisco.data.packed import geometry
from matdisco.errors import DataError, SurrogateError
from surrogates.neighbors import NeighborLists, has_kernels, nearest, within
from surrogates.networks.kinds import GraphForm

SAME_DISTANCE = 1e-4
"""Å. Distances closer than this count as one shell: above the noise of coordinates
with five decimals, below anything that a prediction feels."""
MAX_Z = 103
"""Heaviest element that has descriptors (lawrencium)."""
DEPTH = 12
"""Refinement steps at most; a network with fewer layers sees less."""


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
    vector: np.ndarray | None = None
    """From receiver to sender, Å, shape (e, 3), float32; None in merged graphs, whose
    edges stand for bonds of several directions."""

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
            None if self.vector is None else self.vector[edges],
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
            None if packs[0].vector is None else joined("vector"),
        )


def pack(
    crystals: Sequence[Crystal],
    *,
    neighbours: int | None,
    cutoff: float,
    form: GraphForm = "merged",
) -> PackedGraphs:
    """Build the graphs of ``crystals``.

    Args:
        crystals: ordered crystals; any number, also none.
        neighbours: k of the k-nearest list, or None for all within ``cutoff``.
        cutoff: radius in Å where ``neighbours`` is None.
        form: ``merged`` as the module says; ``full`` keeps every atom and bond, with
            each bond's vector; ``asymmetric_unit`` keeps those of one atom for all that
            symmetry maps onto it.

    Raises:
        SurrogateError: a crystal is disordered, broken or holds an unknown element.
    """
    numbers = [atomic_numbers(c) for c in crystals]
    flat = np.concatenate([np.zeros(0, np.int64), *numbers])
    lists = (
        within(crystals, cutoff)
        if neighbours is None
        else nearest(crystals, neighbours)
    )
    if form == "merged":
        return merged(flat, lists)
    from surrogates.directed_graphs import asymmetric_unit, full

    whole = full(crystals, flat, lists)
    return whole if form == "full" else asymmetric_unit(crystals, whole)


def atomic_numbers(crystal: Crystal) -> np.ndarray:
    """Return atomic numbers, shape (n_atoms,); refuse what no surrogate can take.

    Raises:
        SurrogateError: no atoms, a cell or position that is not a number, a shared
            site, or an element beyond lawrencium.
    """
    if crystal.n_atoms == 0:
        raise SurrogateError(f"crystal {crystal.id}: has no atoms")
    cell, _, positions = geometry(crystal)
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise SurrogateError(
            f"crystal {crystal.id}: a cell vector or an atom's position is not a number"
        )
    try:
        numbers = crystal.atomic_numbers
    except DataError as error:
        raise SurrogateError(str(error)) from error
    if not 1 <= numbers.min() <= numbers.max() <= MAX_Z:
        if any(isinstance(e, DummySpecies) for e in crystal.structure.elements):
            raise SurrogateError(
                f"crystal {crystal.id}: holds a species that is no element "
                f"({crystal.formula}); expected elements only"
            )
        odd = int(numbers[(numbers < 1) | (numbers > MAX_Z)][0])
        raise SurrogateError(
            f"crystal {crystal.id}: element with atomic number {odd} is unknown here; "
            f"expected 1 to {MAX_Z}"
        )
    return numbers


def merged(
    numbers: np.ndarray, lists: NeighborLists, *, compiled: bool | None = None
) -> PackedGraphs:
    """Merge equivalent atoms and parallel bonds.

    Args:
        numbers: atomic number of every atom of every crystal.
        lists: their bonds.
        compiled: whether numba is used; None asks
            :func:`surrogates.neighbors.has_kernels`.
    """
    if not (has_kernels() if compiled is None else compiled):
        from surrogates.plain_merge import merge as plain

        return plain(numbers, lists)
    from surrogates.merge_kernels import merge

    n, e, g = len(numbers), len(lists.distances), len(lists)
    nodes = np.empty(n, np.int64), np.empty(n, np.float32)
    edges = (
        np.empty(e, np.int64), np.empty(e, np.int64), np.empty(e, np.float32),
        np.empty(e, np.float32),
    )  # fmt: skip
    offsets = np.zeros(g + 1, np.int64), np.zeros(g + 1, np.int64)
    merge(
        numbers, lists.atom_offsets, lists.centers, lists.neighbors, lists.distances,
        lists.weights, lists.edge_offsets, SAME_DISTANCE, DEPTH, *nodes, *edges,
        *offsets,
    )  # fmt: skip
    # copies: a few merged edges should not keep the room of all
    kinds, share = (a[: offsets[0][-1]].copy() for a in nodes)
    source, target, distance, weight = (a[: offsets[1][-1]].copy() for a in edges)
    return PackedGraphs(kinds, share, source, target, distance, weight, *offsets)


def _spans(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat positions of the spans at ``rows`` and their new offsets."""
    lengths = offsets[rows + 1] - offsets[rows]
    fresh = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    flat = np.arange(fresh[-1]) + np.repeat(offsets[rows] - fresh[:-1], lengths)
    return flat, fresh


def _joined(offsets: Sequence[np.ndarray]) -> np.ndarray:
    lengths = np.concatenate([np.diff(o) for o in offsets])
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
