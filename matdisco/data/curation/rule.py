"""Rule: a named check with a reason, a severity and thresholds."""

from __future__ import annotations

from typing import ClassVar

from pymatgen.core import Structure
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.curation.entry import Entry
from matdisco.recipe import Recipe


class Rule(Recipe):
    """A named check of one entry."""

    name: ClassVar[str]
    reason: ClassVar[str]
    """Why the rule exists, one sentence for the card."""
    enabled: bool = True
    """Whether to apply it at all."""

    def apply(self, entry: Entry) -> Entry:
        """Return the entry, mended or with a finding, or as it was."""
        raise NotImplementedError


class StructureRule(Rule):
    """A rule that looks at structures and lets table rows pass."""

    @override
    def apply(self, entry: Entry) -> Entry:
        """Check the entry's crystal, where it has one that is not yet rejected."""
        if entry.crystal is None or entry.verdict == "reject":
            return entry
        return self.check(entry, entry.crystal)

    def check(self, entry: Entry, crystal: Crystal) -> Entry:
        """Check one crystal."""
        raise NotImplementedError


def around(crystal: Crystal, structure: Structure) -> Crystal:
    """Return the crystal with another structure, all else the same."""
    return Crystal(crystal.id, structure, crystal.labels, crystal.source)
