"""Candidates by ordering an alloy: every derivative cell of a parent up to a size.

The enumeration of symmetry-distinct orderings is that of G. L. W. Hart and R. W.
Forcade, Phys. Rev. B 77, 224115 (2008) and 80, 014120 (2009), as icet implements it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from matdisco.candidates.base import CandidateRecipe, SizeEstimate
from matdisco.elements import check_elements
from matdisco.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from ase import Atoms

    from matdisco.crystal import Crystal

SITES = {"sc": 1, "fcc": 1, "bcc": 1, "hcp": 2, "diamond": 2}
"""Ideal lattices, with the atoms of their primitive cells."""


class OrderingCandidates(CandidateRecipe):
    """All symmetry-distinct orderings on a lattice or on a parent crystal."""

    kind: Literal["orderings"] = "orderings"
    lattice: Literal["sc", "fcc", "bcc", "hcp", "diamond"] | None = None
    """An ideal lattice on whose every site ``elements`` mix."""
    elements: tuple[str, ...] = ()
    """What mixes on the ideal lattice."""
    parent: str | None = None
    """Or a structure file with one crystal. Its partly occupied sites give what
    mixes where; ``mix`` gives it for ordered crystals."""
    mix: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Element of the parent → elements that may sit on its sites."""
    max_cells: int = Field(4, ge=1, le=20)
    """Largest cell, in primitive cells of the parent."""
    fractions: Mapping[str, tuple[float, float]] = Field(default_factory=dict)
    """Least and largest share of an element among all atoms; enumeration within it is
    quicker than ``where`` afterwards."""
    volume: Literal["additive", "bonds"] = "additive"
    """Starting volume, see ``kind: prototypes``."""
    volume_scale: float = Field(1.0, gt=0.3, lt=3.0)
    """Factor on the starting volume."""

    @field_validator("elements")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_elements(value)

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
        return self

    @override
    def own_space(self) -> tuple[str, ...] | None:
        return tuple(sorted(self.elements)) if self.lattice else None

    @override
    def title(self) -> str:
        return f"orderings-{self.lattice or 'parent'}"

    @override
    def size(self) -> SizeEstimate:
        """Bound the number: labellings of all cells, equal ones by shifts left out."""
        if self.lattice is not None:
            choices = [len(self.elements)] * SITES[self.lattice]
        else:
            _, symbols = self._parent()
            choices = [len(s) for s in symbols]
        count, atoms = 0, 0
        for n in range(1, self.max_cells + 1):
            labellings = 1
            for k in choices:
                labellings *= k**n
            # Shifts by lattice vectors join up to n labellings; pure ones stay alone.
            bound = _cells(n) * (labellings // n + max(choices))
            count += bound
            atoms += bound * n * len(choices)
        return SizeEstimate(count, False, atoms / count)

    @override
    def generate(self) -> Iterator[Crystal]:
        from matdisco.candidates.volume import prescaled
        from matdisco.crystal import Crystal

        try:
            from icet.tools import enumerate_structures
        except ImportError as error:
            raise MissingExtra("icet", "generators") from error
        primitive, symbols = self._parent()
        cells = range(1, self.max_cells + 1)
        limits = {k: tuple(v) for k, v in self.fractions.items()} or None
        seen: dict[str, int] = {}
        found = enumerate_structures(primitive, cells, symbols, limits)
        for atoms in _quietly(found):
            plain = Crystal.from_atoms(atoms, "ordering")
            structure = prescaled(plain.structure, self.volume, self.volume_scale)
            stem = f"{plain.formula}.{self.lattice or 'ordering'}"
            seen[stem] = seen.get(stem, 0) + 1
            source = {"parent": self.lattice or str(self.parent)}
            yield Crystal(f"{stem}-{seen[stem]:04d}", structure, source=source)

    def _parent(self) -> tuple[Atoms, list[list[str]]]:
        """Return the primitive cell, and the elements that may sit on each site."""
        if self.lattice is not None:
            from ase.build import bulk

            cell = {"hcp": {"a": 3.0, "c": 3.0 * (8 / 3) ** 0.5}}
            settings = cell.get(self.lattice, {"a": 4.0})
            atoms = bulk(self.elements[0], self.lattice, **settings)
            return atoms, [list(self.elements)] * len(atoms)
        return self._from_file()

    def _from_file(self) -> tuple[Atoms, list[list[str]]]:
        from matdisco.candidates.sources import known_crystals
        from matdisco.crystal import Crystal

        assert self.parent is not None
        found = list(known_crystals(self.parent, "candidates.parent"))
        if len(found) != 1:
            raise ConfigError(
                f"candidates.parent: expected one crystal in {self.parent}, found "
                f"{len(found)}"
            )
        structure = found[0].structure.get_primitive_structure()
        symbols: list[list[str]] = []
        for site in structure:
            own = sorted({s.symbol for s in site.species})
            mixed = [list(self.mix[e]) for e in own if e in self.mix]
            symbols.append(sorted({e for m in mixed for e in m}) if mixed else own)
        if all(len(s) == 1 for s in symbols):
            raise ConfigError(
                f"candidates.parent: nothing mixes in {self.parent}: it has no partly "
                "occupied site; say with mix what may sit where, such as "
                "mix: {Ti: [Ti, Zr]}"
            )
        cell = structure.lattice.matrix
        plain = Crystal.from_arrays(
            "parent", cell, [s[0] for s in symbols], structure.frac_coords
        )
        return plain.to_atoms(), symbols


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
