"""Crystal: a structure with an identity, trusted labels and a source."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Composition, Lattice, Structure
from typing_extensions import override

from matdisco.errors import DataError
from matdisco.recipe import digest

if TYPE_CHECKING:
    from ase import Atoms

_NO_ELECTRONEGATIVITY = frozenset({"He", "Ne", "Ar"})
DIGITS = 8  # Å and fractional digits kept: below any physics, above float noise


@dataclass(frozen=True, slots=True)
class Label:
    """One value of one property, with all that is needed to trust it."""

    value: float
    """The number, in ``unit``."""
    unit: str
    """Its unit, one that :mod:`matdisco.properties` knows."""
    method: str = ""
    """How it was obtained, for example ``CHGNet 0.3.0 (PBE+U, MP2020)``."""
    sigma: float | None = None
    """One standard deviation in ``unit``; None where nobody knows it."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "value": self.value,
            "unit": self.unit,
            "method": self.method,
            "sigma": self.sigma,
        }


@dataclass(frozen=True)
class Crystal:
    """A crystal structure with its labels and where it came from.

    Lengths are Å and lattice rows are the cell vectors, as in pymatgen and ASE.
    """

    id: str
    """Unique within a dataset or pool."""
    structure: Structure
    """The atoms and their cell; treat it as read-only."""
    labels: Mapping[str, Label] = field(default_factory=dict)
    """Property key to label."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """Plain data on the origin: file, record, prototype, parent, byte hash."""

    @cached_property
    def composition(self) -> Composition:
        """The cell's composition."""
        return self.structure.composition

    @cached_property
    def formula(self) -> str:
        """The reduced formula, elements in order of electronegativity."""
        if not _NO_ELECTRONEGATIVITY.isdisjoint(self.elements):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they come last: that is meant
                return self.composition.reduced_formula
        return self.composition.reduced_formula

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """The element symbols, alphabetical."""
        return tuple(sorted(e.symbol for e in self.composition.elements))

    @property
    def chemical_system(self) -> str:
        """The elements joined by hyphens, for example ``Al-Ni``."""
        return "-".join(self.elements)

    @property
    def n_atoms(self) -> int:
        """Number of sites in the cell."""
        return len(self.structure)

    @cached_property
    def atomic_numbers(self) -> np.ndarray:
        """Atomic numbers, shape (n_atoms,), int64; ordered crystals only.

        Raises:
            DataError: a site is shared by several species.
        """
        if not self.structure.is_ordered:
            raise DataError(
                f"crystal {self.id}: has disordered sites; order it first "
                "(one species on each site is expected here)"
            )
        return np.array([s.specie.Z for s in self.structure], dtype=np.int64)

    @cached_property
    def structure_hash(self) -> str:
        """SHA-256 of cell, species and positions as given (not symmetry-reduced).

        Raises:
            DataError: a cell vector or an atom's position is not a number.
        """
        try:
            return digest(_structure_to_dict(self.structure))
        except ValueError as error:  # JSON has no NaN
            raise DataError(
                f"crystal {self.id}: a cell vector or an atom's position is not a "
                "number"
            ) from error

    def with_labels(self, labels: Mapping[str, Label]) -> Crystal:
        """Return a copy with ``labels`` added to, or replacing, its own."""
        return replace(self, labels={**self.labels, **labels})

    def value(self, key: str) -> float:
        """Return the value of label ``key``.

        Raises:
            DataError: the crystal has no such label.
        """
        if key not in self.labels:
            have = ", ".join(self.labels) or "none"
            raise DataError(f"crystal {self.id}: no label {key!r}; it has: {have}")
        return self.labels[key].value

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; :meth:`from_dict` gives the crystal back."""
        return {
            "id": self.id,
            "structure": _structure_to_dict(self.structure),
            "labels": {k: v.to_dict() for k, v in self.labels.items()},
            "source": dict(self.source),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Crystal:
        """Make a crystal from what :meth:`to_dict` wrote."""
        return cls(
            id=data["id"],
            structure=_structure_from_dict(data["structure"]),
            labels={k: Label(**v) for k, v in data.get("labels", {}).items()},
            source=data.get("source", {}),
        )

    @classmethod
    def from_arrays(
        cls,
        id: str,  # noqa: A002 - the field's own name
        cell: np.ndarray,
        species: Sequence[str] | Sequence[int],
        fractional: np.ndarray,
        **rest: Any,
    ) -> Crystal:
        """Make a crystal from a (3, 3) cell in Å and (n, 3) fractional positions."""
        structure = Structure(Lattice(cell), [*species], fractional)
        return cls(id, structure, **rest)

    @classmethod
    def from_atoms(cls, atoms: Atoms, id: str, **rest: Any) -> Crystal:  # noqa: A002
        """Make a crystal from ASE atoms (cell in Å)."""
        return cls.from_arrays(
            id,
            np.asarray(atoms.cell),
            atoms.get_chemical_symbols(),
            atoms.get_scaled_positions(wrap=False),
            **rest,
        )

    def to_atoms(self) -> Atoms:
        """Return ASE atoms with periodic boundaries in all directions."""
        from ase import Atoms

        return Atoms(
            numbers=self.atomic_numbers,
            scaled_positions=self.structure.frac_coords,
            cell=self.structure.lattice.matrix,
            pbc=True,
        )

    def to_cif(self) -> str:
        """Return the structure as CIF text (symmetry P1)."""
        return str(self.structure.to(fmt="cif"))

    @override
    def __repr__(self) -> str:
        labels = ", ".join(
            f"{k}={v.value:.4g} {v.unit}" for k, v in self.labels.items()
        )
        return f"Crystal({self.id}: {self.formula}, {self.n_atoms} atoms; {labels})"

    def _repr_html_(self) -> str:
        from matdisco.drawing import crystal_html

        return crystal_html(self)


def _structure_to_dict(structure: Structure) -> dict[str, Any]:
    species: list[Any] = [
        next(iter(s.species)).symbol
        if s.is_ordered and not getattr(s.specie, "oxi_state", None)
        else {str(k): round(float(v), DIGITS) for k, v in s.species.items()}
        for s in structure
    ]
    return {
        "cell": rounded(structure.lattice.matrix),
        "species": species,
        "fractional": rounded(structure.frac_coords),
    }


def _structure_from_dict(data: Mapping[str, Any]) -> Structure:
    return Structure(Lattice(data["cell"]), data["species"], data["fractional"])


def rounded(array: np.ndarray) -> list[list[float]]:
    """Return what is hashed and written: eight digits, no negative zero."""
    # + 0.0 turns -0.0 into 0.0, so that equal crystals hash equally
    out: list[list[float]] = (np.round(array, DIGITS) + 0.0).tolist()
    return out
