"""Compiled merging of atoms that are alike to a network; importing it needs numba."""

from __future__ import annotations

import math

import numpy as np

from surrogates.compiled import jit


@jit
def _mixed(x: np.uint64) -> np.uint64:
    """Scramble 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@jit
def _sorted(keys: np.ndarray, order: np.ndarray, n: int) -> None:
    """Order the first n numbers of ``order`` by their keys, stably (merge sort).

    NumPy's sorts would triple the time that this file takes to compile.
    """
    other = np.empty(n, np.int64)
    for at in range(n):
        order[at] = at
    step = 1
    while step < n:
        for low in range(0, n, 2 * step):
            middle, high = min(low + step, n), min(low + 2 * step, n)
            i, j = low, middle
            for at in range(low, high):
                if i < middle and (j >= high or keys[order[i]] <= keys[order[j]]):
                    other[at] = order[i]
                    i += 1
                else:
                    other[at] = order[j]
                    j += 1
        for at in range(n):
            order[at] = other[at]
        step *= 2


@jit
def _shells(
    far: np.ndarray, begin: int, end: int, same: float, order: np.ndarray,
    shell: np.ndarray, means: np.ndarray,
) -> int:  # fmt: skip
    """Sort distances into shells no wider than ``same`` apart; return how many."""
    s, members, last = -1, 0, -math.inf
    keys = far[begin:end]
    _sorted(keys, order, end - begin)
    for at in range(end - begin):
        e = order[at]
        if keys[e] - last > same:
            if s >= 0:
                means[s] /= members
            s, members = s + 1, 0
            means[s] = 0.0
        last = keys[e]
        means[s] += last
        members += 1
        shell[e] = s
    if s >= 0:
        means[s] /= members
    return s + 1


@jit
def _classes(colour: np.ndarray, order: np.ndarray, of: np.ndarray) -> int:
    """Give equal colours one number, in the order of first atoms; return how many."""
    size = len(colour)
    _sorted(colour, order, size)
    for at in range(size):  # stable: a run's first is its least
        a = order[at]
        same = at > 0 and colour[a] == colour[order[at - 1]]
        of[a] = of[order[at - 1]] if same else a
    n = 0
    for a in range(size):
        if of[a] == a:
            of[a] = n
            n += 1
        else:
            of[a] = of[of[a]]
    return n


@jit
def merge(
    numbers: np.ndarray, atoms: np.ndarray, centers: np.ndarray, neighbors: np.ndarray,
    distances: np.ndarray, weights: np.ndarray, ends: np.ndarray, same: float,
    depth: int, out_numbers: np.ndarray, out_share: np.ndarray, out_source: np.ndarray,
    out_target: np.ndarray, out_distance: np.ndarray, out_weight: np.ndarray,
    node_offsets: np.ndarray, edge_offsets: np.ndarray,
) -> None:  # fmt: skip
    """Merge equivalent atoms and parallel bonds (:mod:`surrogates.graphs`)."""
    n_nodes, n_edges = 0, 0
    for g in range(len(atoms) - 1):
        size, begin, n_here = atoms[g + 1] - atoms[g], ends[g], ends[g + 1] - ends[g]
        order = np.empty(max(n_here, size), np.int64)
        shell, means = np.empty(n_here, np.int64), np.empty(n_here)
        n_shells = _shells(distances, begin, ends[g + 1], same, order, shell, means)
        tokens = np.empty(n_shells, np.uint64)
        for s in range(n_shells):
            tokens[s] = _mixed(np.uint64(s) + np.uint64(1 << 32))
        colour, total = np.empty(size, np.uint64), np.empty(size, np.uint64)
        of, n = np.zeros(size, np.int64), 0
        for a in range(size):
            colour[a] = _mixed(np.uint64(numbers[atoms[g] + a]))
        for _ in range(depth):
            for a in range(size):
                total[a] = np.uint64(0)
            for e in range(n_here):
                total[centers[begin + e]] += _mixed(
                    colour[neighbors[begin + e]] ^ tokens[shell[e]]
                )
            for a in range(size):
                colour[a] = _mixed(colour[a] + _mixed(total[a]))
            now = _classes(colour, order, of)
            if now == n:
                break
            n = now
        start = np.zeros(size + 1, np.int64)
        for e in range(n_here):
            start[centers[begin + e] + 1] += 1
        for a in range(size):
            start[a + 1] += start[a]
        for c in range(n):
            out_share[n_nodes + c] = 0.0
        keys = np.empty(n_here, np.int64)
        fresh = 0
        for a in range(size):
            out_share[n_nodes + of[a]] += np.float32(1)
            if of[a] < fresh:  # not the first of its class
                continue
            fresh += 1
            out_numbers[n_nodes + of[a]] = numbers[atoms[g] + a]
            room = start[a + 1] - start[a]  # edges come grouped by receiving atom
            for at in range(room):
                e = start[a] + at
                keys[at] = of[neighbors[begin + e]] * n_shells + shell[e]
            _sorted(keys, order, room)
            last = -1
            for at in range(room):
                e = start[a] + order[at]
                if keys[order[at]] != last:
                    last = keys[order[at]]
                    out_source[n_edges] = of[neighbors[begin + e]]
                    out_target[n_edges] = of[a]
                    out_distance[n_edges] = means[shell[e]]
                    out_weight[n_edges] = 0.0
                    n_edges += 1
                out_weight[n_edges - 1] += weights[begin + e]
        for c in range(n):
            out_share[n_nodes + c] /= size
        n_nodes += n
        node_offsets[g + 1], edge_offsets[g + 1] = n_nodes, n_edges
