"""Candidates by decorating known structure types over a chemical space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from matdisco.candidates.base import (
    CandidateRecipe,
    Compositions,
    Limits,
    SizeEstimate,
    refuse_empty,
)
from matdisco.candidates.prototype_library import INDEXED_ATOMS, index
from matdisco.candidates.where import outside_components
from matdisco.elements import check_elements
from matdisco.recipe import nearest

if TYPE_CHECKING:
    from matdisco.crystal import Crystal

COUNTED = 200_000
"""Decorations whose compositions are looked at for an estimate, in half a second."""
COUNTED_SPACES = 20_000
"""Sets of elements up to which charges are counted out for the estimate (seconds)."""


class PrototypeCandidates(CandidateRecipe):
    """Every inequivalent decoration of the AFLOW prototypes over some elements."""

    kind: Literal["prototypes"] = "prototypes"
    elements: tuple[str, ...]
    """The chemical space, as element symbols."""
    components: tuple[int, ...] = (1, 2, 3)
    """How many different elements a candidate may hold."""
    max_atoms: int = Field(12, ge=1, le=INDEXED_ATOMS)
    """Largest primitive cell, in atoms."""
    prototypes: tuple[str, ...] | None = None
    """Only these structure types, by AFLOW label; all when not given."""
    min_packing: float = Field(0.12, ge=0, le=0.75)
    """Leave out types that equal touching spheres fill less than this. Close packing
    is 0.74, diamond 0.34; below 0.12 are molecular crystals (N2, CO), whose dumbbells
    no metal forms."""
    volume: Literal["additive", "bonds"] = "additive"
    """Starting volume: the sum of the elements' own volumes (right for metals), or
    from data-mined bond lengths (right for ionic and covalent compounds)."""
    volume_scale: float = Field(1.0, gt=0.3, lt=3.0)
    """Factor on the starting volume."""
    never_only: tuple[str, ...] = ()
    """Leave out compounds made of these elements alone (pure elements stay)."""
    sample: int | None = Field(None, ge=1)
    """Keep this many, chosen at random with ``seed``; all when not given."""
    seed: int = Field(0, ge=0)
    """Seed of that choice."""

    @field_validator("elements", "never_only")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_elements(value)

    @model_validator(mode="after")
    def _feasible(self) -> PrototypeCandidates:
        if not self.elements:
            raise ValueError("elements: expected at least one element, got none")
        bad = [n for n in self.components if not 1 <= n <= 4]
        if bad or not self.components:
            raise ValueError(
                f"components: expected numbers of elements from 1 to 4, got {bad}"
            )
        known = [e["name"] for e in index()["prototypes"]]
        for name in self.prototypes or ():
            if name not in known:
                raise ValueError(
                    f"prototypes: unknown structure type {name!r}"
                    + (nearest(name, known) if "_" in name else "")
                )
        return self

    @override
    def own_space(self) -> tuple[str, ...]:
        return tuple(sorted(self.elements))

    @override
    def own_limits(self) -> Limits:
        elements = super().own_limits()
        barred = set(self.never_only)

        def objection(counts: Mapping[str, int]) -> str | None:
            found = elements(counts) or outside_components(len(counts), self.components)
            if found is None and len(counts) > 1 and set(counts) <= barred:
                return f"never_only: only {', '.join(sorted(counts))}"
            return found

        return objection

    @override
    def title(self) -> str:
        return "prototypes-" + "-".join(sorted(self.elements))

    @override
    def counts_where(self) -> bool:
        return True

    @override
    def size(self) -> SizeEstimate:
        count, atoms = 0, 0
        for entry in self._entries():
            n = self._n_decorations(entry)
            count += n
            atoms += n * sum(entry["counts"])
        if count == 0:
            refuse_empty(0, self.why_nothing())
        kept = min(count, self.sample or count)
        return SizeEstimate(kept, not self._uncounted, atoms / count)

    @override
    def why_none_made(self) -> str:
        numbers = ", ".join(map(str, self.components))
        return (
            f"no structure type holds {numbers} different elements out of "
            f"{', '.join(sorted(self.elements))} in at most {self.max_atoms} atoms, "
            "with prototypes, min_packing and never_only as they are; widen the "
            "elements, the number of components or max_atoms"
        )

    @override
    def compositions(self) -> Compositions:
        if self.sample is not None:
            return super().compositions()
        found = [
            dict(zip(symbols, entry["counts"], strict=True))
            for entry, symbols in islice(self._plan(), COUNTED + 1)
        ]
        return found[:COUNTED], len(found) <= COUNTED

    @override
    def generate(self) -> Iterator[Crystal]:
        import numpy as np

        from matdisco.candidates.decoration import decorate

        total = self.sample and sum(1 for _ in self._plan())
        plan: Iterable[tuple[dict[str, Any], tuple[str, ...]]] = self._plan()
        if self.sample and total and self.sample < total:
            # A shuffle, then a prefix: a larger sample holds every smaller one.
            order = np.random.default_rng(self.seed).permutation(total)
            rows = order[: self.sample]
            wanted = set(rows.tolist())
            found = {i: item for i, item in enumerate(plan) if i in wanted}
            plan = (found[int(i)] for i in rows)
        for entry, symbols in plan:
            yield decorate(entry, symbols, self.volume_scale, self.volume)

    @property
    def _uncounted(self) -> bool:
        """Whether charges are to be checked for too many compounds to count first."""
        spaces = sum(self._n_spaces(k) for k in set(self.components))
        return bool(self.where and self.where.balanced and spaces > COUNTED_SPACES)

    def _entries(self) -> list[dict[str, Any]]:
        return [
            e
            for e in index()["prototypes"]
            if len(e["counts"]) in self.components
            and sum(e["counts"]) <= self.max_atoms
            and e["packing"] >= self.min_packing
            and (self.prototypes is None or e["name"] in self.prototypes)
        ]

    def _n_decorations(self, entry: Mapping[str, Any]) -> int:
        """Count what :meth:`_plan` yields for one prototype, without the elements.

        Only conditions that tell elements apart make it look at every space.
        """
        if self.where is None:
            return len(entry["decorations"]) * self._n_spaces(len(entry["counts"]))
        return sum(1 for _ in self._decorations(entry, count_only=True))

    def _n_spaces(self, k: int) -> int:
        barred = len(set(self.never_only) & set(self.elements))
        return comb(len(self.elements), k) - (comb(barred, k) if k > 1 else 0)

    def _plan(self) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
        for entry in self._entries():
            for symbols in self._decorations(entry):
                yield entry, symbols

    def _decorations(
        self, entry: Mapping[str, Any], *, count_only: bool = False
    ) -> Iterator[tuple[str, ...]]:
        barred, where = set(self.never_only), self.where
        if count_only and self._uncounted and where is not None:
            where = where.model_copy(update={"balanced": False})
        k = len(entry["counts"])
        for space in combinations(sorted(self.elements), k):
            if k > 1 and set(space) <= barred:
                continue
            if where is not None and not where.allows_elements(space):
                continue
            for decoration in entry["decorations"]:
                symbols = tuple(space[i] for i in decoration)
                if where is None or where.allows(
                    dict(zip(symbols, entry["counts"], strict=True))
                ):
                    yield symbols
