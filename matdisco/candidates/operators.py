"""Operators of evolution: from one or two crystals to a new one.

Heredity joins slabs of two parents, as D. M. Deaven and K. M. Ho, Phys. Rev. Lett. 75,
288 (1995), did for clusters and C. W. Glass, A. R. Oganov and N. Hansen, Comput. Phys.
Commun. 175, 713 (2006), for crystals; permutation and strain are theirs too.
Every function takes and gives plain arrays and one generator, so that equal seeds give
equal children.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pymatgen.core import Lattice, Structure


class Cell(NamedTuple):
    """A crystal as arrays."""

    matrix: np.ndarray
    """Cell vectors in rows, Å, shape (3, 3)."""
    symbols: tuple[str, ...]
    """Element of each site."""
    fractional: np.ndarray
    """Positions, shape (n, 3)."""

    @classmethod
    def of(cls, structure: Structure) -> Cell:
        """Take a structure apart."""
        return cls(
            np.array(structure.lattice.matrix),
            tuple(site.specie.symbol for site in structure),
            np.array(structure.frac_coords) % 1.0,
        )

    def structure(self) -> Structure:
        """Put it together again."""
        return Structure(Lattice(self.matrix), list(self.symbols), self.fractional)


def strain(
    cell: Cell, rng: np.random.Generator, *, sigma: float, rattle: float
) -> Cell:
    """Deform the cell and shake the atoms.

    Args:
        cell: the parent.
        rng: source of randomness.
        sigma: standard deviation of each strain component.
        rattle: standard deviation of each displacement, Å.
    """
    noise = rng.normal(0.0, sigma, (3, 3))
    matrix = cell.matrix @ (np.eye(3) + (noise + noise.T) / 2)
    shift = rng.normal(0.0, rattle, cell.fractional.shape) @ np.linalg.inv(matrix)
    return Cell(matrix, cell.symbols, cell.fractional + shift)


def exchange(cell: Cell, rng: np.random.Generator) -> Cell | None:
    """Swap up to half of the atoms pairwise with atoms of another element."""
    symbols = list(cell.symbols)
    n_swaps = int(rng.integers(1, max(2, len(symbols) // 2)))
    for _ in range(n_swaps):
        i = int(rng.integers(len(symbols)))
        others = [j for j, s in enumerate(symbols) if s != symbols[i]]
        if not others:
            return None
        j = int(rng.choice(others))
        symbols[i], symbols[j] = symbols[j], symbols[i]
    if tuple(symbols) == cell.symbols:
        return None
    return Cell(cell.matrix, tuple(symbols), cell.fractional)


def substitute(
    cell: Cell, rng: np.random.Generator, space: Sequence[str]
) -> Cell | None:
    """Put another element of the space in place of one, on some or all of its sites."""
    old = str(rng.choice(sorted(set(cell.symbols))))
    others = [e for e in space if e != old]
    if not others:
        return None
    new = str(rng.choice(others))
    sites = [i for i, s in enumerate(cell.symbols) if s == old]
    # Half of the time all sites (another compound of the type), else some of them.
    n = len(sites) if rng.random() < 0.5 else int(rng.integers(1, len(sites) + 1))
    chosen = {int(i) for i in rng.choice(sites, size=n, replace=False)}
    symbols = [new if i in chosen else s for i, s in enumerate(cell.symbols)]
    return Cell(cell.matrix, tuple(symbols), cell.fractional)


def heredity(a: Cell, b: Cell, rng: np.random.Generator) -> Cell | None:
    """Take one slab from each parent, in a cell between theirs.

    The cut runs across one cell vector at a random height, after both parents were
    shifted at random; the child's composition is what the slabs bring.
    """
    axis = int(rng.integers(3))
    share = float(rng.uniform(0.25, 0.75))
    first = (a.fractional + rng.random(3)) % 1.0
    second = (b.fractional + rng.random(3)) % 1.0
    below, above = first[:, axis] < share, second[:, axis] >= share
    fractional = np.concatenate([first[below], second[above]])
    symbols = [s for s, keep in zip(a.symbols, below, strict=True) if keep]
    symbols += [s for s, keep in zip(b.symbols, above, strict=True) if keep]
    if not below.any() or not above.any():
        return None
    # Cells in one standard form: else two settings of one cell average to nonsense.
    matrix = share * _standard(a.matrix) + (1 - share) * _standard(b.matrix)
    if abs(np.linalg.det(matrix)) < 1.0:
        return None
    return Cell(matrix, tuple(symbols), fractional)


def _standard(matrix: np.ndarray) -> np.ndarray:
    """Return the cell with a along x and b in the xy plane, right-handed."""
    return np.array(Lattice.from_parameters(*Lattice(matrix).parameters).matrix)
