"""Rules that look at the composition alone: charges and electronegativity."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from matdisco.screening.base import Finding, ScreeningRule, element_counts
from matdisco.screening.oxidation import NONMETALS, Balance, balance, is_alloy

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


class _OxidationRule(ScreeningRule):
    metal_rich: float = Field(0.2, ge=0, le=1)
    """Share of non-metal atoms up to which a compound is a metal (carbides, suboxides,
    hydrides such as Pd5TlSe, Ag3Se) and is not judged. Compounds of metals and
    metalloids alone are never judged."""

    def _balance(self, crystal: Crystal) -> Balance | None:
        counts = element_counts(crystal)
        if len(counts) < 2 or is_alloy(tuple(counts)):
            return None
        nonmetal = sum(n for e, n in counts.items() if e in NONMETALS)
        if nonmetal <= self.metal_rich * sum(counts.values()):
            return None
        result = balance(counts)
        return result if result.known else None


class ChargeBalanceRule(_OxidationRule):
    """Some choice of known oxidation states adds up to zero."""

    name: ClassVar[str] = "charge_balance"

    @override
    def find(self, crystal: Crystal) -> Finding | None:
        """Object to compounds that no choice of oxidation states makes neutral."""
        result = self._balance(crystal)
        if result is None or result.neutral:
            return None
        return self._finding(
            f"expected oxidation states that add up to zero, found none for "
            f"{crystal.formula}"
        )


class ElectronegativityRule(_OxidationRule):
    """In some neutral choice no cation is more electronegative than an anion."""

    name: ClassVar[str] = "electronegativity"
    slack: float = Field(0.2, ge=0)
    """Pauling units by which a cation may exceed an anion: phosphides and hydrides of
    platinum metals differ by up to 0.1 the wrong way."""

    @override
    def find(self, crystal: Crystal) -> Finding | None:
        """Object to neutral compounds whose charges run against electronegativity."""
        result = self._balance(crystal)
        if result is None or not result.neutral or result.margin >= -self.slack:
            return None
        states = ", ".join(f"{e} {q:+.3g}" for e, q in result.states.items())
        return self._finding(
            f"expected anions to be the more electronegative, but in the best neutral "
            f"choice ({states}) a cation exceeds an anion by {-result.margin:.2f}",
            margin=round(result.margin, 3),
            states={e: round(q, 3) for e, q in result.states.items()},
        )
