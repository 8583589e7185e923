"""Where: conditions on the composition of candidates, for every source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import gcd

from pydantic import Field, field_validator
from typing_extensions import override

from matdisco.elements import check_elements
from matdisco.recipe import Recipe


class Where(Recipe):
    """What a candidate must be to stay; all conditions hold together."""

    elements: tuple[str, ...] | None = None
    """The chemical space: no element besides these."""
    must_contain: tuple[str, ...] = ()
    """All of these elements."""
    contains_any: tuple[str, ...] = ()
    """At least one of these elements."""
    never: tuple[str, ...] = ()
    """None of these elements."""
    components: tuple[int, ...] | None = None
    """Allowed numbers of different elements."""
    min_atoms: int = Field(1, ge=1)
    """Fewest atoms in the cell."""
    max_atoms: int | None = Field(None, ge=1)
    """Most atoms in the cell."""
    formulas: tuple[str, ...] = ()
    """Allowed stoichiometries without elements, such as ``AB3`` (A3B is the same)."""
    fractions: Mapping[str, tuple[float, float]] = Field(default_factory=dict)
    """Least and largest atomic fraction of elements, for example ``O: [0.5, 0.7]``."""
    balanced: bool = False
    """Only compounds whose known oxidation states can add up to zero; unlike the
    screening rule it lets no alloy pass."""

    @field_validator("elements", "must_contain", "contains_any", "never")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else check_elements(value)

    @field_validator("formulas")
    @classmethod
    def _anonymous(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            _pattern(text)
        return value

    @field_validator("fractions")
    @classmethod
    def _ranges(
        cls, value: Mapping[str, tuple[float, float]]
    ) -> Mapping[str, tuple[float, float]]:
        check_fractions(value)
        return value

    def allows(self, counts: Mapping[str, int]) -> bool:
        """Tell whether a cell with these atoms of each element may stay.

        >>> Where(formulas=("A3B",), never=("Pb",)).allows({"Ti": 2, "Ni": 6})
        True
        """
        return self.objection(counts) is None

    def allows_elements(self, symbols: tuple[str, ...]) -> bool:
        """Tell whether the set of elements alone is allowed."""
        return self._objection_to_elements(set(symbols)) is None

    def objection(self, counts: Mapping[str, int]) -> str | None:
        """Say which condition a cell with these atoms does not meet; None: all are met.

        >>> Where(fractions={"Cu": (0, 0.5)}).objection({"Cu": 3, "Au": 1})
        'fractions: Cu is 0.75 of the atoms, allowed are 0 to 0.5'
        """
        objection = self._objection_to_elements(set(counts))
        if objection is not None:
            return objection
        n = sum(counts.values())
        if n < self.min_atoms:
            return f"min_atoms: {n} atoms, fewer than {self.min_atoms}"
        if self.max_atoms is not None and n > self.max_atoms:
            return f"max_atoms: {n} atoms, more than {self.max_atoms}"
        objection = outside_fractions(counts, self.fractions)
        if objection is not None:
            return objection
        if self.formulas and _shape(counts.values()) not in map(
            _pattern, self.formulas
        ):
            return f"formulas: not of the form {', '.join(self.formulas)}"
        if self.balanced:
            from matdisco.screening.oxidation import balance

            if not balance(counts).neutral:
                return "balanced: no known oxidation states add up to zero"
        return None

    def _objection_to_elements(self, mine: set[str]) -> str | None:
        if self.elements is not None and not mine <= set(self.elements):
            foreign = _named(mine - set(self.elements))
            return f"elements: {foreign} besides {_named(self.elements)}"
        if not set(self.must_contain) <= mine:
            return f"must_contain: no {_named(set(self.must_contain) - mine)}"
        if self.contains_any and not set(self.contains_any) & mine:
            return f"contains_any: none of {_named(self.contains_any)}"
        if set(self.never) & mine:
            return f"never: {_named(set(self.never) & mine)}"
        return outside_components(len(mine), self.components)

    @override
    def __hash__(self) -> int:
        return hash(self.digest())


def outside_components(n: int, allowed: tuple[int, ...] | None) -> str | None:
    """Say that ``n`` different elements are not among the allowed numbers, or None."""
    if allowed is None or n in allowed:
        return None
    numbers = ", ".join(map(str, allowed))
    return f"components: {n} different elements, allowed are {numbers}"


def check_fractions(fractions: Mapping[str, tuple[float, float]]) -> None:
    """Refuse what are no least and largest shares of elements.

    Raises:
        ValueError: an unknown element, or no two numbers from 0 to 1 in order.
    """
    check_elements(tuple(fractions))
    for symbol, (low, high) in fractions.items():
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"fractions.{symbol}: expected two numbers from 0 to 1, the lower "
                f"one first, got {[low, high]}"
            )


def outside_fractions(
    counts: Mapping[str, int], fractions: Mapping[str, tuple[float, float]]
) -> str | None:
    """Say which element's atomic fraction lies outside its limits, or None.

    Args:
        counts: atoms of each element.
        fractions: element → least and largest atomic fraction, 0 to 1.
    """
    n = sum(counts.values())
    for symbol, (low, high) in fractions.items():
        share = counts.get(symbol, 0) / n
        if not low - 1e-9 <= share <= high + 1e-9:
            return (
                f"fractions: {symbol} is {share:.3g} of the atoms, allowed are "
                f"{low:.3g} to {high:.3g}"
            )
    return None


def _named(symbols: Iterable[str]) -> str:
    return ", ".join(sorted(symbols))


def _shape(amounts: object) -> tuple[int, ...]:
    numbers = sorted(int(n) for n in amounts)  # type: ignore[attr-defined]
    unit = gcd(*numbers)
    return tuple(n // unit for n in numbers)


def _pattern(text: str) -> tuple[int, ...]:
    parts = re.findall(r"([A-Z])(\d*)", text)
    letters = [letter for letter, _ in parts]
    if not parts or "".join(a + b for a, b in parts) != text:
        raise ValueError(
            f"formulas: expected letters with whole amounts such as 'AB3', got {text!r}"
        )
    if len(set(letters)) != len(letters):
        raise ValueError(
            f"formulas: a letter stands twice in {text!r}; write it once, with its "
            "whole amount (letters stand for any element)"
        )
    return _shape(int(n or 1) for _, n in parts)
