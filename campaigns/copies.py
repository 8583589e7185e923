"""What came of earlier picks that looked like copies of what was known, and of others.

The ledger holds what every pick was expected to find, the answers say what it found:
the weights of :class:`~campaigns.acquisition.claims.Claims` are worked out from both,
round by round, so that a campaign that goes on weighs as the uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from campaigns.acquisition.claims import Claims
from campaigns.acquisition.hull import MARGIN
from campaigns.ledger import Event
from campaigns.state import State
from matdisco.errors import DataError
from matdisco.thermo import Hull


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
    for event in events:
        if event.kind == "proposed":
            _learn(claims, state, event)
    weight = claims.weight(state.answered, free)
    assert weight is not None
    return weight


def _learn(claims: Claims, state: State, event: Event) -> None:
    """Take one round into account, as far as it is answered."""
    energy = dict(zip(state.answered.tolist(), state.answers.tolist(), strict=True))
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
    try:
        known = Hull(
            state.elements, state.x[before], np.array([energy[i] for i in before])
        )
    except DataError:  # an element had no answer yet
        return
    formation = np.array([energy[i] for i in batch]) - state.x[batch] @ known.references
    claims.learn(
        before, batch, np.array([picks[i] for i in batch]),
        known.height(state.x[batch]) - formation > MARGIN,
    )  # fmt: skip
