"""Merging of equivalent atoms in NumPy, for all crystals at once.

The same result as the compiled merging, where numba is not installed.
"""

from __future__ import annotations

import numpy as np

from surrogates.graphs import DEPTH, SAME_DISTANCE, PackedGraphs
from surrogates.neighbors import NeighborLists


def merge(numbers: np.ndarray, lists: NeighborLists) -> PackedGraphs:
    """Do what :func:`surrogates.graphs.merged` says."""
    n_graphs = len(lists)
    sizes, counts = np.diff(lists.atom_offsets), np.diff(lists.edge_offsets)
    first_atom = np.repeat(lists.atom_offsets[:-1], counts)
    source, target = lists.neighbors + first_atom, lists.centers + first_atom
    atom_graph = np.repeat(np.arange(n_graphs), sizes)
    shell, shell_distance = _shells(
        np.repeat(np.arange(n_graphs), counts), lists.distances
    )
    ends = np.searchsorted(target, np.arange(len(numbers) + 1))
    colour = _mix(numbers.astype(np.uint64))
    class_of, first = np.arange(len(numbers)), np.zeros(0, np.int64)
    for _ in range(DEPTH):
        token = _mix(colour[source] ^ _mix(shell + np.uint64(1 << 32)))
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(token)])[ends]
        colour = _mix(colour + _mix(total[1:] - total[:-1]))
        n_classes = len(first)
        class_of, first = _classes(atom_graph, colour)
        if len(first) == n_classes:
            break
    size = np.bincount(class_of, minlength=len(first))
    chosen = np.zeros(len(numbers), dtype=bool)
    chosen[first] = True
    kept = chosen[target]
    keys = np.stack([class_of[target[kept]], class_of[source[kept]], shell[kept]])
    keys, at, back = np.unique(
        keys.astype(np.int64), axis=1, return_index=True, return_inverse=True
    )
    bonds = np.bincount(
        back.reshape(-1), weights=lists.weights[kept], minlength=keys.shape[1]
    )
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


def _classes(graph: np.ndarray, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each atom's class, numbered by its first atom, and these first atoms."""
    _, first, inverse = np.unique(
        np.stack([graph.astype(np.uint64), colour]),
        axis=1, return_index=True, return_inverse=True,
    )  # fmt: skip
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse.reshape(-1)], first[order]


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
