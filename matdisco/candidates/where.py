"""Where: conditions on the composition of candidates, for every source."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
        check_elements(tuple(value))
        for symbol, (low, high) in value.items():
            if not 0 <= low <= high <= 1:
                raise ValueError(
                    f"fractions.{symbol}: expected two numbers from 0 to 1, the lower "
                    f"one first, got {[low, high]}"
                )
        return value

    def allows(self, counts: Mapping[str, int]) -> bool:
        """Tell whether a cell with these atoms of each element may stay.

        >>> Where(formulas=("A3B",), never=("Pb",)).allows({"Ti": 2, "Ni": 6})
        True
        """
        n = sum(counts.values())
        if not self.allows_elements(tuple(counts)):
            return False
        if n < self.min_atoms or (self.max_atoms is not None and n > self.max_atoms):
            return False
        for symbol, (low, high) in self.fractions.items():
            if not low - 1e-9 <= counts.get(symbol, 0) / n <= high + 1e-9:
                return False
        if self.formulas and _shape(counts.values()) not in map(
            _pattern, self.formulas
        ):
            return False
        if self.balanced:
            from matdisco.screening.oxidation import balance

            return balance(counts).neutral
        return True

    def allows_elements(self, symbols: tuple[str, ...]) -> bool:
        """Tell whether the set of elements alone is allowed."""
        mine = set(symbols)
        if self.elements is not None and not mine <= set(self.elements):
            return False
        if not set(self.must_contain) <= mine or set(self.never) & mine:
            return False
        if self.contains_any and not set(self.contains_any) & mine:
            return False
        return self.components is None or len(mine) in self.components

    @override
    def __hash__(self) -> int:
        return hash(self.digest())


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
