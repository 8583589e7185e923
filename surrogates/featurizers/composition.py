"""Composition features: statistics of elemental properties over the atoms.

In the manner of Ward et al., npj Comput. Mater. 2, 16028 (2016) ("Magpie"): for each
property the mean, standard deviation, least, greatest and range over the sites, plus
the volume per atom. Two polymorphs of equal density have the same features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.packed import PackedCrystal
from matdisco.data.packed import volume as volume_of
from matdisco.errors import SurrogateError
from surrogates.featurizers.elements import COLUMNS, raw_table
from surrogates.graphs import MAX_Z, atomic_numbers

STATISTICS: tuple[str, ...] = ("mean", "std", "min", "max", "range")
NAMES: tuple[str, ...] = (
    *(f"{s}_{c}" for s in STATISTICS for c in COLUMNS),
    "volume_per_atom",
)
"""One name per feature, in column order."""


def composition_features(crystals: Sequence[Crystal]) -> np.ndarray:
    """Return features, shape (n, len(NAMES)), never NaN.

    Raises:
        SurrogateError: a disordered crystal, an unknown element, a cell of no volume.
    """
    table = raw_table()
    rows = np.zeros((len(crystals), len(NAMES)))
    for row, crystal in zip(rows, crystals, strict=True):
        sites = table[atomic_numbers(crystal)]  # (atoms, columns)
        packed = isinstance(crystal, PackedCrystal)  # has no structure to ask yet
        whole = volume_of(crystal) if packed else float(crystal.structure.volume)
        volume = whole / crystal.n_atoms
        if not (np.isfinite(volume) and volume > 0):
            raise SurrogateError(
                f"crystal {crystal.id}: volume per atom is {volume} Å³, "
                "expected a positive number"
            )
        low, high = sites.min(axis=0), sites.max(axis=0)
        parts = [sites.mean(axis=0), sites.std(axis=0), low, high, high - low]
        row[:-1], row[-1] = np.concatenate(parts), volume
    return rows


def element_fractions(crystals: Sequence[Crystal]) -> np.ndarray:
    """Return the atomic fraction of each element, shape (n, MAX_Z); column Z - 1.

    Raises:
        SurrogateError: a disordered crystal or an unknown element.
    """
    rows = np.zeros((len(crystals), MAX_Z))
    for row, crystal in zip(rows, crystals, strict=True):
        numbers = atomic_numbers(crystal)
        np.add.at(row, numbers - 1, 1.0 / len(numbers))
    return rows
