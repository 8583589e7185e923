"""Random crystals with symmetry, by PyXtal.

Sites are drawn on the Wyckoff positions of a space group (S. Fredericks et al.,
Comput. Phys. Commun. 261, 107810 (2021)). Each crystal has a generator of its own, so
that the k-th does not depend on how many are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from matdisco.candidates.base import (
    LOOKED,
    CandidateRecipe,
    Compositions,
    Limits,
    SizeEstimate,
    refuse_empty,
)
from matdisco.candidates.where import Where, outside_components
from matdisco.elements import SYMBOLS, check_elements
from matdisco.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from pymatgen.core import Structure

    from matdisco.crystal import Crystal

MOST_SETS = 1_000_000
"""Sets of elements that are listed to draw from, in some 100 MB."""
DRAWS = 10_000
"""Compositions that are drawn, in a second, to see whether one meets ``where``."""
HEAVIEST = "Cm"
"""Last element whose radii PyXtal knows."""


class RandomSymmetricCandidates(CandidateRecipe):
    """Random crystals in random space groups."""

    kind: Literal["random_symmetric"] = "random_symmetric"
    elements: tuple[str, ...] = Field(min_length=1)
    """The chemical space."""
    components: tuple[int, ...] = (2, 3)
    """How many different elements a candidate may hold."""
    n: int = Field(100, ge=1)
    """How many to make."""
    min_atoms: int = Field(2, ge=1)
    """Fewest atoms in the primitive cell."""
    max_atoms: int = Field(12, ge=1, le=200)
    """Most atoms in the primitive cell."""
    space_groups: tuple[int, int] = (2, 230)
    """First and last space group number to draw from."""
    volume: Literal["additive", "bonds"] = "bonds"
    """Starting volume, see ``kind: prototypes``."""
    volume_spread: float = Field(0.1, ge=0, lt=0.5)
    """Volumes are drawn uniformly within this share around the starting volume."""
    largest_volume: float = Field(1.5, gt=1)
    """Draw again where the volume is more than this times the sum of the elements' own
    volumes: then two atoms sit nearly on one spot and hold the others apart."""
    tries: int = Field(100, ge=1, le=10_000)
    """Draws of composition and space group for one candidate before giving it up."""
    seed: int = Field(0, ge=0)
    """Seed of everything drawn."""

    @field_validator("elements")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = SYMBOLS[: SYMBOLS.index(HEAVIEST) + 1]
        unknown = [e for e in check_elements(value) if e not in known]
        if unknown:
            raise ValueError(
                f"PyXtal has no radii of {', '.join(unknown)}; expected elements up to "
                f"{HEAVIEST}"
            )
        return value

    @field_validator("components")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1:
            raise ValueError(
                f"expected numbers of different elements from 1 up, got {list(value)}"
            )
        return value

    @model_validator(mode="after")
    def _feasible(self) -> RandomSymmetricCandidates:
        first, last = self.space_groups
        if not 1 <= first <= last <= 230:
            raise ValueError(
                f"space_groups: expected two numbers from 1 to 230, got {[first, last]}"
            )
        if self.min_atoms > self.max_atoms:
            raise ValueError(
                f"min_atoms: {self.min_atoms} is more than max_atoms {self.max_atoms}"
            )
        if not any(1 <= k <= len(self.elements) for k in self.components):
            raise ValueError(
                f"components: none of {list(self.components)} fits "
                f"{len(self.elements)} elements"
            )
        sets = sum(comb(len(self.elements), k) for k in self.components)
        if sets > MOST_SETS:
            raise ValueError(
                f"components: {sets:,} sets of elements to draw from, more than "
                f"{MOST_SETS:,}; give fewer elements or components"
            )
        if self.max_atoms < min(self.components):
            raise ValueError(
                f"max_atoms: {self.max_atoms} is fewer than the "
                f"{min(self.components)} elements of a candidate"
            )
        return self

    @override
    def own_space(self) -> tuple[str, ...]:
        return tuple(sorted(self.elements))

    @override
    def own_limits(self) -> Limits:
        elements = super().own_limits()
        return lambda counts: (
            elements(counts) or outside_components(len(counts), self.components)
        )

    @override
    def why_none_made(self) -> str:
        return (
            f"{self.title()}: no composition and space group that were drawn fit "
            f"{self.min_atoms} to {self.max_atoms} atoms in space groups "
            f"{self.space_groups[0]} to {self.space_groups[1]}; widen those, or raise "
            "tries"
        )

    @override
    def title(self) -> str:
        return "random-" + "-".join(sorted(self.elements))

    @override
    def counts_where(self) -> bool:
        return True

    @override
    def size(self) -> SizeEstimate:
        """Bound the number.

        Raises:
            ConfigError: PyXtal is not installed, or no composition that is drawn meets
                ``where``.
        """
        if find_spec("pyxtal") is None:
            raise MissingExtra("pyxtal", "generators")
        mean, doubt = (self.min_atoms + self.max_atoms) / 2, ""
        if self.where is not None and next(self._drawn(self.where), None) is None:
            doubt = self.why_nothing()
            if self.n * self.tries <= DRAWS:
                refuse_empty(0, doubt)
        return SizeEstimate(self.n, False, mean, doubt)

    @override
    def compositions(self) -> Compositions:
        """Tell some that are drawn; which of them symmetry permits is seen later."""
        return list(islice(self._drawn(None), LOOKED)), False

    def _drawn(self, where: Where | None) -> Iterator[Mapping[str, int]]:
        """Yield the compositions among :data:`DRAWS` that meet conditions."""
        import numpy as np

        spaces = self._spaces()
        rng = np.random.default_rng(self.seed)
        for _ in range(DRAWS):
            counts = self._composition(rng, spaces)
            if counts is not None and (where is None or where.allows(counts)):
                yield counts

    def _spaces(self) -> list[tuple[str, ...]]:
        """Return the sets of elements to draw from.

        Raises:
            ConfigError: ``where`` allows none.
        """
        spaces = [
            s
            for k in self.components
            for s in combinations(sorted(self.elements), k)
            if self.where is None or self.where.allows_elements(s)
        ]
        if not spaces:
            raise ConfigError(
                "candidates.where: allows none of the sets of "
                f"{', '.join(map(str, self.components))} elements out of "
                f"{', '.join(sorted(self.elements))}; relax it"
            )
        return spaces

    @override
    def generate(self) -> Iterator[Crystal]:
        import numpy as np

        from matdisco.crystal import Crystal

        spaces = self._spaces()
        for k in range(self.n):
            rng = np.random.default_rng(np.random.SeedSequence([self.seed, k]))
            for _ in range(self.tries):
                made = self._draw(rng, spaces)
                if made is not None:
                    structure, group = made
                    formula = structure.composition.reduced_formula
                    source = {"space_group": group, "generator": "pyxtal"}
                    yield Crystal(f"{formula}.random-{k:06d}", structure, source=source)
                    break

    def _draw(
        self, rng: np.random.Generator, spaces: list[tuple[str, ...]]
    ) -> tuple[Structure, int] | None:
        """Draw composition, space group and sites; None where they do not fit."""
        counts = self._composition(rng, spaces)
        if counts is None or (self.where and not self.where.allows(counts)):
            return None
        group = int(rng.integers(self.space_groups[0], self.space_groups[1] + 1))
        structure = _pyxtal(group, counts, int(rng.integers(2**31)))
        share = 1 + self.volume_spread * float(rng.uniform(-1, 1))
        if structure is None or len(structure) > self.max_atoms:
            return None
        from matdisco.candidates.volume import additive_volume, prescaled

        scaled = prescaled(structure, self.volume, share)
        if scaled.volume > self.largest_volume * additive_volume(scaled):
            return None  # two atoms nearly on one spot have blown the cell up
        return scaled, group

    def _composition(
        self, rng: np.random.Generator, spaces: list[tuple[str, ...]]
    ) -> dict[str, int] | None:
        import numpy as np

        space = spaces[int(rng.integers(len(spaces)))]
        low, high = max(self.min_atoms, len(space)), self.max_atoms
        if low > high:
            return None
        total = int(rng.integers(low, high + 1))
        # Cutting points without repetition: every split into positive parts alike.
        cuts = np.sort(rng.choice(np.arange(1, total), len(space) - 1, replace=False))
        parts = np.diff(np.concatenate([[0], cuts, [total]])).astype(int)
        counts = {e: int(n) for e, n in zip(space, parts, strict=True)}
        return counts


def _pyxtal(group: int, counts: Mapping[str, int], seed: int) -> Structure | None:
    """Return a primitive cell with these atoms, or None where the group forbids it."""
    import warnings

    try:
        from pyxtal import pyxtal
        from pyxtal.msg import Comp_CompatibilityError
    except ImportError as error:
        raise MissingExtra("pyxtal", "generators") from error
    crystal: Any = pyxtal()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            crystal.from_random(
                3, group, list(counts), list(counts.values()),
                conventional=False, random_state=seed,
            )  # fmt: skip
        except Comp_CompatibilityError:
            return None
        if not crystal.valid:
            return None
        whole: Structure = crystal.to_pymatgen()
        primitive = whole.get_primitive_structure()
    if primitive.composition.reduced_formula != whole.composition.reduced_formula:
        return None
    plain = primitive.__class__(
        primitive.lattice,
        [site.specie.symbol for site in primitive],
        primitive.frac_coords % 1.0,
    )
    return plain.get_sorted_structure()
