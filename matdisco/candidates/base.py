"""The contract of a candidate source, and the pool it fills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from typing_extensions import override

from matdisco.candidates.where import Where
from matdisco.errors import ConfigError
from matdisco.recipe import Recipe

if TYPE_CHECKING:
    from matdisco.crystal import Crystal
    from matdisco.data.dataset import Dataset

Limits = Callable[[Mapping[str, int]], str | None]
"""Given atoms of each element in a cell, says which limit of the asked chemical space
they break; None where they are inside."""
LOOKED = 1_000
"""Candidates that are looked at to say whether a condition leaves all of them out."""
Compositions = tuple[Sequence[Mapping[str, int]], bool]
"""Atoms of each element of candidates, and whether these are all candidates."""


@dataclass(frozen=True, slots=True)
class SizeEstimate:
    """How many candidates a source will give, told before any is built."""

    count: int
    """The number, or a bound on it."""
    exact: bool
    """Whether ``count`` is the number itself or an upper bound."""
    mean_atoms: float
    """Mean number of atoms per cell, for cost estimates."""
    doubt: str = ""
    """Why there may be none at all; empty where there are some."""

    @override
    def __str__(self) -> str:
        count = f"{self.count:,}" if self.exact else f"at most {self.count:,}"
        return f"{count}, perhaps none: {self.doubt}" if self.doubt else count


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

    def own_limits(self) -> Limits:
        """Return what the kind itself asks of a composition, before ``where``.

        Raises:
            ConfigError: what it asks stands in a file that cannot be read.
        """
        space = self.own_space()
        return lambda counts: outside_elements(counts, space)

    def limits(self) -> Limits:
        """Return what every candidate meets, also one that is bred later.

        The kind's own limits on elements and composition, then ``where``. Sizes of
        cells that the kind was asked to make are none of them, those in ``where`` are.

        Raises:
            ConfigError: see :meth:`own_limits`.
        """
        own, where = self.own_limits(), self.where
        if where is None:
            return own
        return lambda counts: own(counts) or where.objection(counts)

    def counts_where(self) -> bool:
        """Tell whether :meth:`size` and :meth:`generate` heed ``where`` already."""
        return False

    def compositions(self) -> Compositions:
        """Tell compositions before ``where``, of as many as takes a few seconds.

        Made without structures where the kind can.
        """
        made = [counts_of(c) for c in islice(self.generate(), LOOKED + 1)]
        return made[:LOOKED], len(made) <= LOOKED

    def estimate(self) -> SizeEstimate:
        """Tell the size of the pool without building it.

        Raises:
            ConfigError: the pool would be empty.
        """
        size = self.size()
        if size.count == 0:
            refuse_empty(0, self.why_nothing())
        if self.where is None or self.counts_where():
            return size
        looked, all_ = self.compositions()
        met = [sum(c.values()) for c in looked if self.where.allows(c)]
        if all_ and not met:
            refuse_empty(0, self._why_left_out(looked, all_))
        if all_:
            return SizeEstimate(len(met), size.exact, sum(met) / len(met))
        doubt = "" if met else self._why_left_out(looked, all_)
        mean = sum(met) / len(met) if met else size.mean_atoms
        return SizeEstimate(size.count, False, mean, doubt)

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
        if not crystals:
            refuse_empty(0, self.why_nothing())
        return Dataset(self.title(), crystals)

    def why_nothing(self) -> str:
        """Say why no candidate came; makes some without ``where`` to find out."""
        if self.where is None:
            return self.why_none_made()
        free = self.model_copy(update={"where": None})
        looked, all_ = free.compositions()
        if all(map(self.where.allows, looked)) and (looked or all_):
            return free.why_none_made()
        return self._why_left_out(looked, all_)

    def _why_left_out(self, looked: Sequence[Mapping[str, int]], all_: bool) -> str:
        """Say which conditions leave out the compositions that were looked at."""
        assert self.where is not None
        found, example = Counter[str](), dict[str, str]()
        for counts in looked:
            objection = self.where.objection(counts)
            if objection is not None:
                key = objection.partition(":")[0]
                found[key] += 1
                example.setdefault(key, objection)
        if not found:
            return f"too many of {self.title()} to look which of them where leaves"
        told = ", ".join(
            f"where.{example[key]} ({n:,} of them)" for key, n in found.most_common()
        )
        many = f"{'all' if all_ else 'the first'} {sum(found.values()):,}"
        return f"where leaves out {many} of {self.title()}: {told}; relax it"

    def why_none_made(self) -> str:
        """Say why the kind makes nothing, whatever ``where`` is."""
        return f"{self.title()}: none can be made; widen what it is asked for"


def counts_of(crystal: Crystal) -> Mapping[str, int]:
    """Return atoms of each element; shared sites count for every species on them."""
    from matdisco.data.packed import plain_counts

    counts = plain_counts(crystal)
    if counts is not None:
        return counts
    counts = {}
    for site in crystal.structure:
        for specie in site.species:
            counts[specie.symbol] = counts.get(specie.symbol, 0) + 1
    return counts


def outside_elements(
    counts: Mapping[str, int], space: Iterable[str] | None
) -> str | None:
    """Say which elements lie outside a space, or None; a space of None holds all."""
    foreign = () if space is None else set(counts) - set(space)
    if not foreign or space is None:
        return None
    return f"elements: {', '.join(sorted(foreign))} besides {', '.join(sorted(space))}"


def refuse_empty(count: int, why: str) -> None:
    """Raise when a candidate source would give nothing.

    Args:
        count: candidates there are.
        why: the reason, and what to do about it.

    Raises:
        ConfigError: ``count`` is zero.
    """
    if count == 0:
        raise ConfigError(f"candidates: the pool would be empty: {why}")
