"""Elements on the sites of a structure type, at a volume to start from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from matdisco.candidates.prototype_library import library
from matdisco.candidates.volume import Geometry, Prescale
from matdisco.crystal import Crystal
from matdisco.data.packed import PackedCrystal
from matdisco.errors import DataError


class _Type(NamedTuple):
    """What all decorations of a structure type share."""

    geometry: Geometry
    """Distances, from which the volume follows."""
    kinds: tuple[int, ...]
    """Which of the type's species sits on each site."""
    cell: np.ndarray
    """Lattice vectors as the library has them, Å, shape (3, 3)."""
    volume: float
    """Volume of that cell, Å³."""
    fractional: np.ndarray
    """Positions in cell vectors, shape (n_sites, 3)."""


def decorate(
    entry: Mapping[str, Any],
    symbols: Sequence[str],
    volume_scale: float = 1.0,
    volume: Prescale = "additive",
) -> Crystal:
    """Put elements on a prototype's species and give it a sensible volume.

    The crystal is packed: pools have hundreds of thousands of them.

    Args:
        entry: a prototype of the index.
        symbols: one element per species of the prototype, in its order.
        volume_scale: factor on the starting volume.
        volume: how that volume is found, see
            :class:`~matdisco.candidates.prototypes.PrototypeCandidates`.

    Raises:
        DataError: the index was made with another library than the one installed.
    """
    known = _type(entry["row"])
    if len(known.kinds) != sum(entry["counts"]):
        raise DataError(
            f"prototype {entry['name']} is not at row {entry['row']} of the installed "
            "pymatgen's AFLOW library; prototype_index.json was made with another one"
        )
    species = [symbols[k] for k in known.kinds]
    size = known.geometry.starting_volume(species, volume) * volume_scale
    parts = {
        "cell": known.cell * (size / known.volume) ** (1 / 3),
        "species": species,
        "fractional": known.fractional,
    }
    source = {
        "prototype": entry["aflow"],
        "strukturbericht": entry["strukturbericht"],
        "mineral": entry["mineral"],
        "decoration": list(symbols),
    }
    formula = "".join(
        symbols[row] + amount
        for row, amount in _amounts(entry["aflow"], tuple(entry["counts"]))
    )
    return PackedCrystal(f"{formula}.{entry['name']}", parts, source=source)


@lru_cache(maxsize=512)
def _type(row: int) -> _Type:
    """Measure a structure type of the library."""
    structure = library()[row]
    species = [e.symbol for e in structure.composition.elements]
    kinds = tuple(species.index(site.specie.symbol) for site in structure)
    return _Type(
        Geometry.of(structure, kinds),
        kinds,
        structure.lattice.matrix,
        structure.volume,
        structure.frac_coords,
    )


@lru_cache(maxsize=512)
def _amounts(aflow: str, counts: tuple[int, ...]) -> tuple[tuple[int, str], ...]:
    """Order a type's species as its AFLOW label does: L1_2 is AB3.

    Args:
        aflow: the label.
        counts: atoms of each species in the cell.

    Returns:
        Species and its amount in the reduced formula, as text.
    """
    unit = gcd(*counts)
    reduced = [n // unit for n in counts]
    left = list(range(len(counts)))
    found = []
    for amount in re.findall(r"[A-Z](\d*)", aflow.split("_")[0]):
        row = next((i for i in left if reduced[i] == int(amount or 1)), left[0])
        left.remove(row)
        found.append((row, str(reduced[row]) if reduced[row] > 1 else ""))
    return tuple(found)
