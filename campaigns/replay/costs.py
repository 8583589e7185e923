"""What a replay with several fidelities is judged by: the cost of the same result.

Costs are in units of one evaluation of the target. They are compared paired by seed
with the best strategy that asks nothing but the target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from campaigns.replay.intervals import Estimate, interval, too_few
from campaigns.replay.learner_recipes import Cokriging
from campaigns.replay.metrics import labels_for
from campaigns.replay.recipes import Strategy
from campaigns.replay.trace import Trace

RECALLS = (0.5, 0.8)
"""Shares of what is wanted whose cost is compared."""


def costs(curves: np.ndarray, spent: np.ndarray, draws: np.ndarray) -> dict[str, Any]:
    """Return what each recall costs, of the mean curve and with its interval.

    Args:
        curves: recall at each cost, shape (seeds, costs).
        spent: the costs, shape (costs,).
        draws: bootstrap draws of seeds, shape (resamples, seeds).
    """
    found = {}
    for recall in RECALLS:
        value = labels_for(curves.mean(axis=0), spent, recall)
        again = np.array([labels_for(c, spent, recall) for c in curves[draws].mean(1)])
        found[f"cost{recall * 100:.0f}"] = _rising(value, again, len(curves)).plain()
    return found


def ratio(
    mine: np.ndarray, other: np.ndarray, spent: np.ndarray, draws: np.ndarray,
    recall: float,
) -> Estimate:  # fmt: skip
    """Return the cost of a recall over that of another strategy, paired by seed.

    Where the other does not reach it, it counts as having reached it with its last
    evaluation, which favours it.
    """

    def one(a: np.ndarray, b: np.ndarray) -> float:
        return labels_for(a, spent, recall) / min(
            labels_for(b, spent, recall), float(spent[-1])
        )

    pairs = zip(mine[draws].mean(axis=1), other[draws].mean(axis=1), strict=True)
    again = np.array([one(a, b) for a, b in pairs])
    return _rising(one(mine.mean(axis=0), other.mean(axis=0)), again, len(mine))


def verdicts(
    curves: Mapping[str, np.ndarray],
    strategies: Mapping[str, Strategy],
    own: Sequence[str],
    spent: np.ndarray,
    draws: np.ndarray,
) -> dict[str, Any]:
    """Compare every strategy of several fidelities with the best of the target alone.

    Returns:
        Strategy to its ratios of cost and a sentence.
    """
    single = [n for n in curves if not isinstance(strategies[n].learner, Cokriging)]
    found: dict[str, Any] = {}
    if not single:
        return found

    def area(name: str) -> float:
        return float(np.trapezoid(curves[name].mean(axis=0), spent))

    best = max(single, key=area)
    for name in own:
        if name in single:
            continue
        rows = {
            r: ratio(curves[name], curves[best], spent, draws, r) for r in RECALLS
        }  # fmt: skip
        reached = {
            r: labels_for(curves[best].mean(axis=0), spent, r) <= spent[-1]
            for r in RECALLS
        }
        seeds = len(curves[name])
        words = [_words(r, e, seeds, reached=reached[r]) for r, e in rows.items()]
        found[name] = {
            "single": best,
            "ratio": {f"{r * 100:.0f}": e.plain() for r, e in rows.items()},
            "at_most_half": {f"{r * 100:.0f}": _half(e) for r, e in rows.items()},
            "words": f"{name} against {best}, which asks only the target: "
            + "; ".join(words),
        }
    return found


def asked(traces: Sequence[Trace]) -> dict[str, float]:
    """Return the mean number of answers of each cheaper fidelity."""
    names = traces[0].asked
    return {n: float(np.mean([t.asked[n] for t in traces])) for n in names}


def _half(found: Estimate) -> str:
    """Say whether the cost is at most half: yes, no, level or not judged."""
    if not found.judged:
        return "not judged"
    if found.high is not None and found.high <= 0.5:
        return "yes"
    # a lower end that is not reached is above any cost
    return "level" if found.low is not None and found.low <= 0.5 else "no"


_HALVES = {"yes": "at most half", "no": "more than half", "level": "level with half"}


def _words(recall: float, found: Estimate, seeds: int, *, reached: bool) -> str:
    share = f"{recall * 100:.0f} %"
    if found.value is None:
        return f"{share} is not reached"
    but = "" if reached else ", which does not reach it (its whole budget is taken)"
    times = f"{share} is found at {found.value:.2f} times the cost"
    if not found.judged:
        return f"{times} (not judged: {too_few(seeds)}){but}"
    high = "not reached" if found.high is None else f"{found.high:.2f}"
    low = "not reached" if found.low is None else f"{found.low:.2f}"
    return f"{times} ({low} to {high}, {_HALVES[_half(found)]} at 95 %){but}"


def _rising(value: float, again: np.ndarray, seeds: int) -> Estimate:
    """Return an estimate of something of which inf, "not reached", is the worst."""
    reached = None if value == float("inf") else value
    return interval(reached, again, seeds, rising=True)
