"""Objectives: what a campaign looks for, as recipes without heavy imports.

The arithmetic that turns predictions into utilities is in
:mod:`campaigns.utility`.
"""

from __future__ import annotations

import builtins
from typing import Annotated, Literal

from pydantic import Field, model_validator

from campaigns.fronts.recipe import FrontObjective
from matdisco.properties import check_unit, get
from matdisco.recipe import Recipe


class HullObjective(Recipe):
    """Find phases on, or close to, the convex hull of a chemical space.

    Evaluations give energies; distances to the hull follow from all of them and
    are worked out again whenever a new phase moves the hull.
    """

    kind: Literal["energy_above_hull"] = "energy_above_hull"
    near: float = Field(0.025, ge=0, le=1)
    """eV/atom; phases this close above the hull are listed as nearly stable.
    0.025 is about kT at room temperature."""

    @property
    def label(self) -> str:
        """The evaluator's label that is needed."""
        return "energy_per_atom"

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of the evaluator that are needed."""
        return (self.label,)

    @property
    def target(self) -> str:
        """The property that the surrogate learns."""
        return "compressed_formation_energy"

    @property
    def headline(self) -> str:
        """The property that tables and plots show."""
        return "energy_above_hull"


class PropertyObjective(Recipe):
    """Minimise or maximise a property, or bring it into a range."""

    kind: Literal["property"] = "property"
    property: str
    """Which label of the evaluator."""
    goal: Literal["minimise", "maximise", "target"]
    """What is wanted of it."""
    target_range: tuple[float, float] | None = None
    """Lowest and highest wanted value, in ``unit``; only for ``goal: target``."""
    unit: str | None = None
    """Unit of ``target_range``; the property's own when not given."""

    @model_validator(mode="after")
    def _consistent(self) -> PropertyObjective:
        if (self.goal == "target") != (self.target_range is not None):
            raise ValueError(
                "target_range: expected with goal: target, and only then, got "
                f"goal: {self.goal} and target_range: {self.target_range}"
            )
        if self.target_range and self.target_range[0] >= self.target_range[1]:
            raise ValueError(
                f"target_range: expected [low, high], got {list(self.target_range)}"
            )
        check_unit(self.property, self.unit)
        return self

    @builtins.property
    def label(self) -> str:
        """The evaluator's label that is needed."""
        return self.property

    @builtins.property
    def labels(self) -> tuple[str, ...]:
        """All labels of the evaluator that are needed."""
        return (self.property,)

    @builtins.property
    def target(self) -> str:
        """The property that the surrogate learns."""
        return self.property

    @builtins.property
    def headline(self) -> str:
        """The property that tables and plots show."""
        return self.property


AnyObjective = Annotated[
    HullObjective | PropertyObjective | FrontObjective, Field(discriminator="kind")
]
"""Every objective, chosen by ``kind``."""


def target_range(objective: PropertyObjective) -> tuple[float, float]:
    """Return the wanted range in the property's own unit."""
    from matdisco.properties import convert

    assert objective.target_range is not None
    own = get(objective.property).unit
    low, high = objective.target_range
    if objective.unit is None or objective.unit == own:
        return low, high
    return convert(low, objective.unit, own), convert(high, objective.unit, own)
