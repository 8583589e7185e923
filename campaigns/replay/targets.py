"""What a replay file may say about what is wanted (no heavy imports)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from matdisco.recipe import Recipe


class Limit(Recipe):
    """What a property must be at least or at most, in its target's unit."""

    at_least: float | None = None
    """Lowest value of use."""
    at_most: float | None = None
    """Highest value of use."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("expected one of at_least and at_most")
        return self


class Target(Recipe):
    """One property that is wanted low or high, or must only meet a limit."""

    column: str
    """Column, or label of the dataset."""
    goal: Literal["minimise", "maximise"] | None = None
    """Which end is wanted; left out where there is only a limit."""
    unit: str = ""
    """Unit, for tables."""
    log: bool = False
    """Learn and rank the base-10 logarithm."""
    limit: float | Limit | None = None
    """Outcome constraint: what misses it is of no use, however good the rest is. Beside
    one goal it is ``{at_least: 2.0}`` or ``{at_most: 2.0}``, of a target of its own
    without a goal; of a target of a front it is a number."""
    censored: Literal["drop", "at_limit"] = "drop"
    """Values such as ``<1E-10``: left out of the pool, or taken as the limit."""


class Top(Recipe):
    """The best share of the pool counts as found or not.

    Of what meets the limits, where there are any.
    """

    kind: Literal["top"] = "top"
    fraction: float = Field(0.01, gt=0, lt=0.5)
    """Share of the pool by true value."""


class Threshold(Recipe):
    """Everything beyond a value counts."""

    kind: Literal["threshold"] = "threshold"
    value: float
    """In the target's unit: above it when maximised, below it when minimised."""


class Front(Recipe):
    """The Pareto front of all targets, and the hypervolume it dominates."""

    kind: Literal["front"] = "front"
    reference: tuple[float, ...] | None = None
    """Reference point, one per target in its unit; the median of the pool when not
    given."""


class Stable(Recipe):
    """The phases on the convex hull of the whole pool (target: energy per atom)."""

    kind: Literal["stable"] = "stable"


AnyWanted = Annotated[Top | Threshold | Front | Stable, Field(discriminator="kind")]
