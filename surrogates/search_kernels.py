"""Compiled search for neighbours over packed arrays; importing this imports numba.

The periodic search enumerates lattice points in a sphere exactly (Fincke and Pohst,
Math. Comp. 44, 463 (1985)): with the cell in triangular form the condition
|r + n L| ≤ R is three nested intervals for the integers n, so the innermost loop visits
true neighbours and nothing else. Rows run along the shortest cell vector, which makes
them few and long. No neighbour is missed in a cell of any shape, and there are no bins
to tune.
"""

from __future__ import annotations

import math

import numpy as np

from surrogates.compiled import jit


@jit
def _triangular(cell: np.ndarray, axes: np.ndarray, out: np.ndarray) -> None:
    """Order the axes by length and write the cell as a lower triangle to ``out``."""
    length = np.empty(3)
    for a in range(3):
        x, y, z = cell[a, 0], cell[a, 1], cell[a, 2]
        length[a] = x * x + y * y + z * z
        axes[a] = a
    for a in range(2):
        for b in range(2 - a):
            if length[axes[b]] > length[axes[b + 1]]:
                axes[b], axes[b + 1] = axes[b + 1], axes[b]
    unit = np.zeros((3, 3))
    for a in range(3):
        x, y, z = cell[axes[a], 0], cell[axes[a], 1], cell[axes[a], 2]
        for b in range(a):
            along = x * unit[b, 0] + y * unit[b, 1] + z * unit[b, 2]
            x -= along * unit[b, 0]
            y -= along * unit[b, 1]
            z -= along * unit[b, 2]
            out[a, b] = along
        height = math.sqrt(x * x + y * y + z * z)
        unit[a, 0], unit[a, 1], unit[a, 2] = x / height, y / height, z / height
        out[a, a] = height


@jit
def _half(
    low: np.ndarray,
    axes: np.ndarray,
    spots: np.ndarray,
    radius: float,
    pairs: np.ndarray,
    far: np.ndarray,
) -> int:
    """List each pair within ``radius`` once: i, j, n0, n1, n2 and the distance.

    Returns the number found, which may exceed the room in ``pairs`` and ``far``: then
    the first ones are there and the caller asks again with more room.
    """
    n_atoms, room, found = len(spots), len(far), 0
    r2 = radius * radius
    ax, bx, by = low[0, 0], low[1, 0], low[1, 1]
    cx, cy, cz = low[2, 0], low[2, 1], low[2, 2]
    for i in range(n_atoms):
        for j in range(i, n_atoms):
            fa = spots[j, axes[0]] - spots[i, axes[0]]
            fb = spots[j, axes[1]] - spots[i, axes[1]]
            fc = spots[j, axes[2]] - spots[i, axes[2]]
            first = math.ceil(-radius / cz - fc)
            if i == j:
                first = 0
            for nc in range(first, math.floor(radius / cz - fc) + 1):
                c = fc + nc
                z2 = c * cz * c * cz
                if z2 > r2:
                    continue
                span = math.sqrt(r2 - z2) / by
                mid = -fb - c * cy / by
                first_b = math.ceil(mid - span)
                if i == j and nc == 0:
                    first_b = 0
                for nb in range(first_b, math.floor(mid + span) + 1):
                    b = fb + nb
                    y = b * by + c * cy
                    yz2 = z2 + y * y
                    if yz2 > r2:
                        continue
                    span_a = math.sqrt(r2 - yz2) / ax
                    shift = b * bx + c * cx
                    mid_a = -fa - shift / ax
                    first_a = math.ceil(mid_a - span_a)
                    if i == j and nc == 0 and nb == 0:
                        first_a = 1
                    for na in range(first_a, math.floor(mid_a + span_a) + 1):
                        if found < room:
                            x = (fa + na) * ax + shift
                            far[found] = math.sqrt(x * x + yz2)
                            pairs[found, 0] = i
                            pairs[found, 1] = j
                            pairs[found, 2 + axes[0]] = na
                            pairs[found, 2 + axes[1]] = nb
                            pairs[found, 2 + axes[2]] = nc
                        found += 1
    return found


@jit
def _kth(values: np.ndarray, low: int, high: int, k: int) -> float:
    """Return the k-th smallest in [low, high); reorders (Hoare's selection)."""
    at = low + k - 1
    high -= 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if at <= j:
            high = j
        elif at >= i:
            low = i
        else:
            break
    return values[at]  # type: ignore[no-any-return]


