"""The contract of a candidate source, and the pool it fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from matdisco.candidates.where import Where
from matdisco.errors import ConfigError
from matdisco.recipe import Recipe

if TYPE_CHECKING:
    from matdisco.crystal import Crystal
    from matdisco.data.dataset import Dataset


@dataclass(frozen=True, slots=True)
class SizeEstimate:
    """How many candidates a source will give, told before any is built."""

    count: int
    """The number, or a bound on it."""
    exact: bool
    """Whether ``count`` is the number itself or an upper bound."""
    mean_atoms: float
    """Mean number of atoms per cell, for cost estimates."""

    @override
    def __str__(self) -> str:
        return f"{self.count:,}" if self.exact else f"at most {self.count:,}"


class CandidateRecipe(Recipe):
    """Base of the ``candidates:`` blocks of a configuration.

    A kind says how many candidates it has (:meth:`size`) and makes them one after the
    other (:meth:`generate`), in an order that depends on the recipe alone; the base
    applies ``where``, so that no candidate leaves the asked chemical space.
    """

    where: Where | None = None
    """Conditions on the composition; what does not meet them is left out."""

    def size(self) -> SizeEstimate:
        """Tell the size before ``where``, building nothing."""
        raise NotImplementedError

    def generate(self) -> Iterator[Crystal]:
        """Make the candidates before ``where``, one at a time."""
        raise NotImplementedError

    def title(self) -> str:
        """Name the pool."""
        return str(getattr(self, "kind", "candidates"))

    def own_space(self) -> tuple[str, ...] | None:
        """Name the elements that the kind itself fixes, before ``where``."""
        return None

    def counts_where(self) -> bool:
        """Tell whether :meth:`size` and :meth:`generate` heed ``where`` already."""
        return False

    def estimate(self) -> SizeEstimate:
        """Tell the size of the pool without building it.

        Raises:
            ConfigError: the pool would be empty.
        """
        size = self.size()
        refuse_empty(size.count, self.title())
        if self.where is None or self.counts_where():
            return size
        return SizeEstimate(size.count, False, size.mean_atoms)

    def chemical_space(self) -> tuple[str, ...] | None:
        """Name the elements, alphabetical, where the recipe itself fixes them."""
        own = self.own_space()
        asked = None if self.where is None else self.where.elements
        if own is None or asked is None:
            space = asked if own is None else own
        else:
            space = tuple(set(own) & set(asked))
        if space is None:
            return None
        never = () if self.where is None else self.where.never
        return tuple(sorted(set(space) - set(never)))

    def stream(self) -> Iterator[Crystal]:
        """Make the candidates one at a time; nothing is kept."""
        where = self.where
        if where is None:
            yield from self.generate()
            return
        for crystal in self.generate():
            if where.allows(counts_of(crystal)):
                yield crystal

    def build(self) -> Dataset:
        """Make the whole pool.

        Raises:
            ConfigError: nothing meets ``where``.
        """
        from matdisco.data.dataset import Dataset

        crystals = tuple(self.stream())
        refuse_empty(len(crystals), f"{self.title()}: nothing is left")
        return Dataset(self.title(), crystals)


def counts_of(crystal: Crystal) -> Mapping[str, int]:
    """Return atoms of each element; shared sites count for every species on them."""
    counts: dict[str, int] = {}
    for site in crystal.structure:
        for specie in site.species:
            counts[specie.symbol] = counts.get(specie.symbol, 0) + 1
    return counts


def refuse_empty(count: int, what: str) -> None:
    """Raise when a candidate source would give nothing.

    Raises:
        ConfigError: ``count`` is zero.
    """
    if count == 0:
        raise ConfigError(
            f"candidates: the pool would be empty ({what}); "
            "widen the elements, the number of components or max_atoms"
        )
