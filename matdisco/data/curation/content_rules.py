"""Rules about content: what the file declares, and whether charges add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pymatgen.core import Composition
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.curation.contact_rules import BOHR
from matdisco.data.curation.entry import Entry
from matdisco.data.curation.formulas import distance, parse
from matdisco.data.curation.rule import StructureRule
from matdisco.data.readers.base import Severity


class DeclaredRule(StructureRule):
    """What the file says about its content is true."""

    name: ClassVar[str] = "declared"
    reason: ClassVar[str] = (
        "a declared formula, atom count or volume that contradicts the atoms means that one of them is wrong"  # noqa: E501
    )
    severity: Severity = "quarantine"
    """What a violation means."""
    formula_tolerance: float = 0.03
    """Atomic fraction; refined occupancies are rounded to about 0.01."""
    volume_tolerance: float = 0.02
    """Relative; declared volumes are rounded, lengths to 0.001 Å."""

    @override
    def check(self, entry: Entry, crystal: Crystal) -> Entry:
        """Compare formula, number of atoms and volume with the declaration."""
        declared = entry.declared
        formula = parse(str(declared.get("formula", "") or ""))
        if formula is not None:
            off = distance(formula, crystal.composition)
            if off > self.formula_tolerance:
                text = (
                    f"declared formula {declared['formula']}, found {crystal.formula}"
                )
                entry = entry.found(self.name, self.severity, text)
        found = crystal.composition.num_atoms
        counts = self._declared_counts(declared, formula)
        if counts and all(abs(found - n) > 0.02 * n for n in counts):
            expected = " or ".join(f"{n:g}" for n in counts)
            text = f"declared {expected} atoms in the cell, found {found:g}"
            entry = entry.found(self.name, self.severity, text)
        volume = declared.get("volume")
        if volume:
            found = crystal.structure.volume
            if any(f.rule == "length-unit" for f in entry.findings):
                found /= BOHR**3  # the declaration was in bohr³ as well
            off = abs(found / float(volume) - 1)
            if off > self.volume_tolerance:
                text = (
                    f"declared a cell volume of {float(volume):.2f} Å³, found "
                    f"{found:.2f} Å³"
                )
                entry = entry.found(self.name, self.severity, text)
        return entry

    @staticmethod
    def _declared_counts(
        declared: Mapping[str, Any], formula: Composition | None
    ) -> list[float]:
        """Return the atom counts that the declaration allows, empty if it is silent."""
        if declared.get("n_atoms"):
            return [float(declared["n_atoms"])]
        if formula is None or not declared.get("z"):
            return []
        # The CIF dictionary counts one formula unit; several writers give the cell.
        return [formula.num_atoms * declared["z"], formula.num_atoms]


class ChargeRule(StructureRule):
    """Where all oxidation states are given, they add up to zero."""

    name: ClassVar[str] = "charge"
    reason: ClassVar[str] = (
        "a crystal is neutral; a charged sum means a wrong occupancy or state"
    )
    severity: Severity = "quarantine"
    """What a violation means."""
    tolerance: float = 0.05
    """Elementary charges per atom; occupancies rounded to 0.01 explain that much."""

    @override
    def check(self, entry: Entry, crystal: Crystal) -> Entry:
        """Sum the oxidation states, if every species has one."""
        total = 0.0
        for specie, amount in crystal.composition.items():
            state = getattr(specie, "oxi_state", None)
            if state is None:
                return entry
            total += float(state) * float(amount)
        if all(getattr(s, "oxi_state", 0) == 0 for s in crystal.composition):
            return entry
        if abs(total) <= self.tolerance * crystal.composition.num_atoms:
            return entry
        text = f"oxidation states add up to {total:+.2f} per cell, expected 0"
        return entry.found(self.name, self.severity, text)
