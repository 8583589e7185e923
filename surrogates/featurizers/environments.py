"""Local environments: bond lengths, coordination, and what neighbours differ in.

In the manner of Ward et al., Phys. Rev. B 96, 024104 (2017), and the matminer features
of De Breuck et al., npj Comput. Mater. 7, 83 (2021), without Voronoi cells: bonds carry
Hoppe's smooth weights (Z. Kristallogr. 150, 23 (1979), effective coordination number),
so nothing jumps when atoms move. Statistics over sites make rows of one length that do
not depend on how the cell is written.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import product

import moyopy
import numpy as np
from pymatgen.core import Lattice
from pymatgen.core.periodic_table import Element

from matdisco.crystal import Crystal
from surrogates.featurizers.elements import COLUMNS, radii, raw_table
from surrogates.graphs import MAX_Z, atomic_numbers
from surrogates.neighbors import nearest

_K = 14  # neighbours looked at: both shells of bcc; the weights fade before the last
_SYMPREC = 1e-3  # Å; only the lattice translations matter here
_ROUNDS = 20  # of Hoppe's fixed point; three digits settle in about ten
_DIRECTIONS = np.array(
    [h for h in product((-1, 0, 1), repeat=3) if h > (0, 0, 0)], dtype=float
)
"""Half of the 26 shortest reciprocal vectors; of a reduced cell they hold the normals
of all layers that matter."""
_SITE = (
    "coordination", "bond_length", "shortest_bond", "bond_over_radii", "bond_spread",
    "stiffness",
)  # fmt: skip
_STATISTICS = ("mean", "std", "min", "max")
NAMES: tuple[str, ...] = (
    *(f"{s}_{c}" for s in _STATISTICS for c in _SITE),
    *(f"{s}_difference_{c}" for s in _STATISTICS for c in COLUMNS),
    "packing_fraction",
    "layer_gap",
    "density",
)
"""One name per column. ``stiffness`` is the mean of (1/m_i + 1/m_j)^½ over bonds
(u^-½), ``layer_gap`` the thickest slab of the cell without atoms (Å)."""


def environment_features(crystals: Sequence[Crystal]) -> np.ndarray:
    """Return features, shape (n, len(NAMES)), never NaN.

    Raises:
        SurrogateError: a disordered crystal, an unknown element, overlapping atoms.
    """
    rows = np.zeros((len(crystals), len(NAMES)))
    table, radius, mass = raw_table(), radii(), _masses()
    for row, crystal in zip(rows, crystals, strict=True):
        z = atomic_numbers(crystal)
        n = len(z)
        found = nearest([crystal], _K)
        i, j, d = found.centers, found.neighbors, found.distances
        w, length = _hoppe(i, d, n)
        total = np.bincount(i, weights=w, minlength=n)

        def over_bonds(
            v: np.ndarray, i: np.ndarray = i, w: np.ndarray = w,
            n: int = n, total: np.ndarray = total,
        ) -> np.ndarray:  # fmt: skip
            average: np.ndarray = np.bincount(i, weights=w * v, minlength=n) / total
            return average

        shortest = np.full(n, np.inf)
        np.minimum.at(shortest, i, d)
        site = np.stack(
            [
                total,
                length,
                shortest,
                over_bonds(d / (radius[z[i]] + radius[z[j]])),
                np.sqrt(np.maximum(over_bonds((d / length[i] - 1.0) ** 2), 0.0)),
                over_bonds(np.sqrt(1.0 / mass[z[i]] + 1.0 / mass[z[j]])),
            ],
            axis=1,
        )  # (n, 6)
        gap = np.abs(table[z[i]] - table[z[j]])
        difference = np.stack([over_bonds(column) for column in gap.T], axis=1)
        values = np.concatenate([site, difference], axis=1)  # (n, 6 + columns)
        volume = float(crystal.structure.volume)
        parts = [f(axis=0) for f in (values.mean, values.std, values.min, values.max)]
        k = len(_SITE)
        row[:] = np.concatenate(
            [
                *(p[:k] for p in parts),
                *(p[k:] for p in parts),
                [
                    4.0 / 3.0 * np.pi * (radius[z] ** 3).sum() / volume,
                    layer_gap(crystal),
                    mass[z].sum() / volume,
                ],
            ]
        )
    return rows


def layer_gap(crystal: Crystal) -> float:
    """Return the thickest slab without atom centres, Å, over low-index directions."""
    cell, spots = _primitive(crystal)
    reduced = Lattice(cell).get_lll_reduced_lattice().matrix
    spots = spots @ cell @ np.linalg.inv(reduced)
    height = (spots @ _DIRECTIONS.T) % 1.0  # (n, 13), fractions of a plane spacing
    height = np.sort(height, axis=0)
    around = np.concatenate([height, height[:1] + 1.0])
    thickest = np.diff(around, axis=0).max(axis=0)  # (13,)
    reciprocal = np.linalg.inv(reduced).T
    spacing = 1.0 / np.linalg.norm(_DIRECTIONS @ reciprocal, axis=1)
    return float((thickest * spacing).max())


def _primitive(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Return cell (3, 3) and fractional positions of a primitive cell."""
    numbers = atomic_numbers(crystal).tolist()
    structure = crystal.structure
    given = moyopy.Cell(
        structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers
    )
    # it warns about operations of supercells, which only the translations matter for
    logging.getLogger("moyo").setLevel(logging.ERROR)
    try:
        found = moyopy.MoyoDataset(given, symprec=_SYMPREC).prim_std_cell
    except ValueError:  # too distorted for any symmetry: it is primitive
        found = given
    return np.array(found.basis), np.array(found.positions)


def _hoppe(i: np.ndarray, d: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bond weights exp(1 - (d/l)⁶), shape (e,), and mean lengths l, (n,)."""
    length = np.full(n, np.inf)
    np.minimum.at(length, i, d)
    for _ in range(_ROUNDS):
        weight = np.exp(np.maximum(1.0 - (d / length[i]) ** 6, -50.0))
        total = np.bincount(i, weights=weight, minlength=n)
        length = np.bincount(i, weights=weight * d, minlength=n) / total
    return np.exp(np.maximum(1.0 - (d / length[i]) ** 6, -50.0)), length


def _masses() -> np.ndarray:
    """Return atomic masses in u, shape (MAX_Z + 1,); row 0 unused."""
    masses = np.ones(MAX_Z + 1)
    masses[1:] = [float(Element.from_Z(z).atomic_mass) for z in range(1, MAX_Z + 1)]
    return masses
