"""Who finds more, paired by seed, and what must be known before a card is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from campaigns.replay.intervals import LEAST_SEEDS, Estimate, difference, too_few
from campaigns.replay.metrics import area, areas, expected_recall
from campaigns.replay.pools import Pool
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.strategies import Strategy


def verdicts(
    curves: Mapping[str, np.ndarray],
    own: Sequence[str],
    others: Sequence[str],
    spent: np.ndarray,
    draws: np.ndarray,
    pool: Pool,
) -> dict[str, Any]:
    """Compare by the area under the discovery curve, paired by seed."""
    under = areas(curves, spent)
    chance = area(expected_recall(spent, pool.phases), spent)
    best = max(others, key=lambda n: under[n].mean()) if others else None
    found: dict[str, Any] = {}
    for name in own:
        mine = under[name]
        against = {"random": difference(mine, np.full(len(mine), chance), draws)}
        if best is not None:
            against["best_baseline"] = difference(mine, under[best], draws)
        words = [_words(name, "random choice", against["random"], len(mine))]
        if best is not None:
            words.append(_words(name, best, against["best_baseline"], len(mine)))
        found[name] = {
            "best_baseline": best,
            "difference": {k: v.plain() for k, v in against.items()},
            "beats_random": _SAID[against["random"].sign],
            "beats_best_baseline": (
                _SAID[against["best_baseline"].sign] if best else None
            ),
            "words": "; ".join(words),
        }
    return found


def limit_verdicts(
    curves: Mapping[str, np.ndarray],
    strategies: Mapping[str, Strategy],
    spent: np.ndarray,
    draws: np.ndarray,
) -> dict[str, Any]:
    """Compare each strategy that heeds limits with the same that ignores them.

    Returns:
        Strategy to the other's name, the paired difference of areas under the discovery
        curve and a sentence; only where both were played.
    """
    under = areas(curves, spent)
    found: dict[str, Any] = {}
    for mine in curves:
        if strategies[mine].limits == "ignore":
            continue
        blind = strategies[mine].model_copy(update={"limits": "ignore"})
        for other in (n for n in curves if strategies[n] == blind):
            gap = difference(under[mine], under[other], draws)
            found[mine] = {
                "ignoring": other,
                "difference": gap.plain(),
                "words": _words(mine, f"{other}, which ignores the limits,", gap,
                                len(under[mine])),
            }  # fmt: skip
    return found


_SAID = {
    "above": "yes", "below": "no, worse", "level": "level", "unknown": "not judged"
}  # fmt: skip
_VERBS = {"above": "beats", "below": "is worse than", "level": "is level with"}


def _words(name: str, other: str, gap: Estimate, seeds: int) -> str:
    area = f"area under the discovery curve {gap.value:+.3f}"
    if not gap.judged:
        return f"{name} beside {other}: not judged: {too_few(seeds)} ({area})"
    return (
        f"{name} {_VERBS[gap.sign]} {other} at 95 % ({area}, {gap.low:+.3f} to "
        f"{gap.high:+.3f})"
    )


def notices(config: ReplayConfig) -> list[str]:
    """Return what must be known before any number of the card is read."""
    found = []
    if not config.baselines:
        found.append(
            "no baselines were played (baselines: false): not a comparison with "
            "simpler ways than these strategies, random choice apart"
        )
    if config.seeds < LEAST_SEEDS:
        found.append(f"no intervals and no verdicts: {too_few(config.seeds)}")
    return found
