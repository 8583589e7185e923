"""What a replay file may say (no heavy imports)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from campaigns.file_kinds import load_kind
from campaigns.replay.strategies import Strategy as Strategy
from campaigns.replay.strategies import misfit
from campaigns.replay.targets import (
    AnyWanted,
    Front,
    Limit,
    Stable,
    Target,
    Threshold,
    Top,
)
from matdisco.recipe import Recipe

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class SitesRecipe(Recipe):
    """Cubic cells built by putting named elements on ideal positions.

    What a candidate looks like before anything is computed: positions are those of
    the prototype, not the relaxed ones of the source.
    """

    edge: str
    """Column with the cell edge, Å."""
    positions: Mapping[str, tuple[tuple[float, float, float], ...]]
    """Column with the element (or several, one per position) to fractional
    positions."""


class TablePool(Recipe):
    """A Parquet or CSV table: one row per candidate, with its answer."""

    kind: Literal["table"] = "table"
    path: str
    """The file, relative to where the command runs."""
    id: str | None = None
    """Column with a unique id; the row number when not given."""
    structure: Literal["columns", "sites", "none"] = "columns"
    """``columns``: lattice (9), species, frac_coords (3N); ``sites``: built from
    ``sites``; ``none``: the pool has no structures."""
    sites: SitesRecipe | None = None
    """How cells are built, with ``structure: sites``."""
    formula: str | None = None
    """Column with a chemical formula, for composition features without structures."""
    columns: tuple[str, ...] = ()
    """Numeric columns that are features as they stand (feature ``columns``)."""
    where: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Column to the values of the rows that are kept."""
    average_repeats: bool = False
    """Average rows whose ``columns`` are all equal: repeated experiments."""

    @model_validator(mode="after")
    def _sites_given(self) -> Self:
        if (self.structure == "sites") != (self.sites is not None):
            raise ValueError("sites: expected with structure: sites, and only then")
        return self


class DatasetPool(Recipe):
    """A dataset that matdisco wrote, or ``shipped:NAME``."""

    kind: Literal["dataset"] = "dataset"
    path: str
    """Folder, Parquet file or ``shipped:NAME``."""


AnyPool = Annotated[TablePool | DatasetPool, Field(discriminator="kind")]


class Cheaper(Recipe):
    """A cheaper answer about every candidate, which strategies may pay for."""

    name: Name
    """Its name in tables."""
    column: str | None = None
    """Column, or label of the dataset, that holds it; every candidate must have it.
    When not given it is CHGNet's energy of the unrelaxed candidate, eV/atom."""
    cost: float = Field(gt=0, lt=1)
    """What one answer costs, in units of one evaluation of the target."""
    initial: int = Field(100, ge=4)
    """Random answers at the start, those of the first target labels not counted."""
    batch_size: int = Field(200, ge=1)
    """At most so many answers per round."""


