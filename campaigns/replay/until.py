"""How many evaluations a strategy needs until a share of what is wanted is found.

Each seed is counted for itself, in whole batches: what a batch finds is known when all
of it is paid for. A seed that does not get there counts with the whole budget, so that
means are restricted means (P. Royston and M. K. B. Parmar, BMC Med. Res. Methodol. 13,
152 (2013)): they are too low for a strategy that does not arrive, which favours it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from campaigns.acquisition.recipes import HullRule
from campaigns.replay.intervals import Estimate, difference, interval, too_few
from campaigns.replay.metrics import recall_curve
from campaigns.replay.recipes import Strategy

SHARES = (0.5, 0.8, 0.9, 1.0)
"""Shares of what is wanted."""
CAMPAIGNS = 1000
"""Simulated campaigns of random choice."""


def needed(curves: np.ndarray, spent: np.ndarray, share: float) -> np.ndarray:
    """Return the evaluations at the end of the batch that reaches a share.

    Args:
        curves: recall after each count of ``spent``, shape (seeds, rounds + 1).
        spent: evaluations after each round, shape (rounds + 1,).
        share: from 0 to 1.

    Returns:
        One number per seed, shape (seeds,); inf where it is not reached.

    >>> needed(np.array([[0.0, 0.5], [0.0, 0.4]]), np.array([10, 20]), 0.5)
    array([20., inf])
    """
    reached = curves >= share - 1e-9
    first = spent[reached.argmax(axis=1)].astype(float)
    return np.where(reached.any(axis=1), first, np.inf)


def until(curves: np.ndarray, spent: np.ndarray, draws: np.ndarray) -> dict[str, Any]:
    """Return for every share the restricted mean, its interval and how many arrive.

    Args:
        curves: one row per seed, shape (seeds, rounds + 1).
        spent: evaluations after each round, shape (rounds + 1,).
        draws: bootstrap draws of seeds, shape (resamples, seeds).
    """
    found = {}
    for share in SHARES:
        counts = needed(curves, spent, share)
        capped = np.minimum(counts, spent[-1])
        again = capped[draws].mean(axis=1)
        found[_key(share)] = {
            **interval(float(capped.mean()), again, len(counts)).plain(),
            "arrived": int(np.isfinite(counts).sum()),
            "seeds": len(counts),
        }
    return found


def chance(phases: np.ndarray, spent: np.ndarray) -> dict[str, Any]:
    """Return what :func:`until` says of random choice, of simulated campaigns.

    Args:
        phases: which wanted thing each candidate is, from 0, shape (n,); -1 is none.
        spent: evaluations after each round, shape (rounds + 1,).
    """
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(phases)) for _ in range(CAMPAIGNS)]
    curves = np.array([recall_curve(o, phases, spent) for o in orders])
    return until(curves, spent, np.arange(CAMPAIGNS)[None])


def verdicts(
    curves: Mapping[str, np.ndarray],
    strategies: Mapping[str, Strategy],
    spent: np.ndarray,
    draws: np.ndarray,
) -> dict[str, Any]:
    """Compare each rule that looks at the hull with each that does not.

    Returns:
        Strategy to the other's name to paired differences of evaluations and a
        sentence; negative is fewer.
    """
    hull = [n for n in curves if isinstance(strategies[n].acquisition, HullRule)]
    plain = [n for n in curves if n not in hull]
    found: dict[str, Any] = {}
    for mine in hull:
        found[mine] = {}
        for other in plain:
            gaps = {}
            for share in SHARES:
                own, theirs = (
                    np.minimum(needed(curves[n], spent, share), spent[-1])
                    for n in (mine, other)
                )
                gaps[_key(share)] = difference(own, theirs, draws)
            words = "; ".join(f"{_of(k)} {_words(g)}" for k, g in gaps.items())
            said = f"{mine} against {other}: {words}"
            if not gaps[_key(SHARES[0])].judged:
                said += f" (not judged: {too_few(len(curves[mine]))})"
            found[mine][other] = {
                "difference": {k: g.plain() for k, g in gaps.items()}, "words": said
            }  # fmt: skip
    return found


def table(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return lines for a terminal: strategy to what :func:`until` found."""
    lines = [
        f"{'evaluations until found':28s} "
        + " ".join(f"{_of(_key(s)):>22s}" for s in SHARES)
    ]
    for name, row in rows.items():
        cells = " ".join(f"{cell(row[_key(s)]):>22s}" for s in SHARES)
        lines.append(f"{name:28s} {cells}")
    return lines


def cell(found: Mapping[str, Any]) -> str:
    """Write as ``212 (200 to 230)``, or ``at least 560 (7 of 10)``."""
    if found["arrived"] == 0:
        return "not reached"
    if found["arrived"] < found["seeds"]:
        return f"at least {found['value']:.0f} ({found['arrived']} of {found['seeds']})"
    if found.get("low") == found.get("high"):
        return f"{found['value']:.0f}"
    return f"{found['value']:.0f} ({found['low']:.0f} to {found['high']:.0f})"


def _key(share: float) -> str:
    return f"{share * 100:.0f}"


def _of(key: str) -> str:
    return "all" if key == "100" else f"{key} %"


_MORE = {"above": "more", "below": "fewer", "level": "level"}


def _words(gap: Estimate) -> str:
    if not gap.judged:
        return f"{gap.value:+.0f} evaluations"
    ends = f"{gap.low:+.0f} to {gap.high:+.0f}, {_MORE[gap.sign]} at 95 %"
    return f"{gap.value:+.0f} ({ends}) evaluations"
