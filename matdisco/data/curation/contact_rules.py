"""Rules about distances: cells in bohr, atoms on top of each other."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from pymatgen.core import Composition, Structure
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.curation.entry import Entry
from matdisco.data.curation.rule import StructureRule, around
from matdisco.data.readers.base import Severity

BOHR = 0.529177210903
"""Å; CODATA 2018."""
_SMALL = 30  # atoms up to which all pairs with all images beat a neighbour list
_IMAGES = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
_HOME = 13  # the row of (0, 0, 0)
_NOBLE = frozenset({"He", "Ne", "Ar", "Kr", "Xe", "Rn"})


class LengthUnitRule(StructureRule):
    """The cell is in Å, not in bohr."""

    name: ClassVar[str] = "length-unit"
    reason: ClassVar[str] = "a cell in bohr read as Å has all bonds 1.89 times too long"
    severity: Severity = "mend"
    """With ``mend`` the cell is multiplied by 0.529177."""
    shortest_bond: float = 1.45
    """Shortest distance over the sum of covalent radii (Cordero 2008) that no correct
    crystal exceeds: the largest among 5,449 DFT-relaxed crystals of six sets was 1.39
    (TlF); the smallest of ten misread ones 1.59. Noble gases are exempt."""

    @override
    def check(self, entry: Entry, crystal: Crystal) -> Entry:
        """Shrink a cell whose every bond is too long by just this factor."""
        symbols = {e.symbol for e in crystal.composition.elements}
        if symbols & _NOBLE or symbols - atomic_numbers.keys() or crystal.n_atoms < 2:
            return entry
        # Nearly every crystal has a bond within the first, cheap reach.
        reaches = (self.shortest_bond, 2.8)
        contacts = (shortest_contact(crystal.structure, r, least_filled=0.0)[0]
                    for r in reaches)  # fmt: skip
        ratio = next((r for r in contacts if np.isfinite(r)), np.inf)
        plausible = 0.7 < ratio * BOHR < 1.4
        if not (self.shortest_bond < ratio and plausible):
            return entry
        text = (
            f"the shortest contact is {ratio:.2f} times the sum of covalent radii, "
            f"{ratio * BOHR:.2f} if the cell is in bohr"
        )
        if self.severity == "mend":
            small = crystal.structure.copy()
            small.scale_lattice(small.volume * BOHR**3)
            entry = entry.with_crystal(around(crystal, small))
            text += "; cell converted from bohr to Å"
        return entry.found(self.name, self.severity, text)


class OverlapRule(StructureRule):
    """No two atoms sit on each other."""

    name: ClassVar[str] = "overlap"
    reason: ClassVar[str] = (
        "atoms closer than half a bond are wrong positions or a wrong cell"
    )
    severity: Severity = "reject"
    """What a violation means."""
    closest: float = 0.55
    """Distance over the sum of covalent radii (Cordero 2008); the smallest among
    5,449 DFT-relaxed crystals of six sets was 0.66 (U4Si3Mo)."""

    @override
    def check(self, entry: Entry, crystal: Crystal) -> Entry:
        """Reject atoms on top of each other; split sites may be close."""
        ratio, distance, i, j = shortest_contact(crystal.structure, self.closest)
        if ratio >= self.closest:
            return entry
        structure = crystal.structure
        text = (
            f"sites {i} ({structure[i].species_string}) and {j} "
            f"({structure[j].species_string}) are {distance:.2f} Å apart, "
            f"{ratio:.2f} of the sum of their covalent radii"
        )
        return entry.found(self.name, self.severity, text)


def shortest_contact(
    structure: Structure, reach: float, *, least_filled: float = 0.95
) -> tuple[float, float, int, int]:
    """Return the smallest distance over covalent radii, that distance, and the sites.

    Partly occupied sites count as no contact: they are places of one atom.

    Args:
        structure: the crystal.
        least_filled: occupancy below which a site does not count.
        reach: largest ratio to look for; (inf, inf, 0, 0) if nothing is nearer.
    """
    radii = np.array([_radius(site.species) for site in structure])
    filled = np.array([site.species.num_atoms for site in structure]) > least_filled
    # Partly filled sites may be close: one atom in several places.
    if len(structure) <= _SMALL:
        nearest = _nearest(structure, radii, filled)
        if nearest is not None:
            return nearest
    i, j, _, d = structure.get_neighbor_list(2 * float(radii.max()) * reach)
    keep = filled[i] & filled[j]
    i, j, d = i[keep], j[keep], d[keep]
    if not len(d):
        return np.inf, np.inf, 0, 0
    ratio = d / (radii[i] + radii[j])
    k = int(ratio.argmin())
    return float(ratio[k]), float(d[k]), int(i[k]), int(j[k])


@lru_cache(maxsize=1024)
def _radius(species: Composition) -> float:
    """Return the covalent radius of a site's largest species, Å.

    ASE's 0.2 Å, its value for no element, stands for a species without a name.
    """
    return float(max(covalent_radii[atomic_numbers.get(e.symbol, 0)] for e in species))


def _nearest(
    structure: Structure, radii: np.ndarray, filled: np.ndarray
) -> tuple[float, float, int, int] | None:
    """Return the shortest contact of a small cell, None if it may lie further out.

    Steps between atoms are wrapped to half a cell, and 27 images of each looked at:
    what is left out is at least 1.5 plane spacings away. Five times faster than a
    neighbour list.
    """
    cell = np.asarray(structure.lattice.matrix)
    complete = 1.5 / float(np.linalg.norm(np.linalg.inv(cell), axis=0).max())
    fractions = structure.frac_coords
    steps = fractions[None, :, :] - fractions[:, None, :]
    steps -= np.round(steps)
    distances = np.linalg.norm((steps[:, :, None, :] + _IMAGES) @ cell, axis=-1)
    itself = np.arange(len(radii))
    distances[itself, itself, _HOME] = np.inf
    shortest = distances.min(axis=-1)
    shortest[~filled] = shortest[:, ~filled] = np.inf
    sums = radii[:, None] + radii
    ratio = shortest / sums
    i, j = sorted(np.unravel_index(int(ratio.argmin()), ratio.shape))
    if not ratio[i, j] * float(sums.max()) < complete:
        return None
    return float(ratio[i, j]), float(shortest[i, j]), int(i), int(j)
