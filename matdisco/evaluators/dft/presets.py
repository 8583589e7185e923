"""Settings by purpose, and the cutoffs below which a stress means nothing.

A plane-wave basis of fixed cutoff grows with the cell; the stress of a basis that is
too small therefore pulls the cell together (Pulay stress; G. P. Francis and M. C.
Payne, J. Phys.: Condens. Matter 2, 4395 (1990)). Energies at several volumes err much
less. Cutoffs here were found by computing stress against cutoff with GPAW's PAW sets:
MgO +54 GPa at 400 eV, +14 at 500, -0.5 at 600, -5.4 at 800.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from matdisco.elements import SYMBOLS

Purpose = Literal["screen", "relax", "accurate"]

_HARD = frozenset({"N", "O", "F"})
_3D = frozenset(SYMBOLS[20:30])  # Sc to Zn
_4F = frozenset(SYMBOLS[56:71])
FOR_STRESS: Mapping[str, float] = {
    **dict.fromkeys(SYMBOLS, 400.0),
    **dict.fromkeys(("B", "C"), 600.0),
    **dict.fromkeys(_3D | _4F, 700.0),
    **dict.fromkeys(_HARD, 800.0),
}
"""eV; smallest cutoff with which GPAW may relax a cell by stress, per element."""
FOR_VOLUME: Mapping[str, float] = {
    **dict.fromkeys(SYMBOLS, 300.0),
    **dict.fromkeys(("B", "C"), 450.0),
    **dict.fromkeys(_3D | _4F, 450.0),
    **dict.fromkeys(_HARD, 600.0),
}
"""eV; the same for an equation of state (at 400 eV MgO's bulk modulus comes out as 621
GPa instead of 155)."""
NORM_CONSERVING: Mapping[str, float] = {"Si": 408.0, "Na": 816.0, "Cl": 816.0}
"""eV; cutoffs at which the packaged norm-conserving pseudopotentials agree with GPAW
in pressure within 0.3 GPa. Only these three were compared with a second code."""
MAGNETIC = frozenset({"Cr", "Mn", "Fe", "Co", "Ni"}) | frozenset(SYMBOLS[57:70])
"""Elements that start with a moment when spin is ``auto``; V, Ti and the 4d and 5d
metals have none in most of their compounds."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What a purpose stands for."""

    factor: float
    """Times the element's cutoff for an equation of state."""
    density: float
    """k-points per Å⁻¹ of reciprocal length (ASE's convention, 2 pi included)."""
    smearing: float
    """Fermi-Dirac width, eV."""
    relax: bool
    """Whether structures are relaxed (by an equation of state) or taken as given."""


PRESETS: Mapping[Purpose, Preset] = {
    # ranks structures that something cheaper has relaxed; energy differences of one
    # composition are right to about 10 meV/atom
    "screen": Preset(1.0, 2.5, 0.1, False),
    # volume and positions; formation energies to a few meV/atom
    "relax": Preset(1.0, 3.5, 0.1, True),
    # everything converged for numbers that go into a paper
    "accurate": Preset(1.4, 5.0, 0.05, True),
}
LADDER: tuple[Mapping[str, object], ...] = (
    # slow mixing tames charge sloshing; a warmer Fermi function tames level crossing
    {"mixing": 0.02, "iterations": 500},
    {"mixing": 0.02, "iterations": 500, "smearing": 0.2, "optimizer": "FIRE"},
)
"""What further tries change after a calculation that did not converge."""


def needed(elements: Iterable[str], table: Mapping[str, float]) -> tuple[float, str]:
    """Return the largest cutoff of ``elements`` in ``table`` (eV) and whose it is."""
    worst = max(elements, key=lambda e: (table[e], e))
    return table[worst], worst
