"""Whether the oxidation states of a compound can add up to zero.

Every element takes one of its known oxidation states, or two of one sign side by side
(Fe3O4 holds Fe2+ and Fe3+). Known means reported more than five times in the ICSD, see
``facts.yaml``. The rule of electronegativity order is that of D. W. Davies et al.,
Chem 1, 617 (2016): no cation may be more electronegative than an anion.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise, product
from math import gcd, inf
from typing import NamedTuple

from matdisco.screening.facts import fact

NONMETALS = frozenset(
    [
        "H",
        "He",
        "C",
        "N",
        "O",
        "F",
        "Ne",
        "P",
        "S",
        "Cl",
        "Ar",
        "Se",
        "Br",
        "Kr",
        "I",
        "Xe",
        "Rn",
    ]
)  # pymatgen's division: neither metals nor metalloids
LARGEST = 60
"""Atoms per formula unit above which amounts are not told apart (a mixture of two
states then reaches any sum between theirs in steps that cannot matter)."""


class Balance(NamedTuple):
    """How the charges of a compound can add up."""

    neutral: bool
    """Some assignment is neutral."""
    margin: float
    """Pauling electronegativity of the least electronegative anion minus that of the
    most electronegative cation, in the neutral assignment where it is largest (a search
    stops at 0); -inf where nothing is neutral, +inf where a value is unknown."""
    states: Mapping[str, float]
    """Mean oxidation states in that assignment; empty if there is none."""
    known: bool
    """Every element has known oxidation states."""


def is_alloy(symbols: frozenset[str] | tuple[str, ...]) -> bool:
    """Tell whether all elements are metals or metalloids.

    Oxidation states say little about such compounds: they are not judged by them.

    >>> is_alloy(("Ni", "Ti")), is_alloy(("Ni", "O"))
    (True, False)
    """
    return not set(symbols) & NONMETALS


def balance(counts: Mapping[str, int]) -> Balance:
    """Search the oxidation states of a compound.

    Args:
        counts: atoms of each element; any multiple of the formula unit.

    >>> balance({"Fe": 3, "O": 4}).margin > 0, balance({"Na": 1, "Cl": 2}).neutral
    (True, False)
    """
    unit = gcd(*counts.values())
    return _balance(tuple(sorted((e, n // unit) for e, n in counts.items())))


@lru_cache(maxsize=100_000)
def _balance(counts: tuple[tuple[str, int], ...]) -> Balance:
    symbols = [e for e, _ in counts]
    known = all(fact("oxidation_states", e) for e in symbols)
    best = Balance(False, -inf, {}, known)
    if not known or len(counts) < 2:
        return best
    options = [_sums(e, n) for e, n in counts]
    # The last element is looked up, not looped over.
    last: dict[int, list[tuple[int, int]]] = {}
    for total, low, high in options[-1]:
        last.setdefault(total, []).append((low, high))
    for combination in product(*options[:-1]):
        remainder = -sum(total for total, *_ in combination)
        for ends in last.get(remainder, ()):
            states = [(low, high) for _, low, high in combination] + [ends]
            if all(low == high == 0 for low, high in states):
                continue
            margin = _margin(symbols, states)
            if margin > best.margin:
                totals = [t for t, *_ in combination] + [remainder]
                shared = zip(counts, totals, strict=True)
                mean = {e: total / n for (e, n), total in shared}
                best = Balance(True, margin, mean, True)
            if best.margin >= 0:
                return best
    return best


def _sums(symbol: str, n: int) -> list[tuple[int, int, int]]:
    """Return (charge of all n atoms, lower state, higher state), plain ones first."""
    states = fact("oxidation_states", symbol)
    plain = [(n * q, q, q) for q in states]
    mixed = [
        (k * a + (n - k) * b, a, b)
        for a, b in pairwise(states)
        if a * b > 0
        for k in range(1, min(n, LARGEST))
    ]
    return plain + mixed


def _margin(symbols: list[str], states: list[tuple[int, int]]) -> float:
    chi = [fact("electronegativity", e) for e in symbols]
    cations = [x for x, (_, high) in zip(chi, states, strict=True) if high > 0]
    anions = [x for x, (low, _) in zip(chi, states, strict=True) if low < 0]
    if None in cations or None in anions:
        return inf  # unknown is no reason to refuse
    return float(min(anions) - max(cations))
