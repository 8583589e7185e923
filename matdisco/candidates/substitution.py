"""Candidates by ionic substitution in known crystals.

The probability that one ion takes another's place is that which G. Hautier et al.,
Inorg. Chem. 50, 656 (2011), learned from the ICSD, with pymatgen's table. Candidates
keep the parent's structure and its charge balance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import islice, product
from math import perm
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, field_validator
from typing_extensions import override

from matdisco.candidates.base import (
    CandidateRecipe,
    Compositions,
    SizeEstimate,
    counts_of,
    refuse_empty,
)
from matdisco.elements import check_elements
from matdisco.errors import ConfigError

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


PARENTS_TRIED = 2_000
"""Parents in which an exchange is looked for before the size is told: a few seconds for
their oxidation states."""


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
        """Bound the number: every way to put elements on the ions of every parent.

        Raises:
            ConfigError: none of the parents, or of the first :data:`PARENTS_TRIED`
                where there are no others, has a probable exchange.
        """
        count, atoms = 0, 0
        for n_elements, n_atoms in self._parent_sizes():
            if n_atoms <= self.max_atoms and 2 <= n_elements <= len(self.elements):
                ways = perm(len(self.elements), n_elements)
                count += ways
                atoms += ways * n_atoms
        if count == 0 or _is_barren(self, self._changed()):
            refuse_empty(0, self.why_none_made())
        kept = min(count, self.keep or count)
        return SizeEstimate(kept, False, atoms / max(count, 1))

    @override
    def compositions(self) -> Compositions:
        """Tell those of the exchanges in the first :data:`PARENTS_TRIED` parents.

        None of them where ``keep`` chooses among the exchanges of more parents.
        """
        found: list[tuple[_Exchange, Mapping[str, int]]] = []
        all_ = True
        for row, parent in enumerate(self.usable_parents()):
            if row == PARENTS_TRIED:
                all_ = False
                break
            exchanges = self.exchanges(row, parent)
            if not isinstance(exchanges, str):
                counts = counts_of(parent)
                found += [(e, counts) for e in exchanges]
        if self.keep is not None and not all_:
            return [], False
        if self.keep is not None:
            found = sorted(found, key=lambda f: f[0].rank())[: self.keep]
        return [{e.mapping[k][0]: n for k, n in c.items()} for e, c in found], all_

    @override
    def generate(self) -> Iterator[Crystal]:
        plan: Iterator[_Exchange] | list[_Exchange] = self._plan()
        if self.keep is not None:
            # Numbers only: the structures are made one at a time below.
            best = sorted(plan, key=_Exchange.rank)
            plan = sorted(best[: self.keep], key=lambda e: (e.row, e.order))
        waiting = iter(plan)
        exchange = next(waiting, None)
        for row, parent in enumerate(self.usable_parents()):
            while exchange is not None and exchange.row == row:
                yield _exchanged(parent, exchange, self.volume)
                exchange = next(waiting, None)
            if exchange is None:
                return

    def usable_parents(self) -> Iterator[Crystal]:
        """Yield the ordered parents that are small enough."""
        from matdisco.candidates.sources import known_crystals

        for crystal in known_crystals(self.parents, "candidates.parents"):
            if crystal.n_atoms <= self.max_atoms and crystal.structure.is_ordered:
                yield crystal

    def _parent_sizes(self) -> Iterator[tuple[int, int]]:
        from matdisco.candidates.sources import existing

        file = existing(self.parents, "candidates.parents")
        if file.suffix == ".parquet":
            import pyarrow.parquet as pq

            try:
                table = pq.read_table(file, columns=["nelements", "nsites"])
            except Exception as error:  # whatever a foreign or damaged file can cause
                raise ConfigError(
                    f"candidates.parents: {self.parents} is not a matdisco dataset "
                    f"({str(error).splitlines()[0]}); curate it first: matdisco data "
                    f"curate {self.parents} --to DATASET"
                ) from error
            yield from zip(
                table["nelements"].to_pylist(), table["nsites"].to_pylist(), strict=True
            )
            return
        for crystal in self.usable_parents():
            yield len(crystal.elements), crystal.n_atoms

    def _plan(self) -> Iterator[_Exchange]:
        """Yield the exchanges of each parent, the probable ones first."""
        for row, parent in enumerate(self.usable_parents()):
            found = self.exchanges(row, parent)
            if not isinstance(found, str):
                yield from found

    def exchanges(self, row: int, parent: Crystal) -> list[_Exchange] | str:
        """Return the exchanges of one parent, or a clause that says why it has none."""
        counts = dict(counts_of(parent))
        if not 2 <= len(counts) <= len(self.elements):
            return f"hold one element, or more than the {len(self.elements)} given"
        ions = _ions(parent.composition.reduced_formula)
        if ions is None or set(ions) != set(counts):
            return (
                "have no whole oxidation states that add up to zero (alloys have none: "
                "kind: prototypes or orderings makes alloys)"
            )
        space = tuple(sorted(self.elements))
        found = _exchanges(counts, ions, space, self.probability)
        ranked = sorted(found, key=lambda f: (-f[0], sorted(f[1].items())))
        if not ranked:
            return (
                f"have no exchange into {', '.join(space)} that is neutral and as "
                f"probable as {self.probability:g}"
            )
        return [
            _Exchange(row, order, probability, mapping, ions)
            for order, (probability, mapping) in enumerate(ranked)
        ]

    @override
    def why_none_made(self) -> str:
        from matdisco.candidates.sources import known_crystals

        reasons, looked = Counter[str](), 0
        known = known_crystals(self.parents, "candidates.parents")
        for parent in islice(known, PARENTS_TRIED):
            looked += 1
            if parent.n_atoms > self.max_atoms:
                reasons[f"have more than max_atoms: {self.max_atoms} atoms"] += 1
            elif not parent.structure.is_ordered:
                reasons["have shared sites"] += 1
            elif isinstance(why := self.exchanges(0, parent), str):
                reasons[why] += 1
        told = ", ".join(f"{n:,} {why}" for why, n in reasons.most_common())
        return (
            f"none of the {looked:,} parents looked at in {self.parents} gives a "
            f"candidate: {told or 'there are none'}; give other parents or elements, "
            "or a lower probability"
        )

    def _changed(self) -> int:
        """Return when the parents' file last changed, ns."""
        from matdisco.candidates.sources import existing

        return existing(self.parents, "candidates.parents").stat().st_mtime_ns


@lru_cache(maxsize=32)
def _is_barren(recipe: SubstitutionCandidates, changed: int) -> bool:
    """Tell whether no parent has an exchange; False where too many are left to try.

    Args:
        recipe: the recipe, its ``where`` not heeded.
        changed: when the parents' file last changed, so that it is read anew then.
    """
    for tried, parent in enumerate(recipe.usable_parents(), start=1):
        if tried > PARENTS_TRIED or not isinstance(recipe.exchanges(0, parent), str):
            return False
    return True


class _Exchange(NamedTuple):
    row: int  # of the parent
    order: int  # among the parent's exchanges
    probability: float
    mapping: Mapping[str, tuple[str, int]]  # parent's element → (element, charge)
    ions: Mapping[str, int]  # parent's element → charge

    def rank(self) -> tuple[float, int, int]:
        """Sort the most probable first, then in the order of the pool."""
        return (-self.probability, self.row, self.order)


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
