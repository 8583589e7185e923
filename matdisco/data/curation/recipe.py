"""The curation recipe: every rule by name, each with its thresholds and severity."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Literal

from matdisco.data.curation.attach import AttachRecipe
from matdisco.data.curation.cell_rules import (
    CellRule,
    HandednessRule,
    SpeciesRule,
    WrapRule,
)
from matdisco.data.curation.contact_rules import LengthUnitRule, OverlapRule
from matdisco.data.curation.content_rules import ChargeRule, DeclaredRule
from matdisco.data.curation.entry import Entry
from matdisco.data.curation.label_rules import (
    PoissonRule,
    RangeRule,
    SentinelRule,
    UnitRule,
)
from matdisco.data.curation.merge import MergeRecipe
from matdisco.data.curation.methods import MethodsRecipe
from matdisco.data.curation.rule import Rule
from matdisco.recipe import Recipe


class OutlierRecipe(Recipe):
    """Values that do not fit their chemistry; see :mod:`matdisco.data.outliers`."""

    name: ClassVar[str] = "outlier"
    enabled: bool = True
    """Whether to compare values with what their composition lets expect."""
    slip: Literal["quarantine", "note"] = "quarantine"
    """What a value means that a forgotten unit conversion explains (kbar for GPa)."""
    slip_sigmas: float = 5.0
    """How far off, in robust standard deviations of log10(value/expectation)."""
    severity: Literal["quarantine", "note"] = "note"
    """What any other outlier means; ``note`` by default, because a discovery is an
    outlier too."""
    sigmas: float = 8.0
    """Robust standard deviations; heavy-tailed targets need many."""
    expectation: Literal["composition", "structure"] = "composition"
    """What lets expect a value: the composition, or also the structure (volume and
    pair distances), which tells polymorphs apart. Either by a random forest, each
    record predicted by the trees that have not seen it."""


class RulesRecipe(Recipe):
    """The checks of single records, applied in this order."""

    species: SpeciesRule = SpeciesRule()
    """Known elements, occupancies up to 1."""
    cell: CellRule = CellRule()
    """Finite numbers, a volume, no flat cell."""
    left_handed: HandednessRule = HandednessRule()
    """Right-handed cell vectors."""
    outside_cell: WrapRule = WrapRule()
    """Atoms inside the cell."""
    length_unit: LengthUnitRule = LengthUnitRule()
    """Cells in bohr."""
    overlap: OverlapRule = OverlapRule()
    """Atoms on top of each other."""
    declared: DeclaredRule = DeclaredRule()
    """Declared formula, atom count and volume."""
    charge: ChargeRule = ChargeRule()
    """Oxidation states that do not add up."""
    sentinel: SentinelRule = SentinelRule()
    """-999 and other missing values."""
    unit: UnitRule = UnitRule()
    """Units of known properties."""
    range: RangeRule = RangeRule()
    """Impossible values."""
    poisson_ratio: PoissonRule = PoissonRule()
    """Moduli that contradict each other."""

    def enabled(self) -> Iterator[Rule]:
        """Yield the enabled rules in order."""
        for key in type(self).model_fields:
            rule = getattr(self, key)
            if rule.enabled:
                yield rule


class CurationRecipe(Recipe):
    """All that curation does; every field can stand in a YAML file."""

    rules: RulesRecipe = RulesRecipe()
    """Checks of single records."""
    methods: MethodsRecipe = MethodsRecipe()
    """Values of different methods."""
    attach: AttachRecipe = AttachRecipe()
    """Structures for table rows."""
    merge: MergeRecipe = MergeRecipe()
    """Duplicates and contradictions."""
    outliers: OutlierRecipe = OutlierRecipe()
    """Values that do not fit their chemistry."""

    def build(self) -> partial[Entry]:
        """Return the check of one record, a function of an entry."""
        return partial(check, rules=self.rules)


def check(entry: Entry, rules: RulesRecipe) -> Entry:
    """Apply the record rules to one entry."""
    for rule in rules.enabled():
        entry = rule.apply(entry)
    return entry
