"""How far the charges of a compound are from adding up, in numbers to learn from.

Compounds whose common oxidation states add up to zero are the ones that have gaps, and
most of those that are stable; of 7,572 perovskites 31 % are neutral by this count, and
they hold 68 of the 76 widest gaps (docs/deciding.md). Screening with
:mod:`matdisco.screening.oxidation` asks for any known states, mixed ones too, as it
must not throw away what exists; here what is common counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from matdisco.crystal import Crystal
from surrogates.featurizers.elements import COLUMNS, raw_table

NAMES: tuple[str, ...] = ("neutral", "charge", "surplus")
"""Some choice of one common oxidation state per element adds up to zero (1 or 0); the
least total charge, without sign; and how far the valence electrons of metals are from
the number that closes the shells of nonmetals. The last two per atom."""
_DIGITS = 5  # of a charge per atom: sums that differ by less are one
_NEUTRAL = 1e-4  # per atom; the least charge of a cell of 400 atoms is 2.5e-3


def charge_features(crystals: Sequence[Crystal]) -> np.ndarray:
    """Return features, shape (n, len(NAMES)); from composition alone, never NaN."""
    amounts = [c.composition.get_el_amt_dict() for c in crystals]
    return charge_table(amounts)


def charge_table(amounts: Sequence[Mapping[str, float]]) -> np.ndarray:
    """Return the same for symbol → atoms of each compound, whole or fractional."""
    rows = [_row(tuple(sorted(a.items()))) for a in amounts]
    return np.array(rows, dtype=float).reshape(len(rows), len(NAMES))


def charge(amounts: Mapping[str, float]) -> float:
    """Return the least total charge per atom, in elementary charges.

    Each element takes one of its common oxidation states on all its atoms.

    >>> charge({"Sr": 1, "Ti": 1, "O": 3}), charge({"Na": 1, "Ti": 1, "O": 3})
    (0.0, 0.2)
    """
    total = sum(amounts.values())
    sums = {0.0}
    for symbol, n in amounts.items():
        steps = [n / total * q for q in oxidation_states(symbol)]
        sums = {round(s + step, _DIGITS) for s in sums for step in steps}
    return min(map(abs, sums))


@cache
def oxidation_states(symbol: str) -> tuple[int, ...]:
    """Return the common oxidation states, else all known ones, else zero."""
    from pymatgen.core import Element

    element = Element(symbol)
    return element.common_oxidation_states or element.oxidation_states or (0,)


@cache
def holes(symbol: str) -> int:
    """Return the electrons that an element of groups 15 to 17 takes up to be closed.

    >>> holes("O"), holes("Ti")
    (2, 0)
    """
    from pymatgen.core import Element

    group = Element(symbol).group
    return 18 - group if 15 <= group <= 17 else 0


@cache
def valence_electrons(symbol: str) -> float:
    """Return the valence electrons that an element without holes can give."""
    from pymatgen.core import Element

    if holes(symbol):
        return 0.0
    columns = [COLUMNS.index(f"valence_{k}") for k in "spdf"]
    return float(raw_table()[Element(symbol).Z][columns].sum())


@cache
def _row(amounts: tuple[tuple[str, float], ...]) -> tuple[float, ...]:
    total = sum(n for _, n in amounts)
    left = charge(dict(amounts))
    taken = sum(n * holes(e) for e, n in amounts) / total
    given = sum(n * valence_electrons(e) for e, n in amounts) / total
    return float(left < _NEUTRAL), left, abs(given - taken)
