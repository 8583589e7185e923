"""Starting volumes for structures that nobody has relaxed yet."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from pymatgen.core import Element, Structure

_AVOGADRO = 6.02214076e23
SHORTEST = 0.75
"""Allowed contact as a share of the sum of atomic radii. Relaxed transition-metal
aluminides reach 0.85; below 0.75 a relaxation starts on the steep wall of the
potential and often explodes."""


@lru_cache(maxsize=128)
def atomic_volume(symbol: str) -> float:
    """Return an element's volume per atom at room temperature, Å³.

    From the molar volumes that pymatgen tabulates; where an element has none, a
    sphere of its atomic radius filling space like a close packing (74 %).
    """
    molar = Element(symbol).molar_volume
    if molar and np.isfinite(molar):
        return float(molar) * 1e24 / _AVOGADRO
    return 4 / 3 * np.pi * atomic_radius(symbol) ** 3 / 0.74


@lru_cache(maxsize=128)
def atomic_radius(symbol: str) -> float:
    """Return the metallic (for metals) or atomic radius, Å."""
    element = Element(symbol)
    radius = element.metallic_radius if element.is_metal else element.atomic_radius
    if radius is None or not np.isfinite(radius):
        radius = element.atomic_radius or 1.5
    return float(radius)


def starting_volume(structure: Structure) -> float:
    """Return a cell volume from which a relaxation starts well, Å³.

    The sum of the elements' atomic volumes (Zen's law of additive volumes, which
    metallic compounds obey within about 10 %), enlarged where an open structure
    type would put two atoms closer than :data:`SHORTEST` of their radii.
    """
    volume = sum(atomic_volume(site.specie.symbol) for site in structure)
    scaled = structure.copy()
    scaled.scale_lattice(volume)
    reach = 2 * max(atomic_radius(site.specie.symbol) for site in scaled)
    first, second, _, distance = scaled.get_neighbor_list(reach)
    if len(distance) == 0:
        return volume
    radii = np.array([atomic_radius(site.specie.symbol) for site in scaled])
    tightest = float((distance / (radii[first] + radii[second])).min())
    return volume * max(1.0, SHORTEST / tightest) ** 3


def packing_fraction(structure: Structure) -> float:
    """Return the share of space that equal spheres fill when the nearest ones touch.

    0.74 for fcc and hcp, 0.68 for bcc, 0.34 for diamond.
    """
    reach = (structure.volume / len(structure)) ** (1 / 3)
    while not len(distance := structure.get_neighbor_list(reach)[3]):
        reach *= 1.3
    radius = float(distance.min()) / 2
    return float(len(structure) * 4 / 3 * np.pi * radius**3 / structure.volume)