class Fidelities(Recipe):
    """What else may be asked, and at which cost; the target itself costs 1."""

    cheaper: tuple[Cheaper, ...] = Field(min_length=1, max_length=3)
    """Cheapest first."""
    initial: int | None = Field(None, ge=4)
    """Target labels at the start of strategies that ask cheaper fidelities too: the
    first of the replay's ``initial`` ones, all of them when not given."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        costs = [c.cost for c in self.cheaper]
        if any(b <= a for a, b in pairwise(costs)):
            raise ValueError(f"cheaper: expected rising costs, got {costs}")
        names = [c.name for c in self.cheaper]
        if len(set(names)) < len(names):
            raise ValueError(f"cheaper: expected different names, got {names}")
        return self


class ReplayConfig(Recipe):
    """Strategies x seeds on one labelled pool."""

    name: Name
    """Name of the replay."""
    description: str = ""
    """What is asked."""
    pool: AnyPool
    """The labelled candidates."""
    targets: tuple[Target, ...] = Field(min_length=1, max_length=4)
    """What is wanted: one goal, or several for a front. After one goal may follow
    limits, targets without a goal of their own."""
    wanted: AnyWanted = Field(default_factory=Top)
    """What counts as found."""
    initial: int = Field(50, ge=2)
    """Random labels at the start, the same for every strategy of a seed; counted."""
    batch_size: int = Field(20, ge=1)
    """Candidates per round."""
    rounds: int = Field(25, ge=1)
    """Rounds after the start."""
    seeds: int = Field(10, ge=1)
    """How many paired seeds."""
    first_seed: int = Field(0, ge=0)
    """The first of them; the others follow. What is tuned on some seeds is reported on
    others."""
    fidelities: Fidelities | None = None
    """Cheaper answers that strategies with learner ``cokriging`` may pay for. All is
    then counted in evaluations of the target, also the budget of
    ``initial + rounds * batch_size``."""
    strategies: Mapping[Name, Strategy]
    """What is compared."""
    baselines: bool = True
    """Whether the standard baselines run too; only leave them out of a quick look."""
    resamples: int = Field(2000, ge=100)
    """Bootstrap resamples of the seeds."""
    version: Literal[1] = 1
    """Version of this file's format."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self._targets_fit()
        front, hull = (isinstance(self.wanted, k) for k in (Front, Stable))
        if hull and self.targets[0].goal != "minimise":
            raise ValueError("wanted: kind stable needs an energy with goal: minimise")
        if self.fidelities is not None:
            self._fidelities_fit(self.fidelities, plain=not (front or hull))
        for name, strategy in self.strategies.items():
            said = misfit(
                strategy,
                self.wanted.kind,
                fidelities=self.fidelities is not None,
                limits=len(self.goals) < len(self.targets),
            )
            if said is not None:
                raise ValueError(f"strategies.{name}: {said}")
        return self

    def _targets_fit(self) -> None:
        goals, front = len(self.goals), isinstance(self.wanted, Front)
        if not goals:
            raise ValueError("targets: expected at least one with a goal, got limits")
        if front != (goals > 1):
            raise ValueError(
                "wanted: kind front needs two or more targets, and several targets "
                f"need kind front; got {self.wanted.kind} and {goals} with a goal"
            )
        if any(t.goal is None for t in self.targets[:goals]):
            raise ValueError("targets: expected those with a goal first, then limits")
        if any(isinstance(t.limit, Limit) != (t.goal is None) for t in self.targets if
               t.limit is not None or t.goal is None):  # fmt: skip
            raise ValueError(
                "targets: expected a goal (minimise or maximise), or without one "
                "limit: {at_least: NUMBER} or {at_most: NUMBER}"
            )
        if any(t.limit is not None for t in self.goals) and not front:
            raise ValueError(
                "targets: beside one goal a limit is a target of its own, without a "
                "goal: {column: NAME, limit: {at_least: NUMBER}}"
            )
        plain = isinstance(self.wanted, Top | Threshold) and self.fidelities is None
        if goals < len(self.targets) and not plain:
            raise ValueError(
                "targets: limits without a goal go with wanted top or threshold and "
                "without fidelities; a target of a front has limit: NUMBER"
            )

    @property
    def goals(self) -> tuple[Target, ...]:
        """The targets that are wanted low or high; the others are limits."""
        return tuple(t for t in self.targets if t.goal is not None)

    def _fidelities_fit(self, fidelities: Fidelities, *, plain: bool) -> None:
        if not plain:
            raise ValueError(
                "fidelities: expected with wanted top or threshold and one target, got "
                f"{self.wanted.kind}"
            )
        if fidelities.initial is not None and fidelities.initial > self.initial:
            raise ValueError(
                f"fidelities.initial: expected at most initial ({self.initial}), got "
                f"{fidelities.initial}"
            )

    @property
    def budget(self) -> int:
        """What a replay may spend, in evaluations of the target."""
        return self.initial + self.rounds * self.batch_size

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and validate a YAML file.

        Raises:
            ConfigError: one line per mistake; one sentence where it is a file for
                another command.
        """
        return load_kind(cls, path, "replay")
