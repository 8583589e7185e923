"""What a peer is to a replay, and what it is told about the pool."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch

from campaigns.replay.features import table
from campaigns.replay.peers.recipes import AnyPeer, BayBE
from campaigns.replay.pools import Pool
from matdisco.errors import ConfigError, MissingExtra
from surrogates.featurizers.table import Standardizer


class Peer(Protocol):
    """A package that learns from answers and chooses what is asked next.

    It knows candidates by their labels, one per different row of descriptors.
    """

    def learn(self, labels: np.ndarray, merit: np.ndarray) -> None:
        """Take the newest answers into account.

        Args:
            labels: what was evaluated since the last call, shape (n,), int; a label
                may come again where several candidates share it.
            merit: the answers, higher is better, shape (n,).
        """
        ...

    def choose(self, q: int, free: np.ndarray) -> list[int]:
        """Return ``q`` different labels out of ``free``, shape (m,), m >= q."""
        ...


def require(recipe: AnyPeer) -> None:
    """Check that a peer is installed.

    Raises:
        MissingExtra: it is not.
    """
    if importlib.util.find_spec(recipe.kind) is None:
        raise MissingExtra(recipe.kind, "peers")


def peer(recipe: AnyPeer, x: np.ndarray) -> Peer:
    """Return what a recipe asks for, ready for one replay.

    Args:
        recipe: which package.
        x: descriptors of each label, all rows different, shape (labels, d).

    Raises:
        MissingExtra: the package is not installed.
    """
    require(recipe)
    if isinstance(recipe, BayBE):
        from campaigns.replay.peers.baybe import BayBEPeer

        return BayBEPeer(x)
    from campaigns.replay.peers.ax import AxPeer

    return AxPeer(x)


def descriptors(pool: Pool, recipe: AnyPeer) -> np.ndarray:
    """Return what a peer is told about the candidates, shape (n, d).

    Columns that are the same for all are left out. Nothing here looks at an answer.

    Raises:
        ConfigError: the pool has nothing that a feature can be made of, no column
            differs, or more components are asked for than there are columns.
    """
    x = table(pool, recipe.features).astype(float)
    x = x[:, x.std(axis=0) > 1e-10]
    if not x.shape[1]:
        raise ConfigError(
            f"learner {recipe.kind}: features {', '.join(recipe.features)} are the "
            "same for every candidate"
        )
    if recipe.components is None:
        return x
    if recipe.components > min(x.shape):
        raise ConfigError(
            f"learner {recipe.kind}: components: expected at most {min(x.shape)} from "
            f"{len(x)} candidates with {x.shape[1]} columns, got {recipe.components}"
        )
    u, s, v = np.linalg.svd(Standardizer.of(x)(x), full_matrices=False)
    # the sign of a component is free: the same on every machine
    sign = np.sign(v[np.arange(len(v)), np.abs(v).argmax(axis=1)])
    kept: np.ndarray = (u * s * sign)[:, : recipe.components]
    return kept


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all global generators, which peers draw from, and put them back after."""
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
