"""What a replay is judged by, from the order in which candidates were evaluated.

Definitions: top-x recall r(n), acceleration factor AF(r) = r N / n(r) against random
choice, and enhancement factor EF(n) = r(n) N / n, as in Q. Liang et al., npj Comput.
Mater. 7, 188 (2021); area under the discovery curve, MADE (2026); n counts the initial
labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import hypergeom

from campaigns.fronts.volume import hypervolume


def counts(initial: int, batch: int, rounds: int, pool: int) -> np.ndarray:
    """Return the number of labels after the start and after every round."""
    spent: np.ndarray = np.minimum(initial + batch * np.arange(rounds + 1), pool)
    return spent


def recall_curve(
    order: np.ndarray, phases: np.ndarray, spent: np.ndarray
) -> np.ndarray:
    """Return the share of the wanted found after each count of ``spent``.

    Args:
        order: pool rows in the order of evaluation, shape (labels,).
        phases: which wanted thing each pool row is, from 0, shape (n,); -1 is none.
            Several rows may be one thing, which is found with the first of them.
        spent: label counts, shape (rounds + 1,).
    """
    what = phases[order]
    first = np.zeros(len(order), dtype=bool)
    first[np.unique(what, return_index=True)[1]] = True
    found = np.concatenate([[0], np.cumsum(first & (what >= 0))])
    curve: np.ndarray = found[np.minimum(spent, len(order))] / (phases.max() + 1)
    return curve


def regret_curve(order: np.ndarray, merit: np.ndarray, spent: np.ndarray) -> np.ndarray:
    """Return best of the pool minus best found so far, in the target's unit."""
    best = np.maximum.accumulate(merit[order])
    curve: np.ndarray = merit.max() - best[np.minimum(spent, len(order)) - 1]
    return curve


def labels_for(curve: np.ndarray, spent: np.ndarray, recall: float) -> float:
    """Return the labels at which a curve reaches ``recall``; inf where it does not.

    Linear between rounds.

    >>> labels_for(np.array([0.0, 0.4, 0.8]), np.array([10, 20, 30]), 0.6)
    25.0
    """
    reached = np.flatnonzero(curve >= recall - 1e-12)
    if len(reached) == 0:
        return float("inf")
    i = int(reached[0])
    if i == 0 or curve[i] == curve[i - 1]:
        return float(spent[i])
    share = (recall - curve[i - 1]) / (curve[i] - curve[i - 1])
    return float(spent[i - 1] + share * (spent[i] - spent[i - 1]))


def acceleration(
    curve: np.ndarray, spent: np.ndarray, recall: float, pool: int
) -> float | None:
    """Return AF(r); None where the recall is not reached."""
    labels = labels_for(curve, spent, recall)
    return None if labels == float("inf") else recall * pool / labels


def area(curve: np.ndarray, spent: np.ndarray) -> float:
    """Return the area under the discovery curve over its largest possible value."""
    return float(np.trapezoid(curve, spent) / (spent[-1] - spent[0]))


def random_recall(
    spent: np.ndarray, phases: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, 2.5 % and 97.5 % quantile of random choice.

    Exact (hypergeometric) but for the quantiles where several rows are one thing, which
    are those of 1,000 simulated campaigns.

    Args:
        spent: label counts, shape (rounds + 1,).
        phases: as in :func:`recall_curve`.
    """
    pool, wanted = len(phases), int(phases.max()) + 1
    sizes = np.bincount(phases[phases >= 0], minlength=wanted)
    if sizes.max() == 1:
        law = hypergeom(pool, wanted, spent)
        low, high = (np.asarray(law.ppf(p)) / wanted for p in (0.025, 0.975))
        return spent / pool, low, high
    rng = np.random.default_rng(0)
    curves = [recall_curve(rng.permutation(pool), phases, spent) for _ in range(1000)]
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    return expected_recall(spent, phases), low, high


def random_labels(recall: float, phases: np.ndarray) -> float:
    """Return the labels at which random choice reaches a recall on average.

    >>> random_labels(0.5, np.array([0, 1, -1, -1]))
    2.0
    """
    spent = np.arange(len(phases) + 1)
    return float(np.interp(recall, expected_recall(spent, phases), spent))


def expected_recall(spent: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Return the exact mean recall of random choice after each count of ``spent``."""
    # one law per size, of which there are few: hundreds of single rows share one
    sizes, number = np.unique(np.bincount(phases[phases >= 0]), return_counts=True)
    missed = np.asarray(hypergeom(len(phases), sizes[:, None], spent[None]).pmf(0))
    mean: np.ndarray = 1.0 - number @ missed / number.sum()
    return mean


@dataclass(frozen=True, eq=False)
class Measure:
    """A number of a mean curve: AF, recall at a count, or the area under it."""

    spent: np.ndarray
    """Label counts of the curve."""
    pool: int
    """Candidates in the pool."""
    recall: float | None = None
    """AF at this recall."""
    at: float | None = None
    """Recall at this many labels."""
    random: float | None = None
    """Labels that random choice needs for ``recall``; ``recall`` times ``pool`` when
    not given, which is exact where no two candidates are one thing."""

    def __call__(self, curve: np.ndarray) -> float | None:
        """Return the number; None is "not reached"."""
        if self.recall is not None:
            found = acceleration(curve, self.spent, self.recall, self.pool)
            if found is None or self.random is None:
                return found
            return found * self.random / (self.recall * self.pool)
        if self.at is not None:
            return float(np.interp(self.at, self.spent, curve))
        return area(curve, self.spent)


def areas(curves: Mapping[str, np.ndarray], spent: np.ndarray) -> dict[str, np.ndarray]:
    """Return the area under each seed's discovery curve, shape (seeds,) each.

    Args:
        curves: strategy to its share found after each round, shape (seeds, rounds + 1).
        spent: labels after each round, shape (rounds + 1,).
    """
    return {n: np.array([area(c, spent) for c in each]) for n, each in curves.items()}


def volume_curve(
    order: np.ndarray, merit: np.ndarray, reference: np.ndarray, spent: np.ndarray
) -> np.ndarray:
    """Return the share of the pool's hypervolume found after each count."""
    whole = hypervolume(merit, reference)
    return np.array([hypervolume(merit[order[:n]], reference) / whole for n in spent])


def hit_rates(
    order: np.ndarray, wanted: np.ndarray, spent: Sequence[int]
) -> list[float]:
    """Return the share of wanted candidates in every batch after the start."""
    return [
        float(wanted[order[a:b]].mean()) if b > a else 0.0 for a, b in pairwise(spent)
    ]
