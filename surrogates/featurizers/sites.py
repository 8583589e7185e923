"""Site-resolved features: which element sits where in a prototype.

Sites are put in an order that only the geometry decides: ascending mean distance, in
units of the cube root of the volume per atom, to the nearest sites of any kind. In a
cubic perovskite that is B, X, X, X, A. Sites that geometry cannot tell apart are
ordered by their elements. So rotation, translation, permutation and choice of cell
change nothing; a supercell does, as it has more sites.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from surrogates.featurizers.elements import COLUMNS, raw_table
from surrogates.graphs import atomic_numbers
from surrogates.neighbors import nearest

_SHELL = 6
"""Nearest sites that place a site: six tell A, B and X of a perovskite and the
sublattices of spinels, garnets and Heusler phases apart."""
_SAME = 0.04
"""Sites whose mean distances differ by less than this, in cube roots of the volume per
atom, count as one kind: above relaxation within a prototype, below its differences."""


def site_features(crystals: Sequence[Crystal]) -> np.ndarray:
    """Return features, shape (n, sites · columns + 4): elements by slot, cell.

    The last four columns are the volume per atom (Å³) and the sorted cell edges (Å).

    Raises:
        SurrogateError: crystals with different numbers of sites, or a broken one.
    """
    sizes = Counter(c.n_atoms for c in crystals)
    if len(sizes) > 1:
        common = sizes.most_common(1)[0][0]
        odd = next(c for c in crystals if c.n_atoms != common)
        raise SurrogateError(
            f"crystal {odd.id}: {odd.n_atoms} sites, but most have {common}; 'sites' "
            "features need one prototype with the same cell (use 'composition' or "
            "'environments' for mixed structures)"
        )
    n_sites = next(iter(sizes), 0)
    rows = np.zeros((len(crystals), n_sites * len(COLUMNS) + 4))
    for row, crystal in zip(rows, crystals, strict=True):
        elements = raw_table()[atomic_numbers(crystal)[site_order(crystal)]]
        lattice = crystal.structure.lattice
        row[:-4] = elements.ravel()
        row[-4:] = [lattice.volume / n_sites, *sorted(lattice.abc)]
    return rows


def site_order(crystal: Crystal) -> np.ndarray:
    """Return the permutation that puts sites in order, shape (n_atoms,)."""
    numbers = atomic_numbers(crystal)
    unit = (float(crystal.structure.volume) / len(numbers)) ** (1 / 3)
    found = nearest([crystal], _SHELL)
    ascending = np.lexsort((found.distances, found.centers))
    starts = np.searchsorted(found.centers[ascending], np.arange(len(numbers)))
    first = ascending[starts[:, None] + np.arange(_SHELL)]
    spread = found.distances[first].mean(axis=1) / unit  # (n,)
    by_size = np.argsort(spread, kind="stable")
    kind = np.zeros(len(numbers), dtype=int)
    kind[by_size[1:]] = np.cumsum(np.diff(spread[by_size]) > _SAME)
    return np.lexsort((numbers, kind))
