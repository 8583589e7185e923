"""The contract of a candidate source, and the pool it fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from matdisco.errors import ConfigError
from matdisco.recipe import Recipe

if TYPE_CHECKING:
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
    """Base of the ``candidates:`` blocks of a configuration."""

    def estimate(self) -> SizeEstimate:
        """Tell the size of the pool without building it or importing anything slow."""
        raise NotImplementedError

    def chemical_space(self) -> tuple[str, ...] | None:
        """Name the elements, alphabetical, where the recipe itself fixes them."""
        return None

    def build(self) -> Dataset:
        """Make the pool, in an order that depends on the recipe alone."""
        raise NotImplementedError


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
