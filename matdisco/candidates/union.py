"""Several candidate sources as one pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from typing_extensions import override

from matdisco.candidates.base import CandidateRecipe, SizeEstimate
from matdisco.candidates.files import FileCandidates
from matdisco.candidates.prototypes import PrototypeCandidates

if TYPE_CHECKING:
    from matdisco.data.dataset import Dataset


Part = Annotated[PrototypeCandidates | FileCandidates, Field(discriminator="kind")]


class UnionCandidates(CandidateRecipe):
    """The candidates of all parts, the first of equal ids kept."""

    kind: Literal["union"] = "union"
    parts: tuple[Part, ...] = Field(min_length=1)
    """The sources, in the order of the pool."""

    @override
    def chemical_space(self) -> tuple[str, ...] | None:
        spaces: Sequence[tuple[str, ...] | None] = [
            p.chemical_space() for p in self.parts
        ]
        if any(s is None for s in spaces):
            return None
        return tuple(sorted({e for s in spaces if s for e in s}))

    @override
    def estimate(self) -> SizeEstimate:
        sizes = [p.estimate() for p in self.parts]
        count = sum(s.count for s in sizes)
        atoms = sum(s.count * s.mean_atoms for s in sizes) / max(count, 1)
        # parts may share members, so several exact counts add up to a bound
        return SizeEstimate(count, len(sizes) == 1 and sizes[0].exact, atoms)

    @override
    def build(self) -> Dataset:
        from matdisco.data.dataset import Dataset

        pools = [p.build() for p in self.parts]
        crystals = {c.id: c for pool in reversed(pools) for c in reversed(pool)}
        return Dataset("+".join(p.name for p in pools), tuple(crystals.values())[::-1])
