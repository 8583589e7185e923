"""Small blocks of a campaign's file: start, budget, people, tracking and review."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from matdisco.recipe import Recipe


class StartRecipe(Recipe):
    """What is evaluated before there is anything to learn from."""

    per_element: int = Field(3, ge=0)
    """Densest-packed candidates of every pure element: the hull's corners. For
    metals these are fcc, hcp and bcc."""
    random: int = Field(8, ge=0)
    """Random candidates besides."""
    include: tuple[str, ...] = ()
    """Candidates by id that must be among the first."""


class BudgetRecipe(Recipe):
    """When to stop."""

    evaluations: int = Field(ge=1)
    """Evaluations in all, the first ones and the failed ones included."""
    rounds: int | None = Field(None, ge=1)
    """Rounds after the first; no limit when not given."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many rounds without a new best or a new stable phase."""
    core_hours: float | None = Field(None, gt=0)
    """Core-hours of all evaluations, as measured. Nothing is begun that would exceed
    them if it took as long as the longest so far; the first is taken to last as long
    as is usual for its evaluator. No limit when not given."""
    money: float | None = Field(None, gt=0)
    """The same in money: core-hours times ``execution.price_per_core_hour``."""
    currency: str = Field("EUR", min_length=1, max_length=10)
    """What money and prices are counted in."""

    @property
    def limited(self) -> bool:
        """Whether core-hours or money are limited."""
        return self.core_hours is not None or self.money is not None


class PeopleRecipe(Recipe):
    """What waits for a person."""

    approval: bool = False
    """Evaluate a round only after ``matdisco proposals RUN --approve``."""


class TrackingRecipe(Recipe):
    """Where MLflow keeps the campaign."""

    uri: str | None = None
    """MLflow tracking URI; ``mlflow.db`` beside the folder of runs when not given."""
    experiment: str = Field("matdisco", min_length=1)
    """MLflow experiment."""
    tags: Mapping[str, str] = Field(default_factory=dict)
    """Extra tags of the campaign's run."""
    enabled: bool = True
    """Whether to write to MLflow at all."""


class KnownPhase(Recipe):
    """A phase known from experiment, to see whether the campaign rediscovers it."""

    formula: str
    """Reduced formula, elements in any order."""
    prototypes: tuple[str, ...]
    """AFLOW labels under which the pool may hold it."""
    name: str = ""
    """What people call it."""


class ReviewRecipe(Recipe):
    """What the report compares the campaign with."""

    truth: str | None = None
    """Dataset with every candidate's answer (path or ``shipped:NAME``); read only
    for the report, never by the campaign."""
    known_phases: tuple[KnownPhase, ...] = ()
    """Phases known from experiment."""
