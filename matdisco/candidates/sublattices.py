"""The sites of a parent crystal by what may sit on them, for enumerating orderings.

icet tells sites apart by chemical symbol and limits the amount of a symbol in the whole
cell. So every species of every sublattice is given a symbol of its own, a stand-in:
limits then hold for each sublattice, and a vacancy is one more species, which is taken
out again (:meth:`Parent.decode`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, factorial, floor, prod
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import override

from matdisco.errors import ConfigError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

VACANCY = "X"
"""ASE's symbol of a site without an atom."""
ROUNDING = 0.015
"""Share of a site that may lack without meaning a vacancy: files write thirds as 0.33,
and three of them leave 0.01."""
_SLACK = 1e-9  # on shares, for the last bit


@dataclass(frozen=True)
class Sublattice:
    """The sites of a parent that are occupied alike."""

    symbols: tuple[str, ...]
    """What may sit there; :data:`VACANCY` for nothing."""
    shares: tuple[float, ...] | None
    """How much of the sites each holds, adding up to 1; None leaves it open."""
    sites: int
    """Such sites in the primitive cell."""

    def bounds(self, tolerance: float | None) -> list[tuple[float, float]]:
        """Return the least and largest share of these sites for each symbol."""
        if self.shares is None or tolerance is None:
            n = len(self.symbols)
            return [(0.0, 1.0) if n > 1 else (1.0, 1.0)] * n
        return [(max(0.0, s - tolerance), min(1.0, s + tolerance)) for s in self.shares]

    def labellings(self, n: int, tolerance: float | None) -> int:
        """Count the ways to fill these sites in a cell of n primitive cells."""
        total = self.sites * n
        if self.shares is None or tolerance is None:
            return int(len(self.symbols) ** total)
        return sum(
            factorial(total) // prod(map(factorial, counts))
            for counts in self.amounts(n, tolerance)
        )

    def amounts(self, n: int, tolerance: float | None) -> Iterator[tuple[int, ...]]:
        """Yield how many of each symbol a cell of n primitive cells may hold here."""
        total = self.sites * n
        ranges = [
            range(ceil(total * (low - _SLACK)), floor(total * (high + _SLACK)) + 1)
            for low, high in self.bounds(tolerance)
        ]
        return _splits(total, ranges)

    def vacant(self) -> float:
        """Return the share of these sites without an atom, for estimates."""
        if VACANCY not in self.symbols:
            return 0.0
        if self.shares is None:
            return 1 / len(self.symbols)
        return self.shares[self.symbols.index(VACANCY)]

    @override
    def __str__(self) -> str:
        names = [s.replace(VACANCY, "vacancy") for s in self.symbols]
        if self.shares is None:
            return ", ".join(names)
        parts = [f"{n} {s:.3g}" for n, s in zip(names, self.shares, strict=True)]
        return ", ".join(parts)


