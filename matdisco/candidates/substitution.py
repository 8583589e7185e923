"""Candidates by ionic substitution in known crystals.

The probability that one ion takes another's place is that which G. Hautier et al.,
Inorg. Chem. 50, 656 (2011), learned from the ICSD, with pymatgen's table. Candidates
keep the parent's structure and its charge balance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import product
from math import perm
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, field_validator
from typing_extensions import override

from matdisco.candidates.base import CandidateRecipe, SizeEstimate, counts_of
from matdisco.elements import check_elements

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


class SubstitutionCandidates(CandidateRecipe):
    """Known crystals with their ions exchanged for probable others."""

    kind: Literal["substitution"] = "substitution"
    parents: str = Field(min_length=1)
    """Known crystals: a Parquet dataset, ``shipped:NAME``, or files of any format."""
    elements: tuple[str, ...] = Field(min_length=2)
    """The chemical space of the candidates."""
    probability: float = Field(1e-3, gt=0, le=1)
    """Least probability of the whole exchange (the product over the ions)."""
    max_atoms: int = Field(20, ge=1)
    """Largest parent cell, in atoms."""
    keep: int | None = Field(None, ge=1)
    """Only so many, the most probable ones; all when not given."""
    volume: Literal["additive", "bonds"] = "bonds"
    """Starting volume, see ``kind: prototypes``."""

    @field_validator("elements")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_elements(value)

    @override
    def own_space(self) -> tuple[str, ...]:
        return tuple(sorted(self.elements))

    @override
    def title(self) -> str:
        return "substitution-" + "-".join(sorted(self.elements))

    @override
    def size(self) -> SizeEstimate:
        """Bound the number: every way to put elements on the ions of every parent."""
        count, atoms = 0, 0
        for n_elements, n_atoms in self._parent_sizes():
            if n_atoms <= self.max_atoms and 2 <= n_elements <= len(self.elements):
                ways = perm(len(self.elements), n_elements)
                count += ways
                atoms += ways * n_atoms
        kept = min(count, self.keep or count)
        return SizeEstimate(kept, False, atoms / max(count, 1))

    @override
    def generate(self) -> Iterator[Crystal]:
        plan: Iterator[_Exchange] | list[_Exchange] = self._plan()
        if self.keep is not None:
            # Numbers only: the structures are made one at a time below.
            best = sorted(plan, key=lambda e: (-e.probability, e.row, e.order))
            plan = sorted(best[: self.keep], key=lambda e: (e.row, e.order))
        waiting = iter(plan)
        exchange = next(waiting, None)
        for row, parent in enumerate(self._parents()):
            while exchange is not None and exchange.row == row:
                yield _exchanged(parent, exchange, self.volume)
                exchange = next(waiting, None)
            if exchange is None:
                return

    def _parents(self) -> Iterator[Crystal]:
        from matdisco.candidates.sources import known_crystals

        for crystal in known_crystals(self.parents, "candidates.parents"):
            if crystal.n_atoms <= self.max_atoms and crystal.structure.is_ordered:
                yield crystal

    def _parent_sizes(self) -> Iterator[tuple[int, int]]:
        from matdisco.candidates.sources import existing

        file = existing(self.parents, "candidates.parents")
        if file.suffix == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(file, columns=["nelements", "nsites"])
            yield from zip(
                table["nelements"].to_pylist(), table["nsites"].to_pylist(), strict=True
            )
            return
        for crystal in self._parents():
            yield len(crystal.elements), crystal.n_atoms

    def _plan(self) -> Iterator[_Exchange]:
        """Yield the exchanges of each parent, the probable ones first."""
        for row, parent in enumerate(self._parents()):
            counts = dict(counts_of(parent))
            if not 2 <= len(counts) <= len(self.elements):
                continue
            ions = _ions(parent.composition.reduced_formula)
            if ions is None or set(ions) != set(counts):
                continue
            found = _exchanges(counts, ions, tuple(sorted(self.elements)),
                               self.probability)  # fmt: skip
            ranked = sorted(found, key=lambda f: (-f[0], sorted(f[1].items())))
            for order, (probability, mapping) in enumerate(ranked):
                yield _Exchange(row, order, probability, mapping, ions)


class _Exchange(NamedTuple):
    row: int  # of the parent
    order: int  # among the parent's exchanges
    probability: float
    mapping: Mapping[str, tuple[str, int]]  # parent's element → (element, charge)
    ions: Mapping[str, int]  # parent's element → charge


@lru_cache(maxsize=100_000)
def _ions(formula: str) -> dict[str, int] | None:
    """Return whole oxidation states, the likeliest ones; None where there are none."""
    from pymatgen.core import Composition

    guesses = Composition(formula).oxi_state_guesses()
    if not guesses or any(q != round(q) or q == 0 for q in guesses[0].values()):
        return None
    return {str(e): round(q) for e, q in guesses[0].items()}


def _exchanges(
    counts: Mapping[str, int],
    ions: Mapping[str, int],
    space: tuple[str, ...],
    least: float,
) -> Iterator[tuple[float, dict[str, tuple[str, int]]]]:
    """Yield (probability, mapping) of every neutral exchange into the space."""
    old = sorted(counts)
    options = [_options(e, ions[e], space, least) for e in old]
    for combination in product(*options):
        new = [element for element, _, _ in combination]
        if len(set(new)) < len(new) or new == old:
            continue
        charge = sum(
            counts[e] * q for e, (_, q, _) in zip(old, combination, strict=True)
        )
        probability = 1.0
        for *_, p in combination:
            probability *= p
        if charge == 0 and probability >= least:
            yield (
                probability,
                {
                    e: (element, q)
                    for e, (element, q, _) in zip(old, combination, strict=True)
                },
            )


@cache
def _options(
    element: str, charge: int, space: tuple[str, ...], least: float
) -> tuple[tuple[str, int, float], ...]:
    """Return (element, charge, probability) of the ions that may replace one."""
    from pymatgen.core import Species

    table = _probabilities()
    ion = Species(element, charge)
    found = []
    # An ion that the table does not know (As-) may only stay.
    known = table.species if ion in table.species else ()
    for other in sorted(known, key=str):
        symbol, q = other.symbol, int(other.oxi_state or 0)
        if symbol in space and q * charge > 0:
            p = 1.0 if other == ion else float(table.cond_prob(other, ion))
            if p >= least:
                found.append((symbol, q, p))
    if element in space and not any(s == element and q == charge for s, q, _ in found):
        found.append((element, charge, 1.0))
    return tuple(found)


@cache
def _probabilities() -> Any:
    from pymatgen.core.structure_prediction.substitution_probability import (
        SubstitutionProbability,
    )

    make: Any = SubstitutionProbability  # untyped upstream
    return make()


def _exchanged(
    parent: Crystal, exchange: _Exchange, volume: Literal["additive", "bonds"]
) -> Crystal:
    from pymatgen.core import Structure

    from matdisco.candidates.volume import prescaled
    from matdisco.crystal import Crystal

    symbols = [exchange.mapping[s.specie.symbol][0] for s in parent.structure]
    plain = Structure(parent.structure.lattice, symbols, parent.structure.frac_coords)
    structure = prescaled(plain, volume)
    mapping = {
        f"{old}{exchange.ions[old]:+d}": f"{new}{q:+d}"
        for old, (new, q) in sorted(exchange.mapping.items())
    }
    source = {
        "parent": parent.id,
        "exchange": mapping,
        "probability": round(exchange.probability, 6),
    }
    formula = structure.composition.reduced_formula
    name = f"{formula}.{parent.id}-{exchange.order:03d}"
    return Crystal(name, structure, source=source)
