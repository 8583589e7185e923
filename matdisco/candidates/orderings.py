"""Candidates by ordering an alloy: every derivative cell of a parent up to a size.

The enumeration of symmetry-distinct orderings is that of G. L. W. Hart and R. W.
Forcade, Phys. Rev. B 77, 224115 (2008) and 80, 014120 (2009), as icet implements it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from matdisco.candidates.base import (
    LOOKED,
    CandidateRecipe,
    Compositions,
    Limits,
    SizeEstimate,
    outside_elements,
    refuse_empty,
)
from matdisco.candidates.sublattices import VACANCY, Parent
from matdisco.candidates.where import Where, check_fractions, outside_fractions
from matdisco.elements import check_elements
from matdisco.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    from matdisco.crystal import Crystal

POSSIBLE = 100_000
"""Compositions that are tried, in a second, to see whether a cell can be as asked."""


class OrderingCandidates(CandidateRecipe):
    """All symmetry-distinct orderings on a lattice or on a parent crystal."""

    kind: Literal["orderings"] = "orderings"
    lattice: Literal["sc", "fcc", "bcc", "hcp", "diamond"] | None = None
    """An ideal lattice on whose every site ``elements`` mix."""
    elements: tuple[str, ...] = ()
    """What mixes on the ideal lattice."""
    parent: str | None = None
    """Or a structure file with one crystal. Its shared and partly occupied sites give
    what mixes where (what is missing to full occupancy is vacancies); ``mix`` gives it
    for ordered crystals."""
    mix: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Element of the parent → elements that may sit on its sites; X is a vacancy."""
    occupancy_tolerance: float | None = Field(0.01, ge=0, le=1)
    """Largest departure from the occupancies in the parent's file, over all sites that
    it fills alike: cells have the composition of the file. null makes every
    composition. Sites that ``mix`` names are always free."""
    max_cells: int = Field(4, ge=1, le=20)
    """Largest cell, in primitive cells of the parent."""
    fractions: Mapping[str, tuple[float, float]] = Field(default_factory=dict)
    """Least and largest share of an element among all atoms; enumeration within it is
    quicker than ``where`` afterwards."""
    volume: Literal["additive", "bonds", "as_given"] = "additive"
    """Starting volume, see ``kind: prototypes``, or that of the parent's file, which
    suits vacancies: the rest of the crystal holds the cell open."""
    volume_scale: float = Field(1.0, gt=0.3, lt=3.0)
    """Factor on the starting volume."""

    @field_validator("elements")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_elements(value)

    @field_validator("mix")
    @classmethod
    def _mixable(
        cls, value: Mapping[str, tuple[str, ...]]
    ) -> Mapping[str, tuple[str, ...]]:
        check_elements(tuple(value))
        for element, symbols in value.items():
            check_elements(tuple(s for s in symbols if s != VACANCY))
            if not set(symbols) - {VACANCY}:
                raise ValueError(
                    f"{element}: expected elements that may sit on its sites, got "
                    f"{list(symbols)}"
                )
        return value

    @field_validator("fractions")
    @classmethod
    def _ranges(
        cls, value: Mapping[str, tuple[float, float]]
    ) -> Mapping[str, tuple[float, float]]:
        check_fractions(value)
        return value

    @model_validator(mode="after")
    def _one_parent(self) -> OrderingCandidates:
        if (self.lattice is None) == (self.parent is None):
            raise ValueError(
                "expected either lattice (with elements) or parent (a structure file), "
                "not both"
            )
        if self.lattice is not None and len(self.elements) < 2:
            raise ValueError(
                f"elements: expected at least two to mix on {self.lattice}, got "
                f"{list(self.elements)}"
            )
        if self.lattice is not None and self.volume == "as_given":
            raise ValueError(
                f"volume: as_given needs a parent file, {self.lattice} has no volume "
                "of its own; give additive or bonds"
            )
        return self

    @override
    def own_space(self) -> tuple[str, ...] | None:
        return tuple(sorted(self.elements)) if self.lattice else None

    @override
    def title(self) -> str:
        return f"orderings-{self.lattice or 'parent'}"

    @override
    def size(self) -> SizeEstimate:
        """Bound the number: labellings of all cells, equal ones by shifts left out.

        Raises:
            ConfigError: no cell can hold what ``fractions`` and ``where`` ask, or icet
                is not installed.
        """
        if find_spec("icet") is None:
            raise MissingExtra("icet", "generators")
        parent = self._parent()
        count, atoms = 0, 0.0
        for n in range(1, self.max_cells + 1):
            labellings = parent.labellings(n, self.occupancy_tolerance)
            if labellings:
                # Shifts by lattice vectors join n labellings; pure ones stay alone.
                pure = max(len(one.symbols) for one in parent.sublattices)
                bound = _cells(n) * (labellings // n + pure)
                count += bound
                atoms += bound * n * parent.mean_atoms()
        if count == 0 or self._impossible(parent, None):
            refuse_empty(0, self.why_none_made())
        if self.where is not None and self._impossible(parent, self.where):
            refuse_empty(0, self.why_nothing())
        return SizeEstimate(count, False, atoms / count)

    def _impossible(self, parent: Parent, where: Where | None) -> bool:
        """Tell whether no cell can meet ``fractions`` and conditions.

        False where more than :data:`POSSIBLE` would have to be tried.
        """
        tried = 0
        for n in range(1, self.max_cells + 1):
            for counts in parent.compositions(n, self.occupancy_tolerance):
                fits = counts and not outside_fractions(counts, self.fractions)
                if fits and (where is None or where.allows(counts)):
                    return False
                tried += 1
                if tried == POSSIBLE:
                    return False
        return True

    @override
    def own_limits(self) -> Limits:
        shares = self._parent().shares(self.occupancy_tolerance)

        def objection(counts: Mapping[str, int]) -> str | None:
            return (
                outside_elements(counts, shares)
                or outside_fractions(counts, shares)
                or outside_fractions(counts, self.fractions)
            )

        return objection

    @override
    def why_none_made(self) -> str:
        parent, cells = self._parent(), range(1, self.max_cells + 1)
        tolerance = self.occupancy_tolerance
        if any(parent.labellings(n, tolerance) for n in cells):
            return (
                f"{self.title()}: no ordering in up to {self.max_cells} primitive "
                "cells has the fractions asked for; widen them, or raise max_cells"
            )
        given = "; ".join(str(s) for s in parent.sublattices if s.shares is not None)
        enough = (n for n in range(1, 101) if parent.labellings(n, tolerance))
        n = next(enough, None)
        return (
            f"no cell of up to {self.max_cells} primitive cells holds the occupancies "
            f"of {self.parent} ({given}) within {tolerance:g}; "
            + ("" if n is None else f"cells of {n} would; ")
            + "raise max_cells or occupancy_tolerance (null: any composition)"
        )

    @override
    def compositions(self) -> Compositions:
        cells = islice(self._cells(), LOOKED + 1)
        found = [Counter(atoms.get_chemical_symbols()) for atoms, _ in cells]
        return found[:LOOKED], len(found) <= LOOKED

    @override
    def generate(self) -> Iterator[Crystal]:
        from matdisco.crystal import Crystal

        seen: dict[str, int] = {}
        for atoms, vacancies in self._cells():
            plain = Crystal.from_atoms(atoms, "ordering")
            stem = f"{plain.formula}.{self.lattice or 'ordering'}"
            seen[stem] = seen.get(stem, 0) + 1
            source: dict[str, Any] = {"parent": self.lattice or str(self.parent)}
            if vacancies:
                source["vacancies"] = vacancies
            name = f"{stem}-{seen[stem]:04d}"
            yield Crystal(name, self._scaled(plain.structure), source=source)

    def _cells(self) -> Iterator[tuple[Atoms, int]]:
        """Yield the ordered cells, and how many sites of each are vacant."""
        try:
            from icet.tools import enumerate_structures
        except ImportError as error:
            raise MissingExtra("icet", "generators") from error
        parent = self._parent()
        limits = parent.restrictions(self.occupancy_tolerance, self.fractions)
        symbols = [parent.allowed(k) for k in parent.kinds]
        cells = range(1, self.max_cells + 1)
        found = enumerate_structures(parent.primitive(), cells, symbols, limits or None)
        for labelled in _quietly(found):
            atoms, vacancies = parent.decode(labelled)
            counts = Counter(atoms.get_chemical_symbols())
            if counts and not outside_fractions(counts, self.fractions):
                yield atoms, vacancies

    def _scaled(self, structure: Structure) -> Structure:
        """Return the structure with the asked starting volume."""
        from matdisco.candidates.volume import prescaled

        if self.volume != "as_given":
            return prescaled(structure, self.volume, self.volume_scale)
        scaled = structure.copy()
        scaled.scale_lattice(structure.volume * self.volume_scale)
        return scaled

    def _parent(self) -> Parent:
        """Return the primitive cell, and what may sit on each site."""
        if self.lattice is None:
            assert self.parent is not None
            return Parent.of(_primitive(self.parent), self.mix, self.parent)
        from ase.build import bulk

        cell = {"hcp": {"a": 3.0, "c": 3.0 * (8 / 3) ** 0.5}}
        settings = cell.get(self.lattice, {"a": 4.0})
        atoms = bulk(self.elements[0], self.lattice, **settings)
        return Parent.ideal(atoms, self.elements)


def _primitive(path: str) -> Structure:
    """Return the primitive cell of the one crystal in a file."""
    from matdisco.candidates.sources import known_crystals

    found = list(known_crystals(path, "candidates.parent"))
    if len(found) != 1:
        raise ConfigError(
            f"candidates.parent: expected one crystal in {path}, found {len(found)}; "
            "give a file with that crystal alone"
        )
    return found[0].structure.get_primitive_structure()


def _quietly(found: Iterator[Atoms]) -> Iterator[Atoms]:
    """Pass on what is found, without the spglib warnings that icet causes."""
    import warnings

    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            atoms = next(found, None)
        if atoms is None:
            return
        yield atoms


def _cells(n: int) -> int:
    """Return how many sublattices of index n a lattice has (Hermite normal forms)."""
    return sum(
        b * (n // (a * b)) ** 2
        for a in range(1, n + 1)
        if n % a == 0
        for b in range(1, n // a + 1)
        if (n // a) % b == 0
    )
