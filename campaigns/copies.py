"""Another evaluator's answers in a campaign, and what came of copies that they show.

The ledger holds what every pick was expected to find, the answers say what it found:
the weights of :class:`~campaigns.acquisition.claims.Claims` are worked out from both,
round by round, so that a campaign that goes on weighs as the uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from campaigns.acquisition.claims import Claims
from campaigns.acquisition.hull import MARGIN
from campaigns.config import CampaignConfig
from campaigns.ledger import Event
from campaigns.state import State
from matdisco.data.dataset import Dataset
from matdisco.errors import ConfigError, DataError, SurrogateError
from matdisco.thermo import Hull
from surrogates.tabular.recipes import AnswersRecipe


def told_beforehand(config: CampaignConfig, pool: Dataset) -> str | None:
    """Return the content hash of the answers that the surrogate corrects, if any.

    Raises:
        ConfigError: fewer than half of the candidates have one, an id stands for
            another compound there, or nothing tells which structures are one.
    """
    recipe: AnswersRecipe | None = getattr(config.surrogate, "answers", None)
    if recipe is None:
        return None
    try:
        told = recipe.build(config.objective.target)
        told.columns(pool.crystals)
        if recipe.alike:
            told.alike(pool.crystals)
    except SurrogateError as error:
        raise ConfigError(f"surrogate.{error}") from error
    known = told.answered(pool.crystals)
    if 2 * known < len(pool):
        raise ConfigError(
            f"surrogate.answers: {recipe.dataset} has {known} of the {len(pool)} "
            "candidates, expected at least half; records are found by id, and "
            "matdisco label makes them from the same candidates block"
        )
    return told.content_hash


def chances(
    alike: np.ndarray, state: State, events: Sequence[Event], free: np.ndarray
) -> np.ndarray:
    """Return by what the worth of each free candidate is multiplied, shape (n,).

    Args:
        alike: group of every candidate of the pool that is probably one structure.
        state: what is known.
        events: the ledger so far.
        free: pool rows to choose from.
    """
    claims = Claims(alike)
    energy = dict(zip(state.answered.tolist(), state.answers.tolist(), strict=True))
    for event in events:
        if event.kind == "proposed":
            _learn(claims, state, energy, event)
    weight = claims.weight(
        state.answered, _phases(_hull(state, energy, state.answered), state.answered),
        free,
    )  # fmt: skip
    assert weight is not None
    return weight


def _hull(state: State, energy: Mapping[int, float], rows: np.ndarray) -> Hull | None:
    """Return the hull of answered rows; None where an element has no answer yet."""
    values = np.array([energy[int(i)] for i in rows])
    try:
        return Hull(state.elements, state.x[rows], values)
    except DataError:
        return None


def _phases(known: Hull | None, rows: np.ndarray) -> np.ndarray:
    """Return those of ``rows``, of which a hull was made, that are on it or as good."""
    if known is None:
        return rows[:0]
    found: np.ndarray = rows[known.energies_above < MARGIN]
    return found


def _learn(
    claims: Claims, state: State, energy: Mapping[int, float], event: Event
) -> None:
    """Take one round into account, as far as it is answered (row → energy)."""
    before = np.array(
        [i for i in energy if state.rounds[state.pool[i].id] < event.round], dtype=int
    )
    picks = {
        state.position[p["candidate"]]: float(p["acquisition"])
        for p in event.payload.get("proposals", ())
        if p["acquisition"] is not None
    }
    batch = np.array([i for i in picks if i in energy], dtype=int)
    if not len(batch):
        return
    known = _hull(state, energy, before)
    if known is None:
        return
    formation = np.array([energy[i] for i in batch]) - state.x[batch] @ known.references
    claims.learn(
        before, _phases(known, before), batch, np.array([picks[i] for i in batch]),
        known.height(state.x[batch]) - formation > MARGIN,
    )  # fmt: skip
