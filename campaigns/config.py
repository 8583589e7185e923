"""The campaign's YAML file: the one place that reads it, checks it, writes it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from campaigns.acquisition.fits import check as check_acquisition
from campaigns.acquisition.recipes import (
    MOST_ELEMENTS,
    AnyAcquisition,
    HullRule,
    LogExpectedImprovement,
)
from campaigns.assessment import AssessmentRecipe, check_card
from campaigns.config_blocks import (
    BudgetRecipe,
    PeopleRecipe,
    ReviewRecipe,
    StartRecipe,
    TrackingRecipe,
)
from campaigns.file_kinds import load_kind
from campaigns.fronts.check import check_base, check_front
from campaigns.gate import GateRecipe
from campaigns.idle import check_idle
from campaigns.ladder.check import check_costs, check_ladder, check_money, settled
from campaigns.ladder.choice import check_choice, check_prices
from campaigns.ladder.recipe import RungRecipe
from campaigns.objectives import AnyObjective, HullObjective
from campaigns.stopping import StoppingRecipe
from campaigns.stopping import check as check_stopping
from matdisco.candidates.base import SizeEstimate
from matdisco.candidates.evolution import EvolutionRecipe
from matdisco.candidates.recipes import AnyCandidates
from matdisco.candidates.where import outside_fractions
from matdisco.errors import ConfigError, MatdiscoError
from matdisco.evaluators.execution_recipe import ExecutionRecipe
from matdisco.evaluators.recipes import AnyEvaluator
from matdisco.recipe import Recipe
from matdisco.recipe_file import parse
from matdisco.screening.recipe import ScreeningRecipe
from surrogates.recipes import AnySurrogate


class CampaignConfig(Recipe):
    """One campaign, from its candidates to its budget."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the campaign in MLflow and in reports."""
    description: str = ""
    """What is asked and why, for whoever reads the report."""
    seed: int = Field(0, ge=0)
    """Seed of everything random; the same seed gives the same campaign."""
    candidates: AnyCandidates
    """Where the candidates come from."""
    screening: ScreeningRecipe | None = None
    """Questions to every candidate before it may cost anything; null asks none."""
    growth: EvolutionRecipe | None = None
    """New candidates between rounds, bred from the best so far; null grows none."""
    objective: AnyObjective = Field(default_factory=HullObjective)
    """What is wanted."""
    evaluator: AnyEvaluator
    """What answers for a candidate."""
    execution: ExecutionRecipe = Field(default_factory=ExecutionRecipe)
    """How evaluations are run."""
    ladder: tuple[RungRecipe, ...] = ()
    """Dearer evaluators that confirm the best, each the best of the one before it."""
    start: StartRecipe = Field(default_factory=StartRecipe)
    """The first round."""
    surrogate: AnySurrogate
    """What learns from the answers."""
    acquisition: AnyAcquisition = Field(default_factory=LogExpectedImprovement)
    """How the next candidates are chosen."""
    assessment: AssessmentRecipe = Field(default_factory=AssessmentRecipe)
    """What the surrogate must have passed."""
    gate: GateRecipe = Field(default_factory=GateRecipe)
    """What happens when the newest answers refute the stated uncertainty."""
    budget: BudgetRecipe
    """When to stop."""
    stopping: StoppingRecipe = Field(default_factory=StoppingRecipe)
    """Reasons to stop earlier."""
    people: PeopleRecipe = Field(default_factory=PeopleRecipe)
    """What waits for a person."""
    tracking: TrackingRecipe = Field(default_factory=TrackingRecipe)
    """MLflow."""
    review: ReviewRecipe = Field(default_factory=ReviewRecipe)
    """What the report compares with."""
    version: Literal[1] = 1
    """Version of this file's format."""

    @field_validator("description")
    @classmethod
    def _tidy(cls, value: str) -> str:
        return " ".join(value.split())

    @model_validator(mode="after")
    def _objective_fits_evaluator(self) -> Self:
        space = self.candidates.chemical_space()
        fixed = self.evaluator.fixed_for(frozenset(space or ()))
        object.__setattr__(self, "evaluator", fixed)
        elements = frozenset(space or ())
        object.__setattr__(self, "ladder", settled(self.ladder, elements))
        given = self.evaluator.properties()
        if missing := [k for k in self.objective.labels if k not in given]:
            raise ValueError(
                f"objective needs the label {missing[0]!r}, but the "
                f"evaluator gives {', '.join(given)}"
            )
        check_front(self)
        check_ladder(self.ladder, self.evaluator, self.objective)
        check_money(self.budget.money, self.execution, self.ladder)
        check_costs(self.acquisition, self.evaluator, self.ladder)
        hull = isinstance(self.objective, HullObjective)
        check_acquisition(self.acquisition, self.objective)
        check_choice(self)
        check_stopping(self.stopping, self.objective)
        check_idle(self)
        if hull and self.start.per_element < 1:
            raise ValueError(
                "start.per_element: expected at least 1 with objective "
                "energy_above_hull (a hull needs every pure element), got 0"
            )
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read and validate a YAML file.

        Raises:
            ConfigError: one line per mistake, each with file, line and key; one
                sentence where it is a file for another command.
        """
        return load_kind(cls, path, "campaign")

    @classmethod
    def parse(cls, text: str, *, source: str) -> Self:
        """Validate the text of a YAML file; see :meth:`load`."""
        return parse(cls, text, source=source)

    def dump(self) -> str:
        """Write the resolved configuration as YAML; :meth:`parse` reads it back."""
        return yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True
        )

    @override
    def digest(self) -> str:
        """Return the hash of all that decides which proposals are made."""
        from matdisco.recipe import digest

        kept = self.model_dump(
            mode="json",
            exclude={
                "description": True,
                "tracking": True,
                "review": True,
                "budget": True,
                "stopping": True,
                "execution": True,
                "people": True,
                "gate": {"fall_back", "share"},
                "ladder": {"__all__": {"evaluations", "execution"}},
                "evaluator": set(self.evaluator.unhashed),
            },
        )
        return digest(kept)

    def check(self) -> SizeEstimate:
        """Refuse what cannot work, before anything is spent or written.

        Returns:
            The size of the candidate pool.

        Raises:
            ConfigError: the pool is empty or too small, an element has no
                reference, or the evaluator cannot do what is asked.
        """
        size = self.candidates.estimate()
        first = self._first_round()
        if self.acquisition.batch_size > size.count:
            raise ConfigError(
                f"acquisition.batch_size: {self.acquisition.batch_size} is more than "
                f"the pool of {size} candidates"
            )
        if self.budget.evaluations < first:
            raise ConfigError(
                f"budget.evaluations: {self.budget.evaluations} does not cover the "
                f"first round of {first} (start.per_element, random, include)"
            )
        space = self.candidates.chemical_space()
        if space is not None:
            self._check_references()
        if isinstance(self.acquisition, HullRule) and len(space or ()) > MOST_ELEMENTS:
            raise ConfigError(
                f"acquisition.kind: {self.acquisition.kind} draws whole hulls, which "
                f"takes hours beyond {MOST_ELEMENTS} elements, and the candidates have "
                f"{len(space or ())}; use log_expected_improvement or "
                "upper_confidence_bound, or several campaigns of fewer elements"
            )
        elements = frozenset(space or ())
        self._named("screening", lambda: self._check_screening(space))
        self._named("evaluator", lambda: self.evaluator.check(elements))
        self._named("execution", self.execution.check)
        for i, rung in enumerate(self.ladder):
            where = f"ladder[{i}]"
            self._named(f"{where}.evaluator", partial(rung.evaluator.check, elements))
            if rung.execution is not None:
                self._named(f"{where}.execution", rung.execution.check)
            hull = isinstance(self.objective, HullObjective)
            if hull and rung.evaluations <= len(elements):
                raise ConfigError(
                    f"{where}.evaluations: {rung.evaluations} is used up by the "
                    f"references of {len(elements)} elements; give more"
                )
        self._named("review", self._check_review)
        self._named("surrogate", self._check_surrogate)
        self._named("surrogate", partial(check_base, self))
        check_card(self.assessment, self.surrogate, self.objective.target)
        check_prices(self, size.mean_atoms)
        return size

    def _first_round(self) -> int:
        space = self.candidates.chemical_space() or ()
        elements = (
            len(space) * self.start.per_element
            if isinstance(self.objective, HullObjective)
            else 0
        )
        return elements + self.start.random + len(self.start.include)

    def _check_references(self) -> None:
        components = getattr(self.candidates, "components", None)
        if (
            isinstance(self.objective, HullObjective)
            and components is not None
            and 1 not in components
        ):
            raise ConfigError(
                "candidates.components: the hull needs a reference for every pure "
                f"element, but components {list(components)} leaves the elements out; "
                "add 1"
            )
        where = self.candidates.where
        if not isinstance(self.objective, HullObjective) or where is None:
            return
        for element in self.candidates.chemical_space() or ():
            why = outside_fractions({element: 1}, where.fractions)
            if why or not where.allows_elements((element,)):
                raise ConfigError(
                    "candidates.where: the hull needs a reference for every pure "
                    f"element, but pure {element} is left out"
                    f"{f' ({why})' if why else ''}; loosen it, or put a source of the "
                    "elements beside this one with kind: union"
                )

    def _check_screening(self, space: tuple[str, ...] | None) -> None:
        if self.screening is None:
            return
        from matdisco.data.shipped import resolve

        for name in self.screening.novelty.against:
            if not resolve(name).exists():
                raise ConfigError(f"screening.novelty.against: no such file: {name}")
        policy = self.screening.elements
        if policy.severity == "reject" and space:
            barred = {e: policy.objection(e) for e in space}
            if all(barred.values()):
                raise ConfigError(
                    "screening.elements: the policy bars every element of the "
                    f"candidates, for example {barred[space[0]]}"
                )

    def _check_review(self) -> None:
        from matdisco.data.shipped import resolve

        if self.review.truth and not resolve(self.review.truth).exists():
            raise ConfigError(f"review.truth: no such file: {self.review.truth}")

    def _check_surrogate(self) -> None:
        from importlib.util import find_spec

        from matdisco.data.shipped import resolve
        from matdisco.errors import MissingExtra

        pretrain = getattr(self.surrogate, "pretrain", None)
        if pretrain and not resolve(pretrain).exists():
            raise ConfigError(f"surrogate.pretrain: no such file: {pretrain}")
        answers = getattr(self.surrogate, "answers", None)
        if answers is not None:
            answers.build(self.objective.target)
        for package, extra in getattr(self.surrogate, "packages", ()):
            if find_spec(package) is None:
                raise MissingExtra(package, extra)

    @staticmethod
    def _named(block: str, action: Any) -> None:
        try:
            action()
        except ConfigError:
            raise
        except MatdiscoError as error:
            text = str(error)
            raise ConfigError(
                text if text.startswith(block) else f"{block}: {text}"
            ) from error


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a campaign file, for editors and ``schema.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **CampaignConfig.model_json_schema(),
    }