@jit
def _limits(
    pairs: np.ndarray, far: np.ndarray, found: int, n_atoms: int, k: int,
    kth: np.ndarray,
) -> float:  # fmt: skip
    """Write each atom's k-th distance; return the largest, or 0 if one has fewer."""
    start = np.zeros(n_atoms + 1, np.int64)
    for p in range(found):
        start[pairs[p, 0] + 1] += 1
        start[pairs[p, 1] + 1] += 1
    for i in range(n_atoms):
        if start[i + 1] < k:
            return 0.0
        start[i + 1] += start[i]
    values = np.empty(2 * found)
    for p in range(found):  # start[i] moves to the end of i's distances
        for side in range(2):
            i = pairs[p, side]
            values[start[i]] = far[p]
            start[i] += 1
    largest, low = 0.0, 0
    for i in range(n_atoms):
        kth[i] = _kth(values, low, start[i], k)
        low = start[i]
        largest = max(largest, kth[i])
    return largest


@jit
def search(
    cells: np.ndarray, spots: np.ndarray, atoms: np.ndarray, radius: float, k: int,
    fade: float, grow: float, largest: float, close: float, first: int,
    edges: np.ndarray, images: np.ndarray, distances: np.ndarray,
    rims: np.ndarray, ends: np.ndarray,
) -> tuple[int, int, int]:  # fmt: skip
    """Fill the output arrays with both directions of all edges, crystal by crystal.

    With ``k`` = 0 all pairs within ``radius``; else, for every atom, all neighbours up
    to ``fade`` times its k-th distance, which goes to ``rims``.

    Returns:
        The next crystal, the number of edges written, and a state: 0 done, 1 the output
        is full, 2 two atoms of the next crystal are closer than ``close``, 3 the next
        crystal has fewer than k neighbours within ``largest``.
    """
    begin = 0
    axes, low = np.empty(3, np.int64), np.empty((3, 3))
    pairs, far = np.empty((4096, 5), np.int32), np.empty(4096)
    for g in range(first, len(cells)):
        here = spots[atoms[g] : atoms[g + 1]]
        n_atoms = len(here)
        _triangular(cells[g], axes, low)
        reach = radius
        if k > 0:
            volume = low[0, 0] * low[1, 1] * low[2, 2]
            reach = (
                1.12
                * fade
                * (3 * (k + 1) * volume / (4 * math.pi * n_atoms)) ** (1 / 3)
            )
            reach = min(reach, largest)
        kth = rims[atoms[g] : atoms[g + 1]]
        while True:
            found = _half(low, axes, here, reach, pairs, far)
            if found > len(far):
                pairs, far = np.empty((2 * found, 5), np.int32), np.empty(2 * found)
                continue
            if k == 0:
                break
            limit = fade * _limits(pairs, far, found, n_atoms, k, kth)
            if limit == 0.0:
                if reach >= largest:
                    return g, begin, 3
                reach = min(grow * reach, largest)
            elif limit <= reach:
                break
            else:
                reach = limit + 1e-6
        cursor = np.zeros(n_atoms + 1, np.int64)
        for p in range(found):
            if far[p] < close:
                return g, begin, 2
            i, j = pairs[p, 0], pairs[p, 1]
            if k == 0 or far[p] < fade * kth[i]:
                cursor[i + 1] += 1
            if k == 0 or far[p] < fade * kth[j]:
                cursor[j + 1] += 1
        cursor[0] = begin
        for i in range(n_atoms):
            cursor[i + 1] += cursor[i]
        begin = cursor[n_atoms]
        if begin > len(distances):
            return g, cursor[0], 1
        for p in range(found):
            i, j = pairs[p, 0], pairs[p, 1]
            if k == 0 or far[p] < fade * kth[i]:
                e = cursor[i]
                cursor[i] += 1
                edges[0, e], edges[1, e], distances[e] = i, j, far[p]
                for x in range(3):
                    images[e, x] = pairs[p, 2 + x]
            if k == 0 or far[p] < fade * kth[j]:
                e = cursor[j]
                cursor[j] += 1
                edges[0, e], edges[1, e], distances[e] = j, i, far[p]
                for x in range(3):
                    images[e, x] = -pairs[p, 2 + x]
        ends[g + 1] = begin
    return len(cells), begin, 0
