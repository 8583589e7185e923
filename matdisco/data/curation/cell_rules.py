"""Rules about cell and sites: finite, with a volume, right-handed, real elements."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pymatgen.core import DummySpecies, Structure
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.curation.entry import Entry
from matdisco.data.curation.rule import StructureRule, around
from matdisco.data.readers.base import Severity


class CellRule(StructureRule):
    """Cell and positions are numbers, and the cell encloses a volume."""

    name: ClassVar[str] = "cell"
    reason: ClassVar[str] = "a cell needs finite lengths, a volume and finite positions"
    severity: Severity = "reject"
    """What a violation means."""
    smallest_volume: float = 2.0
    """Å³/atom; solid hydrogen at 400 GPa still has about 2.3."""
    largest_volume: float = 1000.0
    """Å³/atom; a surface slab with 30 Å of vacuum reaches some 100."""
    sparse: Severity = "quarantine"
    """What more than that means: a molecule in a box is no crystal, but no mistake."""
    flattest_angle: float = 3.0
    """Degrees between two cell vectors, or from 180. Primitive cells of layered
    rhombohedral crystals go down to 6 (13.9 in Hf2Al4C5)."""

    @override
    def check(self, entry: Entry, crystal: Crystal) -> Entry:
        """Reject what no later step could use."""
        matrix = np.asarray(crystal.structure.lattice.matrix)
        positions = np.asarray(crystal.structure.frac_coords)
        problem, severity = "", self.severity
        if len(crystal.structure) == 0:
            problem = "expected atoms, found none"
        elif not (np.isfinite(matrix).all() and np.isfinite(positions).all()):
            problem = "a cell length or position is not a number"
        else:
            n = len(crystal.structure)
            volume = abs(float(np.linalg.det(matrix))) / n
            angles = np.array(crystal.structure.lattice.angles)
            flat = np.minimum(angles, 180 - angles).min()
            if not self.smallest_volume <= volume <= self.largest_volume:
                problem = (
                    f"expected {self.smallest_volume:g} to {self.largest_volume:g} "
                    f"Å³ per atom, found {volume:.4g}"
                )
                if volume > self.largest_volume:
                    severity = self.sparse
            elif flat < self.flattest_angle:
                problem = (
                    "cell angles "
                    + ", ".join(f"{a:.1f}°" for a in angles)
                    + " make an almost flat cell"
                )
        return entry.found(self.name, severity, problem) if problem else entry


class SpeciesRule(StructureRule):
    """All species are chemical elements, and no site holds more than one atom."""

    name: ClassVar[str] = "species"
    reason: ClassVar[str] = "sites hold known elements with a total occupancy up to 1"
    severity: Severity = "reject"
    """What a violation means."""
    occupancy_tolerance: float = 0.01
    """Excess over 1 that rounding in a CIF explains."""

    @override
    def check(self, entry: Entry, crystal: Crystal) -> Entry:
        """Reject dummy species and overfull sites."""
        for number, site in enumerate(crystal.structure):
            for specie in site.species:
                if isinstance(specie, DummySpecies):
                    text = f"site {number}: {specie} is not a chemical element"
                    # Numbered types: whoever made the file can still name them.
                    unnamed = any(f.rule == "unnamed-species" for f in entry.findings)
                    severity = "quarantine" if unnamed else self.severity
                    return entry.found(self.name, severity, text)
            total = site.species.num_atoms
            if total > 1 + self.occupancy_tolerance:
                text = f"site {number}: occupancies add up to {total:.3g}, expected 1"
                return entry.found(self.name, self.severity, text)
        return entry


class HandednessRule(StructureRule):
    """Cell vectors form a right-handed system."""

    name: ClassVar[str] = "left-handed"
    reason: ClassVar[str] = (
        "several codes refuse left-handed cells; inverting all three vectors describes the same crystal"  # noqa: E501
    )
    severity: Severity = "mend"
    """With ``mend`` the vectors are inverted, atoms stay where they are."""

    @override
    def check(self, entry: Entry, crystal: Crystal) -> Entry:
        """Invert the vectors of a left-handed cell."""
        structure = crystal.structure
        if np.linalg.det(structure.lattice.matrix) >= 0:
            return entry
        if self.severity == "mend":
            right = Structure(
                -structure.lattice.matrix,
                structure.species_and_occu,
                -structure.frac_coords,
                site_properties=structure.site_properties,
            )
            entry = entry.with_crystal(around(crystal, right))
        return entry.found(self.name, self.severity, "cell was left-handed")


class WrapRule(StructureRule):
    """Atoms lie inside their cell."""

    name: ClassVar[str] = "outside-cell"
    reason: ClassVar[str] = (
        "positions far outside the cell come from unwrapped trajectories or wrong units"
    )
    severity: Severity = "mend"
    """With ``mend`` atoms are moved by whole cell vectors."""
    margin: float = 0.5
    """Cell fractions that an atom may stick out; relaxations cross borders a bit."""

    @override
    def check(self, entry: Entry, crystal: Crystal) -> Entry:
        """Move atoms home by whole lattice vectors."""
        structure = crystal.structure
        outside = np.abs(structure.frac_coords - 0.5) > 0.5 + self.margin
        count = int(outside.any(axis=1).sum())
        if not count:
            return entry
        if self.severity == "mend":
            home = structure.copy()
            home.translate_sites(range(len(home)), [0, 0, 0], to_unit_cell=True)
            entry = entry.with_crystal(around(crystal, home))
        text = f"{count} atoms were outside the cell"
        return entry.found(self.name, self.severity, text)
