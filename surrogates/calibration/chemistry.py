"""Groups of crystals in which errors are alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matdisco.crystal import Crystal

_ANIONS = {
    "F": "fluoride", "Cl": "halide", "Br": "halide", "I": "halide", "O": "oxide",
    "S": "chalcogenide", "Se": "chalcogenide", "Te": "chalcogenide", "N": "nitride",
    "P": "pnictide", "As": "pnictide", "C": "carbide", "B": "boride", "H": "hydride",
}  # fmt: skip
"""Ordered as cations see them: the first that a crystal holds names its class."""


def chemistry(crystals: Sequence[Crystal]) -> list[str]:
    """Return the class of each crystal by its anions, for Mondrian intervals.

    ``oxide``, ``nitride``, ``oxide-nitride`` and so on; ``intermetallic`` without any.
    """
    return [anion_class(crystal.elements) for crystal in crystals]


def anion_class(elements: Collection[str]) -> str:
    """Return the class of a set of element symbols.

    >>> [anion_class(e) for e in (["Sr", "Ti", "O"], ["O", "N", "Ta"], ["Al", "Ni"])]
    ['oxide', 'oxide-nitride', 'intermetallic']
    """
    held = [kind for symbol, kind in _ANIONS.items() if symbol in elements]
    return "-".join(dict.fromkeys(held)) or "intermetallic"


def anions(amounts: Mapping[str, float]) -> str:
    """Return the elements that are anions in most compounds, and their tenths.

    Args:
        amounts: symbol → atoms.

    >>> [anions(a) for a in ({"Ta": 1, "O": 1, "N": 2}, {"Ti": 1, "O": 2}, {"Al": 1})]
    ['N7-O3', 'O10', '']
    """
    held = {symbol: amounts[symbol] for symbol in sorted(_ANIONS.keys() & amounts)}
    total = sum(held.values())
    return "-".join(f"{e}{10 * n / total:.0f}" for e, n in held.items())
