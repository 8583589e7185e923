"""Which other package may choose in a replay, as a replay file says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from campaigns.replay.feature_names import Features
from matdisco.recipe import Recipe


class PeerRecipe(Recipe):
    """A package that learns and chooses by itself; a strategy has no acquisition then.

    It gets the same first labels, batches and feature tables as the own strategies, and
    decides the rest by its own defaults.
    """

    features: tuple[Features, ...] = Field(min_length=1)
    """Feature tables put side by side; every column is a dimension of its own."""
    components: int | None = Field(None, ge=1, le=256)
    """Principal components of the standardised table of the whole pool that it gets
    instead of the columns; all columns when not given."""


class BayBE(PeerRecipe):
    """BayBE's Campaign with its BotorchRecommender, on candidates with descriptors.

    Needs the extra ``peers``.
    """

    kind: Literal["baybe"] = "baybe"


class Ax(PeerRecipe):
    """Ax's BOTORCH_MODULAR generator, choosing among the candidates of the pool.

    Needs the extra ``peers``.
    """

    kind: Literal["ax"] = "ax"


AnyPeer = BayBE | Ax
"""Every peer, chosen by ``kind``."""
