"""Formulas as people type them: read them, repair their case, compare them."""

from __future__ import annotations

import re
import warnings

from pymatgen.core import Composition, Element

_LETTERS = re.compile(r"[a-z]+|[0-9.]+|[()\[\]]", re.ASCII)


def parse(text: str) -> Composition | None:
    """Read a formula, or return None where it is not one.

    >>> parse("Li6.75 La3 Zr1.75 Ta0.25 O12").num_atoms
    23.75
    >>> parse("n.a.") is None
    True
    """
    text = text.strip().strip("'" + '"')
    if not text:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # pymatgen warns about odd electronegativity
            composition = Composition(text)
            known = all(isinstance(e, Element) for e in composition.elements)
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return composition if known and composition.num_atoms > 0 else None


def distance(a: Composition, b: Composition) -> float:
    """Return the largest difference of atomic fractions, 0 to 1.

    >>> distance(Composition("Mg2O2"), Composition("MgO"))
    0.0
    """
    one, other = _fractions(a), _fractions(b)
    return max(abs(one.get(e, 0) - other.get(e, 0)) for e in {*one, *other})


def recased(text: str) -> list[str]:
    """Return every formula that ``text`` can be if its capitals were lost.

    >>> recased("rbbr")
    ['RbBr']
    >>> recased("caau")
    ['CaAu']
    """
    tokens = _LETTERS.findall(text.lower())
    if "".join(tokens) != text.lower().replace(" ", ""):
        return []
    readings = [""]
    for token in tokens:
        if token.isalpha():
            readings = [r + w for r in readings for w in _words(token)]
        else:
            readings = [r + token for r in readings]
    return sorted(
        {r for r in readings if parse(r) is not None}, key=lambda r: (_n(r), r)
    )


def _words(letters: str) -> list[str]:
    """Split a run of letters into element symbols in every possible way."""
    if not letters:
        return [""]
    out = []
    for size in (2, 1):
        symbol = letters[:size].capitalize()
        isotope = symbol in ("D", "T")
        if len(letters) >= size and Element.is_valid_symbol(symbol) and not isotope:
            out += [symbol + rest for rest in _words(letters[size:])]
    return out


def _n(formula: str) -> int:
    return sum(1 for c in formula if c.isupper())


def _fractions(composition: Composition) -> dict[str, float]:
    total = composition.num_atoms
    out: dict[str, float] = {}
    for specie, amount in composition.items():
        out[specie.symbol] = out.get(specie.symbol, 0.0) + float(amount) / total
    return out
