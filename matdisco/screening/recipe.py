"""What a ``screening:`` block may say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from matdisco.recipe import Recipe
from matdisco.screening.base import ScreeningRule
from matdisco.screening.chemistry_rules import (
    ChargeBalanceRule,
    ElectronegativityRule,
)
from matdisco.screening.duplicate_rules import DuplicateRule, NoveltyRule
from matdisco.screening.geometry_rules import DensityRule, DistanceRule
from matdisco.screening.policy import ElementPolicyRule

if TYPE_CHECKING:
    from matdisco.screening.screen import Screen


class ScreeningRecipe(Recipe):
    """Questions to every candidate before it may cost anything."""

    elements: ElementPolicyRule = Field(default_factory=ElementPolicyRule)
    """Barred elements; supply risk, price and abundance."""
    charge_balance: ChargeBalanceRule = Field(default_factory=ChargeBalanceRule)
    """Oxidation states that add up to zero."""
    electronegativity: ElectronegativityRule = Field(
        default_factory=ElectronegativityRule
    )
    """Anions more electronegative than cations."""
    distances: DistanceRule = Field(default_factory=DistanceRule)
    """Contacts of atoms."""
    density: DensityRule = Field(default_factory=DensityRule)
    """Volume beside that of the elements."""
    duplicates: DuplicateRule = Field(default_factory=DuplicateRule)
    """Copies within the pool and of evaluated crystals."""
    novelty: NoveltyRule = Field(default_factory=NoveltyRule)
    """Copies of known materials."""

    def rules(self) -> tuple[ScreeningRule, ...]:
        """Return the rules that look at one crystal and are on, cheapest first."""
        alone = (
            self.elements,
            self.charge_balance,
            self.electronegativity,
            self.density,
            self.distances,
        )
        return tuple(r for r in alone if r.severity != "off")

    def names(self) -> tuple[str, ...]:
        """Return the names of all rules that are on."""
        more = [r.name for r in (self.duplicates,) if r.severity != "off"]
        if self.novelty.severity != "off" and self.novelty.against:
            more.append(self.novelty.name)
        return (*(r.name for r in self.rules()), *more)

    def build(self) -> Screen:
        """Make the screen; reads the reference sets.

        Raises:
            ConfigError: a reference set cannot be read.
        """
        from matdisco.screening.screen import Screen

        return Screen(self)
