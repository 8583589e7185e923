"""An objective of several targets, as a recipe without heavy imports."""

from __future__ import annotations

import builtins
from typing import Literal, Self

from pydantic import Field, model_validator

from matdisco.properties import check_unit, convert, get
from matdisco.recipe import Recipe


class Limit(Recipe):
    """Values outside are of no use, however good the other targets are."""

    at_least: float | None = None
    """Lowest value of use, in the target's ``unit``; null sets no limit."""
    at_most: float | None = None
    """Highest value of use, in the target's ``unit``; null sets no limit."""

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise ValueError("limit: expected at_least, at_most or both, got neither")
        if low is not None and high is not None and low >= high:
            raise ValueError(
                f"limit: expected at_least below at_most, got {low:g} and {high:g}"
            )
        return self


class FrontTarget(Recipe):
    """One property: wanted low or high, or only inside a limit."""

    property: str
    """Which label of the evaluator."""
    goal: Literal["minimise", "maximise"] | None = None
    """Which end is wanted; null where the property only has a ``limit``."""
    reference: float | None = None
    """This target's coordinate of the reference point, in ``unit``: answers worse than
    it add no hypervolume. The worst answer of the first round when not given."""
    limit: Limit | None = None
    """Outcome constraint: a candidate counts only where its answer lies inside."""
    unit: str | None = None
    """Unit of ``reference`` and ``limit``; the property's own when not given."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.goal is None and self.limit is None:
            raise ValueError(
                f"{self.property}: expected a goal (minimise, maximise), a limit, or "
                "both, got neither"
            )
        if self.goal is None and self.reference is not None:
            raise ValueError(
                f"{self.property}: reference goes with a goal; a target that only has "
                "a limit is no side of the hypervolume"
            )
        check_unit(self.property, self.unit)
        return self

    @builtins.property
    def sign(self) -> float:
        """Merit is this times the value; 1 for a target without a goal."""
        return -1.0 if self.goal == "minimise" else 1.0

    @builtins.property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value of use, in the property's own unit."""
        if self.limit is None:
            return float("-inf"), float("inf")
        low, high = self.limit.at_least, self.limit.at_most
        return (
            float("-inf") if low is None else self.own(low),
            float("inf") if high is None else self.own(high),
        )

    def own(self, value: float) -> float:
        """Return a value given in ``unit`` in the property's own unit."""
        own = get(self.property).unit
        if self.unit is None or self.unit == own:
            return value
        return convert(value, self.unit, own)

    def describe(self) -> str:
        """Say what is wanted, for people.

        >>> FrontTarget(property="density", limit=Limit(at_most=5)).describe()
        'density (g/cm³) at most 5'
        """
        prop = get(self.property)
        name = f"{prop.label[0].lower()}{prop.label[1:]}"
        words = [f"{self.goal} {name}" if self.goal else name]
        if prop.unit:
            words.append(f"({prop.unit})")
        low, high = self.bounds
        if low > float("-inf"):
            words.append(f"at least {low:g}")
        if high < float("inf"):
            words.append(f"{'and ' if low > float('-inf') else ''}at most {high:g}")
        return " ".join(words)


class FrontObjective(Recipe):
    """Several properties at once: the answers that no other answer beats in all.

    With one goal, and limits on other properties, it is a constrained search for the
    best answer inside the limits.
    """

    kind: Literal["front"] = "front"
    targets: tuple[FrontTarget, ...] = Field(min_length=2, max_length=6)
    """What is wanted of each property; at least one has a goal. The first with a goal
    is shown where there is room for one number."""

    @model_validator(mode="after")
    def _is_a_question(self) -> Self:
        names = [t.property for t in self.targets]
        if len(set(names)) < len(names):
            raise ValueError(f"targets: expected different properties, got {names}")
        if not self.goals:
            raise ValueError(
                "targets: expected a goal (minimise, maximise) for at least one, got "
                "limits only; use kind: property with goal: target for a range"
            )
        if len(self.goals) > 4:
            raise ValueError(
                f"targets: expected at most 4 goals, got {len(self.goals)} (with more, "
                "almost every answer is on the front)"
            )
        if len(self.goals) == 1 and self.goals[0].reference is not None:
            raise ValueError(
                f"targets: {self.goals[0].property}: reference goes with two or more "
                "goals; with one goal the best answer inside the limits is looked for"
            )
        return self

    @property
    def goals(self) -> tuple[FrontTarget, ...]:
        """The targets that are to be minimised or maximised, in order."""
        return tuple(t for t in self.targets if t.goal is not None)

    @property
    def ordered(self) -> tuple[FrontTarget, ...]:
        """All targets, those with a goal first: the order of beliefs and columns."""
        return self.goals + tuple(t for t in self.targets if t.goal is None)

    @property
    def labels(self) -> tuple[str, ...]:
        """The evaluator's labels that are needed."""
        return tuple(t.property for t in self.ordered)

    @property
    def label(self) -> str:
        """The label of the first target with a goal."""
        return self.goals[0].property

    @property
    def target(self) -> str:
        """The property whose surrogate is shown where there is room for one."""
        return self.label

    @property
    def headline(self) -> str:
        """The property that tables show where there is room for one."""
        return self.label

    @property
    def volume_unit(self) -> str:
        """Unit of the hypervolume; of the best value where there is one goal."""
        return " · ".join(u for u in (get(t.property).unit for t in self.goals) if u)

    def describe(self) -> str:
        """Say what is wanted, for people."""
        return "; ".join(t.describe() for t in self.targets)
