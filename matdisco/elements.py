"""Element symbols and a few facts about them, without importing pymatgen."""

from __future__ import annotations

from collections.abc import Sequence

from matdisco.recipe import nearest

_IN_ORDER = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn
Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La
Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po
At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg
Cn Nh Fl Mc Lv Ts Og
"""
SYMBOLS: tuple[str, ...] = tuple(_IN_ORDER.split())
"""Symbols in order of atomic number, hydrogen first."""


def check_elements(symbols: Sequence[str]) -> tuple[str, ...]:
    """Return the symbols, each known and given once.

    Raises:
        ValueError: an unknown or repeated symbol (a pydantic validator's error).
    """
    for symbol in symbols:
        if symbol not in SYMBOLS:
            raise ValueError(
                f"unknown element {symbol!r}{nearest(symbol.capitalize(), SYMBOLS)}"
                if len(symbol) < 3
                else f"unknown element {symbol!r}; expected a symbol such as 'Ti'"
            )
    double = {s for s in symbols if list(symbols).count(s) > 1}
    if double:
        raise ValueError(f"element {', '.join(sorted(double))} is given twice")
    return tuple(symbols)
