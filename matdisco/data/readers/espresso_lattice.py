"""Quantum ESPRESSO's Bravais lattices, as its INPUT_PW document defines ``ibrav``."""

from __future__ import annotations

import math

import numpy as np

from matdisco.data.readers.base import Unreadable


def bravais(
    ibrav: int, a: float, b: float, c: float, bc: float, ac: float, ab: float
) -> np.ndarray:
    """Return the cell vectors (3, 3) in the unit of ``a``.

    Args:
        ibrav: the number of the lattice.
        a: first length.
        b: second length.
        c: third length.
        bc: cosine of the angle between b and c.
        ac: cosine of the angle between a and c.
        ab: cosine of the angle between a and b.

    Raises:
        Unreadable: an unknown number, or parameters that make no cell.
    """
    if not all(map(math.isfinite, (a, b, c, bc, ac, ab))) or min(a, b, c) <= 0:
        raise Unreadable("no-cell", f"ibrav {ibrav} without its lattice parameters")
    if max(abs(bc), abs(ac), abs(ab)) >= 1:
        raise Unreadable("flat-cell", "a cosine of a cell angle is not below 1")
    simple = _SIMPLE.get(ibrav)
    if simple is not None:
        lengths = {"c": (a, a, a), "t": (a, a, c), "o": (a, b, c)}[simple[0]]
        vectors: np.ndarray = np.array(simple[1], float) * np.array(lengths)
        return vectors
    if ibrav == 4:
        return np.array([[a, 0, 0], [-a / 2, a * math.sqrt(3) / 2, 0], [0, 0, c]])
    if abs(ibrav) == 5:
        return _rhombohedral(ibrav, a, bc)
    return _oblique(ibrav, a, b, c, bc, ac, ab)


_H = 0.5
# family of lengths, and the vectors in units of those lengths along x, y, z
_SIMPLE: dict[int, tuple[str, list[list[float]]]] = {
    1: ("c", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    2: ("c", [[-_H, 0, _H], [0, _H, _H], [-_H, _H, 0]]),
    3: ("c", [[_H, _H, _H], [-_H, _H, _H], [-_H, -_H, _H]]),
    -3: ("c", [[-_H, _H, _H], [_H, -_H, _H], [_H, _H, -_H]]),
    6: ("t", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    7: ("t", [[_H, -_H, _H], [_H, _H, _H], [-_H, -_H, _H]]),
    8: ("o", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    9: ("o", [[_H, _H, 0], [-_H, _H, 0], [0, 0, 1]]),
    -9: ("o", [[_H, -_H, 0], [_H, _H, 0], [0, 0, 1]]),
    91: ("o", [[1, 0, 0], [0, _H, -_H], [0, _H, _H]]),
    10: ("o", [[_H, 0, _H], [_H, _H, 0], [0, _H, _H]]),
    11: ("o", [[_H, _H, _H], [-_H, _H, _H], [-_H, -_H, _H]]),
}


def _rhombohedral(ibrav: int, a: float, cosine: float) -> np.ndarray:
    if cosine <= -0.5:
        raise Unreadable("flat-cell", f"no rhombohedral cell has the cosine {cosine:g}")
    tx = math.sqrt((1 - cosine) / 2)
    ty = math.sqrt((1 - cosine) / 6)
    tz = math.sqrt((1 + 2 * cosine) / 3)
    if ibrav == 5:
        return a * np.array([[tx, -ty, tz], [0, 2 * ty, tz], [-tx, -ty, tz]])
    u, v = tz - 2 * math.sqrt(2) * ty, tz + math.sqrt(2) * ty
    return a / math.sqrt(3) * np.array([[u, v, v], [v, u, v], [v, v, u]])


def _oblique(
    ibrav: int, a: float, b: float, c: float, bc: float, ac: float, ab: float
) -> np.ndarray:
    sin_ab, sin_ac = math.sqrt(1 - ab * ab), math.sqrt(1 - ac * ac)
    if ibrav == 12:
        return np.array([[a, 0, 0], [b * ab, b * sin_ab, 0], [0, 0, c]])
    if ibrav == -12:
        return np.array([[a, 0, 0], [0, b, 0], [c * ac, 0, c * sin_ac]])
    if ibrav == 13:
        return np.array(
            [[a / 2, 0, -c / 2], [b * ab, b * sin_ab, 0], [a / 2, 0, c / 2]]
        )
    if ibrav == -13:
        return np.array(
            [[a / 2, b / 2, 0], [-a / 2, b / 2, 0], [c * ac, 0, c * sin_ac]]
        )
    if ibrav == 14:
        height = 1 + 2 * bc * ac * ab - bc * bc - ac * ac - ab * ab
        if height <= 0:
            raise Unreadable("flat-cell", "no cell has these three angles")
        return np.array(
            [
                [a, 0, 0],
                [b * ab, b * sin_ab, 0],
                [c * ac, c * (bc - ac * ab) / sin_ab, c * math.sqrt(height) / sin_ab],
            ]
        )
    raise Unreadable("unsupported", f"ibrav {ibrav} is none that pw.x knows")
