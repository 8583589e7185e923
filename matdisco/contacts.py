"""How near two atoms can be: one rule for potentials, what they say, and evaluators."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

CLOSEST = 0.5
"""Shortest contact over the sum of covalent radii (B. Cordero et al., Dalton Trans.
2832 (2008)). Of 37,500 computed crystals of six public sets none is below 0.65
(CeIn2Ru), and the most compressed metal known, sodium at 320 GPa, has 0.57 (1.89 Å;
Y. Ma et al., Nature 458, 182 (2009)). Potentials of the Materials Project still repel
there; below 0.45 their energies fall again: by CHGNet two aluminium atoms 0.5 Å apart
are as good as a crystal, by SevenNet-0 they have -5,900 eV each."""


def covalent_radius(numbers: np.ndarray) -> np.ndarray:
    """Return covalent radii of atomic numbers, Å, of their shape.

    Beyond curium nobody has measured one: ASE's 0.2 Å allows nearly everything.
    """
    found: np.ndarray = _radii()[numbers]
    return found


@lru_cache(maxsize=1)
def _radii() -> np.ndarray:
    from ase.data import covalent_radii

    return np.asarray(covalent_radii, dtype=float)


def ratios(distances: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return distances over the sums of covalent radii, shape (n,).

    Args:
        distances: Å, shape (n,).
        first: atomic number of one atom of each pair, shape (n,).
        second: that of the other.
    """
    shares: np.ndarray = distances / (covalent_radius(first) + covalent_radius(second))
    return shares


def reach(numbers: np.ndarray) -> float:
    """Return the distance, Å, within which all forbidden contacts of atoms lie."""
    return 2.0 * CLOSEST * float(covalent_radius(numbers).max(initial=0.0))


def sentence(distance: float, first: str, second: str, ratio: float) -> str:
    """Say of two atoms that they are too close.

    >>> sentence(0.4, "Al", "O", 0.21)
    'Al and O are 0.400 Å apart, 0.21 of their covalent radii; expected at least 0.5'
    """
    return (
        f"{first} and {second} are {distance:.3f} Å apart, {ratio:.2f} of their "
        f"covalent radii; expected at least {CLOSEST:g}"
    )
