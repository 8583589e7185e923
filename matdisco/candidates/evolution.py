"""New candidates in every round, bred from the best so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from matdisco.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np

    from matdisco.candidates.operators import Cell
    from matdisco.crystal import Crystal

Accept = Callable[["Crystal"], bool]


class Weights(Recipe):
    """How often each operator is used, relative to the others."""

    heredity: float = Field(3.0, ge=0)
    """Slabs of two parents joined."""
    substitution: float = Field(3.0, ge=0)
    """Another element on some sites."""
    exchange: float = Field(2.0, ge=0)
    """Atoms of two elements swapped."""
    strain: float = Field(2.0, ge=0)
    """Cell deformed, atoms shaken."""

    @model_validator(mode="after")
    def _some(self) -> Weights:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("expected at least one weight above zero, got only zeros")
        return self


class EvolutionRecipe(Recipe):
    """Mutation and crossover of the best candidates, new ones in each round."""

    kind: Literal["evolution"] = "evolution"
    per_round: int = Field(24, ge=1, le=10_000)
    """New candidates per round that pass the screening."""
    parents: int = Field(16, ge=1)
    """So many of the best answered candidates breed."""
    every: int = Field(1, ge=1)
    """Breed before every so manieth round after the first."""
    max_atoms: int = Field(16, ge=1, le=400)
    """Largest child, atoms per cell."""
    weights: Weights = Field(default_factory=Weights)
    """Shares of the operators."""
    strain: float = Field(0.08, gt=0, lt=0.5)
    """Standard deviation of each strain component."""
    rattle: float = Field(0.1, ge=0, lt=1.0)
    """Standard deviation of each displacement, Å."""
    tries: int = Field(20, ge=1, le=1_000)
    """Attempts per wanted child, before fewer are taken."""

    def breed(
        self,
        parents: Sequence[Crystal],
        space: Sequence[str],
        rng: np.random.Generator,
        prefix: str,
        accept: Accept,
    ) -> Iterator[Crystal]:
        """Yield children that ``accept`` took, in an order that ``rng`` fixes.

        Args:
            parents: best first; the k-th is chosen with weight 1 / (k + 1).
            space: elements that a child may hold.
            rng: source of randomness.
            prefix: start of the children's ids.
            accept: screens a child (and keeps the record of refusals).
        """
        import numpy as np

        from matdisco.candidates.operators import Cell

        usable = [p for p in parents if p.structure.is_ordered]
        if not usable:
            return
        cells = [Cell.of(p.structure) for p in usable]
        rank = 1.0 / np.arange(1, len(cells) + 1)
        names = list(Weights.model_fields)
        weights = np.array([getattr(self.weights, n) for n in names])
        made = 0
        for attempt in range(self.per_round * self.tries):
            if made == self.per_round:
                return
            name = str(rng.choice(names, p=weights / weights.sum()))
            one, other = rng.choice(len(cells), size=2, p=rank / rank.sum())
            child = self._child(name, cells[one], cells[other], space, rng)
            if child is None or len(child.symbols) > self.max_atoms:
                continue
            mothers = [usable[one], usable[other]][: 1 + (name == "heredity")]
            crystal = _crystal(f"{prefix}-{attempt:04d}", child, name, mothers)
            if accept(crystal):
                made += 1
                yield crystal

    def _child(
        self,
        name: str,
        one: Cell,
        other: Cell,
        space: Sequence[str],
        rng: np.random.Generator,
    ) -> Cell | None:
        from matdisco.candidates import operators

        if name == "heredity":
            return operators.heredity(one, other, rng)
        if name == "substitution":
            return operators.substitute(one, rng, space)
        if name == "exchange":
            return operators.exchange(one, rng)
        return operators.strain(one, rng, sigma=self.strain, rattle=self.rattle)


def _crystal(
    name: str, child: Cell, operator: str, parents: Sequence[Crystal]
) -> Crystal:
    """Give a child a volume like its parents', and say where it comes from."""
    from matdisco.candidates.volume import additive_volume
    from matdisco.crystal import Crystal

    structure = child.structure()
    # Parents are often relaxed: how much of their elements' own volume they need is
    # the best guess of what the child will need.
    fill = sum(p.structure.volume / additive_volume(p.structure) for p in parents)
    structure.scale_lattice(additive_volume(structure) * fill / len(parents))
    source = {"operator": operator, "parents": [p.id for p in parents]}
    return Crystal(name, structure, source=source)
