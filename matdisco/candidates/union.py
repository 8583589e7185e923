"""Several candidate sources as one pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from typing_extensions import override

from matdisco.candidates.base import (
    CandidateRecipe,
    Compositions,
    Limits,
    SizeEstimate,
    outside_elements,
)
from matdisco.candidates.files import FileCandidates, ReadCandidates
from matdisco.candidates.orderings import OrderingCandidates
from matdisco.candidates.prototypes import PrototypeCandidates
from matdisco.candidates.random_symmetric import RandomSymmetricCandidates
from matdisco.candidates.substitution import SubstitutionCandidates
from matdisco.errors import ConfigError

if TYPE_CHECKING:
    from matdisco.crystal import Crystal


Part = Annotated[
    PrototypeCandidates
    | FileCandidates
    | ReadCandidates
    | SubstitutionCandidates
    | OrderingCandidates
    | RandomSymmetricCandidates,
    Field(discriminator="kind"),
]


class UnionCandidates(CandidateRecipe):
    """The candidates of all parts, the first of equal ids kept."""

    kind: Literal["union"] = "union"
    parts: tuple[Part, ...] = Field(min_length=1)
    """The sources, in the order of the pool."""

    @override
    def own_space(self) -> tuple[str, ...] | None:
        spaces: Sequence[tuple[str, ...] | None] = [
            p.chemical_space() for p in self.parts
        ]
        if any(s is None for s in spaces):
            return None
        return tuple(sorted({e for s in spaces if s for e in s}))

    @override
    def own_limits(self) -> Limits:
        """Allow what any part allows, the part's own ``where`` included."""
        parts = [_limits(p) for p in self.parts]

        def objection(counts: Mapping[str, int]) -> str | None:
            found = []
            for i, limits in enumerate(parts):
                one = limits(counts)
                if one is None:
                    return None
                found.append(f"parts[{i}] {one}")
            return "no part allows it: " + "; ".join(found)

        return objection

    @override
    def why_none_made(self) -> str:
        return "; ".join(
            f"parts[{i}]: {p.why_nothing()}" for i, p in enumerate(self.parts)
        )

    @override
    def title(self) -> str:
        return "+".join(p.title() for p in self.parts)

    @override
    def size(self) -> SizeEstimate:
        sizes = [_estimate(i, p) for i, p in enumerate(self.parts)]
        count = sum(s.count for s in sizes)
        atoms = sum(s.count * s.mean_atoms for s in sizes) / max(count, 1)
        # parts may share members, so several exact counts add up to a bound
        return SizeEstimate(count, len(sizes) == 1 and sizes[0].exact, atoms)

    @override
    def compositions(self) -> Compositions:
        """Tell what the parts let through, as far as each looks."""
        found: list[Mapping[str, int]] = []
        every = True
        for part in self.parts:
            looked, all_ = part.compositions()
            where = part.where
            found += [c for c in looked if where is None or where.allows(c)]
            every = every and all_
        return found, every

    @override
    def generate(self) -> Iterator[Crystal]:
        taken: set[str] = set()
        for part in self.parts:
            for crystal in part.stream():
                if crystal.id not in taken:
                    taken.add(crystal.id)
                    yield crystal


def _estimate(i: int, part: Part) -> SizeEstimate:
    """Tell the size of a part.

    Raises:
        ConfigError: what is wrong with it, and which part it is.
    """
    try:
        return part.estimate()
    except ConfigError as error:
        told = str(error).removeprefix("candidates").removeprefix(".")
        raise ConfigError(f"candidates.parts[{i}]: {told.lstrip(': ')}") from error


def _limits(part: Part) -> Limits:
    """Return a part's limits; a part of files allows the elements in them.

    On their own, files bound children by the elements of the pool. In a union the pool
    has those of the other parts, too.
    """
    limits = part.limits()
    if isinstance(part, FileCandidates | ReadCandidates):
        space = part.elements_found()
        return lambda counts: outside_elements(counts, space) or limits(counts)
    return limits
