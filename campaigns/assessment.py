"""No money on an untested surrogate: a card before the start, a check every round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from matdisco.errors import CampaignError, ConfigError
from matdisco.recipe import Recipe

if TYPE_CHECKING:
    from campaigns.state import State
    from matdisco.crystal import Crystal
    from surrogates.base import Prediction, Surrogate

LEAST_ERRORS = 12
"""Answered proposals below which a round says nothing about calibration: the root mean
square of twelve perfect z scores still scatters by 20 %."""


class AssessmentRecipe(Recipe):
    """What a surrogate must have passed before and during a campaign."""

    card: str | None = None
    """Card folder of ``matdisco surrogate assess``; the campaign starts only if it
    verifies and is about this surrogate's recipe and target."""
    least: Literal["pass", "warn"] = "warn"
    """Worst verdict of that card with which the campaign may start."""
    each_round: bool = False
    """Check every freshly fitted surrogate: invariances, absurd inputs, and calibration
    on the answers to its own earlier proposals. The result is part of the record."""
    on_failure: Literal["note", "explore", "stop"] = "note"
    """If a round's check fails: note it, draw that round at random, or stop."""
    crystals: int = Field(6, ge=1)
    """Answered crystals on which a round's check turns, shakes and swaps atoms."""


def check_card(recipe: AssessmentRecipe, surrogate: Recipe, target: str) -> None:
    """Refuse to start without the card that the configuration asks for.

    Raises:
        ConfigError: no such card, it does not verify, it failed, or it is about
            something else; says which.
    """
    if recipe.card is None:
        return
    from surrogates.assessment.card import Card, problems

    where = f"assessment.card: {recipe.card}"
    if not Path(recipe.card).exists():
        raise ConfigError(
            f"{where}: no such card; make it with: matdisco surrogate assess "
            f"CHECKPOINT DATASET --to {recipe.card}"
        )
    found = problems(recipe.card)
    if found:
        raise ConfigError(f"{where}: does not verify: {found[0]}")
    card = Card.read(recipe.card)
    model, about = card.body["model"], card.body["data"]["target"]
    if model.get("recipe_digest") != surrogate.digest():
        raise ConfigError(
            f"{where}: is about {card.name} ({model['kind']}), whose recipe is not "
            "that of this campaign's surrogate; assess a checkpoint of this recipe"
        )
    if about != target:
        raise ConfigError(
            f"{where}: is about the target {about}, this campaign learns {target}"
        )
    allowed = ("pass",) if recipe.least == "pass" else ("pass", "warn")
    if card.verdict not in allowed:
        failed = "; ".join(card.failures()[:3]) or f"verdict {card.verdict}"
        raise ConfigError(f"{where}: expected {' or '.join(allowed)}, but {failed}")


def check_round(
    recipe: AssessmentRecipe,
    surrogate: Surrogate,
    prediction: Prediction,
    state: State,
    past: np.ndarray,
    scale: float,
    seed: int,
) -> dict[str, Any]:
    """Assess a freshly fitted surrogate; depends on its arguments alone.

    Args:
        recipe: what to do.
        surrogate: as fitted.
        prediction: of the whole pool, recalibrated.
        state: what is known.
        past: (predicted, true, error over raw sigma) of answered proposals, (n, 3).
        scale: factor on every sigma.
        seed: of the random rotations and displacements.

    Returns:
        Plain data: verdict, failed keys, and every measure.
    """
    from surrogates.assessment import certainty, robustness
    from surrogates.assessment.result import Section, worst
    from surrogates.assessment.subject import Guess, Subject
    from surrogates.assessment.suite import SuiteRecipe
    from surrogates.assessment.trial import Trial

    def predict(crystals: Sequence[Crystal]) -> Guess:
        found = surrogate.predict(crystals)
        return Guess(found.mean, scale * found.std)

    suite = SuiteRecipe(
        name="round", seed=seed, robustness_crystals=recipe.crystals, refits=False,
        sections=("calibration", "robustness"), requires=(),
    )  # fmt: skip
    rows = np.array(state.answered, dtype=int)
    known = state.pool.take(rows)
    trial = Trial(
        suite, Subject("surrogate", "checkpoint", {}), "", known.ids,
        np.asarray(state.targets, dtype=float),
        Guess(prediction.mean[rows], prediction.std[rows]), "", known, predict=predict,
    )  # fmt: skip
    shaken = Section("robustness", suite.thresholds)
    robustness.measure(trial, shaken)
    sure = Section("calibration", suite.thresholds)
    usable = past[np.abs(past[:, 2]) > 1e-9]
    if len(usable) < LEAST_ERRORS:
        sure.skip("calibration", f"{len(usable)} answered proposals are too few")
    else:
        mean, true = usable[:, 0], usable[:, 1]
        sigma = scale * (true - mean) / usable[:, 2]
        names = tuple(str(i) for i in range(len(mean)))
        earlier = Trial(
            suite, trial.subject, "", names, true, Guess(mean, np.abs(sigma)), ""
        )
        certainty.measure(earlier, sure)
    measures = [*sure.measures, *shaken.measures]
    failed = [m.key for m in measures if m.verdict == "fail"]
    return {
        "verdict": worst(m.verdict for m in measures),
        "failed": failed,
        "measures": {m.key: m.value for m in measures},
        "skipped": {**sure.skipped, **shaken.skipped},
    }


def refuse(round_: int, check: dict[str, Any]) -> None:
    """Stop a campaign whose surrogate failed its check.

    Raises:
        CampaignError: always; names the checks.
    """
    raise CampaignError(
        f"round {round_}: the surrogate failed its assessment "
        f"({', '.join(check['failed'])}) and assessment.on_failure is stop; nothing "
        "was spent on this round"
    )
