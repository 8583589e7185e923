"""Own strategies beside each peer: who finds more, paired by seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from campaigns.replay.intervals import Estimate, difference, too_few
from campaigns.replay.metrics import areas
from campaigns.replay.peers.recipes import PeerRecipe
from campaigns.replay.strategies import Strategy


def verdicts(
    curves: Mapping[str, np.ndarray],
    strategies: Mapping[str, Strategy],
    spent: np.ndarray,
    draws: np.ndarray,
) -> dict[str, Any]:
    """Compare every strategy that is no peer with every peer.

    Args:
        curves: strategy to its share found after each round, shape (seeds, rounds + 1).
        strategies: what they are.
        spent: labels after each round, shape (rounds + 1,).
        draws: resampled seeds, shape (resamples, seeds).

    Returns:
        Strategy to the peer's name to the paired difference of areas under the
        discovery curve, positive where the strategy finds more, and a sentence.
    """
    under = areas(curves, spent)
    peers = [n for n in curves if isinstance(strategies[n].learner, PeerRecipe)]
    found: dict[str, Any] = {}
    for mine in curves:
        if mine in peers or not peers:
            continue
        found[mine] = {}
        for other in peers:
            gap = difference(under[mine], under[other], draws)
            found[mine][other] = {
                "difference": gap.plain(),
                "words": _words(mine, other, gap, len(under[mine])),
            }
    return found


def _words(mine: str, other: str, gap: Estimate, seeds: int) -> str:
    area = f"area under the discovery curve {gap.value:+.3f}"
    found = f"{mine} beside the peer {other}: {area}"
    if not gap.judged:
        return f"{found} (not judged: {too_few(seeds)})"
    verb = _VERBS[gap.sign]
    return f"{found} ({gap.low:+.3f} to {gap.high:+.3f}, {verb} at 95 %)"


_VERBS = {"above": "more", "below": "less", "level": "level"}
