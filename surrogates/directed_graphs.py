"""Graphs that keep the direction of every bond: the whole cell or its asymmetric unit.

In the asymmetric unit one atom stands for all that the crystal's symmetry operations
map onto it, with their number as its share (Ruff et al., Digital Discovery 3, 594
(2024), doi 10.1039/D4DD00018H). It keeps every bond of that atom; the sender is whoever
stands for the atom at the other end. What that atom feels is the same up to a rotation,
so networks whose features are scalars give what they give on the whole cell.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from matdisco.crystal import Crystal
from surrogates.graphs import PackedGraphs
from surrogates.neighbors import NeighborLists

SAME_PLACE = 1e-4
"""Å by which an operation may miss an atom: as for equal distances of merged graphs, so
that what a prediction feels is not averaged away."""


def full(
    crystals: Sequence[Crystal], numbers: np.ndarray, lists: NeighborLists
) -> PackedGraphs:
    """Return graphs of all atoms and bonds, with bond vectors.

    Args:
        crystals: whose cells turn images into vectors.
        numbers: atomic number of every atom of every crystal.
        lists: their bonds, those of one receiving atom together.
    """
    edges = np.diff(lists.edge_offsets)
    cells = np.array([c.structure.lattice.matrix for c in crystals]).reshape(-1, 3, 3)
    spots = np.array([s.coords for c in crystals for s in c.structure.sites])
    shift = np.einsum("ex,exy->ey", lists.images, np.repeat(cells, edges, axis=0))
    first = np.repeat(lists.atom_offsets[:-1], edges)
    spots = spots.reshape(-1, 3)
    vector = spots[lists.neighbors + first] - spots[lists.centers + first] + shift
    sizes = np.diff(lists.atom_offsets)
    return PackedGraphs(
        numbers,
        np.repeat((1.0 / np.maximum(sizes, 1)).astype(np.float32), sizes),
        lists.neighbors.astype(np.int64),
        lists.centers.astype(np.int64),
        lists.distances.astype(np.float32),
        lists.weights.astype(np.float32),
        lists.atom_offsets,
        lists.edge_offsets,
        vector.astype(np.float32),
    )


def asymmetric_unit(crystals: Sequence[Crystal], whole: PackedGraphs) -> PackedGraphs:
    """Return the graphs of the asymmetric units, with bond vectors.

    Args:
        crystals: whose symmetry is used.
        whole: their graphs from :func:`full`.
    """
    first = np.repeat(whole.node_offsets[:-1], np.diff(whole.edge_offsets))
    stands = np.concatenate(
        [np.zeros(0, np.int64)]
        + [
            orbits(c) + start
            for c, start in zip(crystals, whole.node_offsets[:-1], strict=True)
        ]
    )
    kept = stands == np.arange(len(stands))
    fresh = np.cumsum(kept) - 1  # number of a kept atom over all graphs
    node_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])[
        whole.node_offsets
    ]
    bonds = kept[whole.target + first]
    edge_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(bonds)])[
        whole.edge_offsets
    ]
    base = np.repeat(node_offsets[:-1], np.diff(edge_offsets))
    share = np.bincount(stands, weights=whole.share, minlength=len(stands))
    assert whole.vector is not None
    return PackedGraphs(
        whole.numbers[kept],
        share[kept].astype(np.float32),
        fresh[stands[(whole.source + first)[bonds]]] - base,
        fresh[(whole.target + first)[bonds]] - base,
        whole.distance[bonds],
        whole.weight[bonds],
        node_offsets,
        edge_offsets,
        whole.vector[bonds],
    )


def orbits(crystal: Crystal) -> np.ndarray:
    """Return, for each atom, the first atom that symmetry maps onto it, shape (n,).

    Found by moyopy within ``SAME_PLACE``; every atom for itself where it finds no
    symmetry.
    """
    import moyopy

    logging.getLogger("moyo").setLevel(logging.ERROR)  # it warns once per supercell
    structure = crystal.structure
    cell = moyopy.Cell(
        basis=structure.lattice.matrix.tolist(),
        positions=structure.frac_coords.tolist(),
        numbers=crystal.atomic_numbers.tolist(),
    )
    try:
        found = np.array(moyopy.MoyoDataset(cell, symprec=SAME_PLACE).orbits)
    except ValueError:  # "cell is too distorted" and the like
        return np.arange(len(structure))
    # number each orbit by its first atom, whatever stood for it
    _, at, back = np.unique(found, return_index=True, return_inverse=True)
    named: np.ndarray = at[back.reshape(-1)]
    return named
