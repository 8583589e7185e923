"""Element policy: what a laboratory, a law or a market does not want.

The facts and their sources are in ``facts.yaml``. An element about which a source says
nothing is told as unknown and rejected only if ``unknown`` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator
from typing_extensions import override

from matdisco.elements import check_elements
from matdisco.screening.base import Finding, ScreeningRule, element_counts
from matdisco.screening.facts import fact, facts

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


class ElementPolicyRule(ScreeningRule):
    """No element that the policy bars, and no mean over its limits."""

    name: ClassVar[str] = "elements"
    radioactive: bool = False
    """Whether elements without a stable isotope are welcome."""
    rohs: bool = True
    """Whether elements restricted by the EU's RoHS directive are welcome."""
    cmr: bool = True
    """Whether elements with carcinogenic, mutagenic or reprotoxic compounds are
    welcome (EU CLP, categories 1A and 1B)."""
    acutely_toxic: bool = True
    """Whether elements with acutely toxic compounds are welcome (EU CLP, 1 to 3)."""
    never: tuple[str, ...] = ()
    """Elements of your own that are not welcome."""
    only: tuple[str, ...] = ()
    """If given, the only elements that are welcome."""
    hhi_production: float | None = Field(None, gt=0, le=10_000)
    """Largest mass-weighted Herfindahl-Hirschman index of production (0 to 10,000);
    competition authorities call 2,500 highly concentrated. No limit when not given."""
    hhi_reserve: float | None = Field(None, gt=0, le=10_000)
    """The same of known reserves."""
    price: float | None = Field(None, gt=0)
    """Highest price of the elements in a compound, US dollars per kg (of 2013)."""
    abundance: float | None = Field(None, gt=0)
    """Least mass fraction of any element in the continental crust, mg/kg."""
    unknown: bool = True
    """Whether elements without a value pass those limits."""

    @field_validator("never", "only")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_elements(value)

    def objection(self, symbol: str) -> str | None:
        """Say why an element is barred whatever the amount, or None."""
        if symbol in self.never:
            return f"{symbol} is on the list of elements never to use"
        if self.only and symbol not in self.only:
            return f"{symbol} is not among the only elements to use"
        welcome = {
            "radioactive": self.radioactive,
            "rohs": self.rohs,
            "cmr": self.cmr,
            "acutely_toxic": self.acutely_toxic,
        }
        for key, allowed in welcome.items():
            value = None if allowed else fact(key, symbol)
            if value:
                detail = "" if value is True else f" ({value})"
                one = facts()[key]
                return f"{symbol}: {one.label}{detail}; {one.source}, {one.dated}"
        if self.abundance is not None:
            value = fact("abundance", symbol)
            if value is None and not self.unknown:
                return f"{symbol}: crustal abundance unknown"
            if value is not None and value < self.abundance:
                return (
                    f"{symbol}: expected at least {self.abundance:g} mg/kg in the "
                    f"crust, found {value:g}"
                )
        return None

    @override
    def find(self, crystal: Crystal) -> Finding | None:
        """Object to barred elements, then to means over a limit."""
        counts = element_counts(crystal)
        for symbol in sorted(counts):
            text = self.objection(symbol)
            if text:
                return self._finding(text, element=symbol)
        for key, limit, unit in (
            ("hhi_production", self.hhi_production, ""),
            ("hhi_reserve", self.hhi_reserve, ""),
            ("price", self.price, " US dollars per kg"),
        ):
            if limit is None:
                continue
            mean, missing = _by_mass(key, counts)
            if missing and not self.unknown:
                return self._finding(
                    f"{key} unknown for {', '.join(missing)}", unknown=missing
                )
            if mean is not None and mean > limit:
                note = f", {', '.join(missing)} left out as unknown" if missing else ""
                return self._finding(
                    f"expected {key} up to {limit:g}{unit}, found {mean:.4g} "
                    f"({facts()[key].source}{note})",
                    **{key: round(mean, 3)},
                )
        return None


def _by_mass(key: str, counts: dict[str, int]) -> tuple[float | None, list[str]]:
    """Return the mass-weighted mean over the known elements, and the unknown ones."""
    from pymatgen.core import Element

    known = {e: n for e, n in counts.items() if fact(key, e) is not None}
    mass = {e: n * float(Element(e).atomic_mass) for e, n in known.items()}
    missing = sorted(set(counts) - set(known))
    if not known:
        return None, missing
    total = sum(fact(key, e) * m for e, m in mass.items())
    return float(total / sum(mass.values())), missing