@dataclass(frozen=True)
class Parent:
    """A primitive cell and the sublattices of its sites."""

    matrix: np.ndarray
    """Cell vectors in rows, Å, shape (3, 3)."""
    fractional: np.ndarray
    """Positions, shape (n_sites, 3)."""
    kinds: tuple[int, ...]
    """The sublattice of each site."""
    sublattices: tuple[Sublattice, ...]
    """In the order of their first sites."""

    @classmethod
    def of(
        cls, structure: Structure, mix: Mapping[str, tuple[str, ...]], path: str
    ) -> Parent:
        """Read the sublattices off a primitive cell with shared or vacant sites.

        Args:
            structure: the cell.
            mix: element → elements that may sit on its sites, in any share.
            path: the file, for messages.

        Raises:
            ConfigError: one species has every site to itself, or ``mix`` names an
                element that is not there.
        """
        there = {e.symbol for site in structure for e in site.species}
        if foreign := sorted(set(mix) - there):
            raise ConfigError(
                f"candidates.mix: no {', '.join(foreign)} in {path}, which holds "
                f"{', '.join(sorted(there))}"
            )
        filled = [_filling(site.species.items(), mix) for site in structure]
        distinct = list(dict.fromkeys(filled))
        if all(len(symbols) == 1 for symbols, _ in distinct):
            raise ConfigError(
                f"candidates.parent: nothing mixes in {path}: every site is wholly "
                "occupied by one element; say with mix what may sit where, such as "
                "mix: {Ti: [Ti, Zr]}"
            )
        return cls(
            np.array(structure.lattice.matrix),
            np.array(structure.frac_coords),
            tuple(distinct.index(f) for f in filled),
            tuple(Sublattice(*f, filled.count(f)) for f in distinct),
        )

    @classmethod
    def ideal(cls, atoms: Atoms, elements: tuple[str, ...]) -> Parent:
        """Return an ideal lattice on whose every site the elements mix freely."""
        n = len(atoms)
        return cls(
            np.array(atoms.cell),
            atoms.get_scaled_positions(),
            (0,) * n,
            (Sublattice(elements, None, n),),
        )

    @cached_property
    def stand_ins(self) -> dict[tuple[int, str], str]:
        """(sublattice, symbol) → the chemical symbol that stands for it."""
        from ase.data import chemical_symbols

        pairs = [(k, s) for k, one in enumerate(self.sublattices) for s in one.symbols]
        # chemical_symbols[0] is the vacancy, which spglib does not take for an atom
        return dict(zip(pairs, chemical_symbols[1:], strict=False))

    def primitive(self) -> Atoms:
        """Return the cell with a stand-in on each site, so that sublattices differ."""
        from ase import Atoms

        symbols = [self.allowed(k)[0] for k in self.kinds]
        return Atoms(
            symbols, cell=self.matrix, scaled_positions=self.fractional, pbc=True
        )

    def allowed(self, kind: int) -> list[str]:
        """Return the stand-ins that may sit on a site of one sublattice."""
        return [self.stand_ins[kind, s] for s in self.sublattices[kind].symbols]

    def restrictions(
        self, tolerance: float | None, fractions: Mapping[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        """Return stand-in → least and largest share of all sites, where limited.

        Limits on an element that several sublattices hold are left to a look at the
        finished cell.

        Args:
            tolerance: departure from the shares of the file; None for no such limit.
            fractions: element → least and largest share of all atoms.
        """
        n = len(self.kinds)
        limits: dict[str, tuple[float, float]] = {}
        for k, one in enumerate(self.sublattices):
            if one.shares is not None and tolerance is not None:
                for s, (low, high) in zip(
                    one.symbols, one.bounds(tolerance), strict=True
                ):
                    share = one.sites / n
                    limits[self.stand_ins[k, s]] = (low * share, high * share)
        fewest, _ = self._atoms(tolerance)
        for element, (low, high) in fractions.items():
            names = [v for (_, s), v in self.stand_ins.items() if s == element]
            if len(names) == 1:
                before = limits.get(names[0], (0.0, 1.0))
                limits[names[0]] = (
                    max(before[0], low * fewest / n),
                    min(before[1], high),
                )
        return limits

    def shares(self, tolerance: float | None) -> dict[str, tuple[float, float]]:
        """Return element → least and largest share of all atoms."""
        fewest, most = self._atoms(tolerance)
        found: dict[str, tuple[float, float]] = {}
        for one in self.sublattices:
            for s, (low, high) in zip(one.symbols, one.bounds(tolerance), strict=True):
                if s != VACANCY:
                    before = found.get(s, (0.0, 0.0))
                    found[s] = (
                        before[0] + low * one.sites / most,
                        before[1] + high * one.sites / max(fewest, _SLACK),
                    )
        return {s: (low, min(1.0, high)) for s, (low, high) in found.items()}

    def labellings(self, n: int, tolerance: float | None) -> int:
        """Count the ways to fill a cell of n primitive cells."""
        return prod(one.labellings(n, tolerance) for one in self.sublattices)

    def compositions(
        self, n: int, tolerance: float | None
    ) -> Iterator[Mapping[str, int]]:
        """Yield the atoms that a cell of n primitive cells may hold, some twice."""

        def filled(k: int) -> Iterator[Counter[str]]:
            if k == len(self.sublattices):
                yield Counter()
                return
            one = self.sublattices[k]
            for amounts in one.amounts(n, tolerance):
                mine = Counter(dict(zip(one.symbols, amounts, strict=True)))
                for rest in filled(k + 1):
                    yield mine + rest

        for counts in filled(0):
            yield {s: m for s, m in counts.items() if s != VACANCY}

    def mean_atoms(self) -> float:
        """Return the mean number of atoms in a primitive cell."""
        return sum(one.sites * (1 - one.vacant()) for one in self.sublattices)

    def decode(self, atoms: Atoms) -> tuple[Atoms, int]:
        """Put elements for stand-ins; return the atoms, and the number of vacancies."""
        names = {v: s for (_, s), v in self.stand_ins.items()}
        found = atoms.copy()
        found.symbols = [names[s] for s in atoms.get_chemical_symbols()]
        empty = found.numbers == 0
        return found[~empty], int(empty.sum())

    def _atoms(self, tolerance: float | None) -> tuple[float, float]:
        """Return the fewest and the most atoms in a primitive cell."""
        fewest = most = float(len(self.kinds))
        for one in self.sublattices:
            for s, (low, high) in zip(one.symbols, one.bounds(tolerance), strict=True):
                if s == VACANCY:
                    fewest, most = fewest - high * one.sites, most - low * one.sites
        return fewest, most


def _splits(total: int, ranges: Sequence[range]) -> Iterator[tuple[int, ...]]:
    """Yield the ways to split a number into parts within ranges."""
    first, rest = ranges[0], ranges[1:]
    if not rest:
        if total in first:
            yield (total,)
        return
    for part in first:
        for parts in _splits(total - part, rest) if part <= total else ():
            yield (part, *parts)


def _filling(
    species: Iterable[tuple[object, float]], mix: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[float, ...] | None]:
    """Return what may sit on one site, and the share of each (None: open)."""
    amounts: dict[str, float] = {}
    for specie, amount in species:
        symbol = str(getattr(specie, "symbol", specie))
        amounts[symbol] = amounts.get(symbol, 0.0) + float(amount)
    total = sum(amounts.values())
    lacking = 1 - total
    mixed = sorted({e for s in amounts if s in mix for e in mix[s]})
    if mixed:
        return (*mixed, *([VACANCY] if lacking > ROUNDING else [])), None
    if lacking > ROUNDING:
        amounts[VACANCY] = lacking
        total = 1.0
    symbols = (*sorted(set(amounts) - {VACANCY}), *([VACANCY] * (VACANCY in amounts)))
    if len(symbols) == 1:
        return symbols, None
    return symbols, tuple(round(amounts[s] / total, 4) for s in symbols)
