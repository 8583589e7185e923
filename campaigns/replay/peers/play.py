"""One replay of a peer: the same first labels and batches as every strategy."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from campaigns.replay.peers.base import Peer, descriptors, peer, seeded
from campaigns.replay.peers.recipes import AnyPeer
from campaigns.replay.phases import Phases
from campaigns.replay.pools import Pool


def play(
    recipe: AnyPeer,
    pool: Pool,
    first: np.ndarray,
    rounds: int,
    q: int,
    seed: int,
) -> tuple[list[int], dict[str, float]]:
    """Replay a peer with one seed.

    Args:
        recipe: the peer.
        pool: the labelled pool, with one target.
        first: rows that are labelled at the start.
        rounds: after the start.
        q: candidates per round.
        seed: of all that the peer draws.

    Returns:
        Pool rows in the order of evaluation and CPU seconds per phase.

    Raises:
        ConfigError: the pool lacks what the features are made of.
        MissingExtra: the package is not installed.
        RuntimeError: the peer chose what is not free.
    """
    unique, of = np.unique(descriptors(pool, recipe), axis=0, return_inverse=True)
    alike = Alike(of.reshape(-1))
    with _quiet():
        chooser = peer(recipe, unique)
    return _rounds(chooser, alike, pool.merit[:, 0], first, rounds, q, seed)


def _rounds(
    chooser: Peer,
    alike: Alike,
    merit: np.ndarray,
    first: np.ndarray,
    rounds: int,
    q: int,
    seed: int,
) -> tuple[list[int], dict[str, float]]:
    order = [int(i) for i in first]
    phases = Phases()
    draws = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    new = np.array(first)
    for _ in range(rounds):
        free = np.setdiff1d(np.arange(len(merit)), order)
        size = min(q, len(free))
        if size == 0:
            break
        left = np.unique(alike.label[free])
        n = min(size, len(left))
        with seeded(int(draws.integers(2**31))), _quiet():
            phases.timed("fit", lambda: chooser.learn(alike.label[new], merit[new]))  # noqa: B023
            labels = phases.timed("choose", lambda: chooser.choose(n, left))  # noqa: B023
        if len(set(labels)) != n or not set(labels) <= set(left.tolist()):
            raise RuntimeError(
                f"{type(chooser).__name__} was asked for {n} different candidates that "
                f"are free and chose {labels}"
            )
        batch = alike.rows(labels, free, size)
        order += batch
        new = np.array(batch)
    return order, phases.seconds


@dataclass(frozen=True, eq=False)
class Alike:
    """Candidates that a peer cannot tell apart: they share their descriptors."""

    label: np.ndarray
    """Label of each pool row, shape (n,), int."""

    def rows(self, labels: list[int], free: np.ndarray, q: int) -> list[int]:
        """Return ``q`` free rows: the first of every label, then more of the same."""
        first = {int(self.label[r]): int(r) for r in free[::-1]}
        chosen = [first[i] for i in labels]
        others = [int(r) for r in free if int(r) not in set(chosen)]
        return chosen + others[: q - len(chosen)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the peers and their dependencies tell while they work."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
