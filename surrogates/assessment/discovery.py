"""Scores of a search for stable materials, by the convention of Matbench Discovery.

Riebesell et al., Nat. Mach. Intell. 7, 836 (2025) (arXiv:2308.14920): a material is
stable if its energy above the *known* hull is at most the threshold (0); the predicted
distance is the true distance plus the error of the predicted formation energy; a
missing prediction counts as predicted unstable; the discovery acceleration factor is
the precision of the 'stable' calls over the prevalence of stable materials. For its own
files energies are rounded first, and a prediction further off than :data:`MOST_WRONG`
counts as missing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MOST_WRONG = 5.0
"""Error of a predicted energy, eV/atom, above which Matbench Discovery takes the
prediction for missing (``load_df_wbm_with_preds``, July 2026)."""
MOST_STABLE = 10_000
"""Materials predicted lowest that it looks at apart."""


class Stability(NamedTuple):
    """Counts and rates of the classification stable against not."""

    true_positive: int
    """Stable and called stable."""
    false_negative: int
    """Stable and missed."""
    false_positive: int
    """Unstable and called stable."""
    true_negative: int
    """Unstable and called so."""
    prevalence: float
    """Share of stable materials."""

    @property
    def precision(self) -> float:
        """Share of the 'stable' calls that are right; NaN without any call."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """Share of the stable materials that are called so."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall (van Rijsbergen 1979)."""
        both = 2 * self.true_positive + self.false_positive + self.false_negative
        return _ratio(2 * self.true_positive, both)

    @property
    def daf(self) -> float:
        """Discovery acceleration factor: precision over prevalence.

        >>> round(Stability(10, 0, 0, 0, prevalence=0.1549).daf, 2)
        6.46
        """
        return _ratio(self.precision, self.prevalence)

    @property
    def accuracy(self) -> float:
        """Share of right calls."""
        return _ratio(self.true_positive + self.true_negative, sum(self[:4]))


def distances(
    each_true: np.ndarray,
    energy_true: np.ndarray,
    energy_predicted: np.ndarray,
    *,
    most_wrong: float = np.inf,
) -> np.ndarray:
    """Return predicted energies above hull, eV/atom, shape (n,); NaN where missing.

    Args:
        each_true: true energies above hull, eV/atom, shape (n,).
        energy_true: true energies, eV/atom, shape (n,).
        energy_predicted: predicted ones; NaN where missing.
        most_wrong: error, eV/atom, above which a prediction counts as missing.

    >>> distances(np.array([0.1]), np.array([-1.0]), np.array([-1.2])).round(3).tolist()
    [-0.1]
    """
    # in this order: at a threshold of 0 the last bit decides
    found: np.ndarray = each_true + energy_predicted - energy_true
    wrong = np.abs(energy_predicted - energy_true) > most_wrong
    return np.where(wrong, np.nan, found)


def classify(
    each_true: np.ndarray,
    each_predicted: np.ndarray,
    *,
    threshold: float = 0.0,
    prevalence: float | None = None,
) -> Stability:
    """Count the calls.

    Args:
        each_true: true energies above hull, eV/atom, shape (n,).
        each_predicted: predicted ones; NaN counts as predicted unstable.
        threshold: eV/atom up to which a material is stable, the value included.
        prevalence: of the whole set, where these are a part of it; else counted here.
    """
    stable = each_true <= threshold
    called = each_predicted <= threshold  # NaN compares false: predicted unstable
    share = float(stable.mean()) if prevalence is None else prevalence
    return Stability(
        int((stable & called).sum()),
        int((stable & ~called).sum()),
        int((~stable & called).sum()),
        int((~stable & ~called).sum()),
        share,
    )


def by_subset(
    each_true: np.ndarray,
    each_predicted: np.ndarray,
    unique: np.ndarray,
    *,
    prevalence: float,
    threshold: float = 0.0,
) -> dict[str, Stability]:
    """Count the calls on the two subsets that Matbench Discovery ranks by.

    Args:
        each_true: true energies above hull, eV/atom, shape (n,).
        each_predicted: predicted ones, NaN where missing.
        unique: whether a material's prototype is new, shape (n,).
        prevalence: share of stable ones among the unique; there, that of unrounded
            energies for both subsets, though calls are counted on rounded ones.
        threshold: eV/atom up to which a material is stable.

    Returns:
        ``unique``, and ``10k``: of these the :data:`MOST_STABLE` predicted lowest.
    """
    rows = np.flatnonzero(unique)
    lowest = rows[np.argsort(each_predicted[rows], kind="stable")[:MOST_STABLE]]
    return {
        name: classify(
            each_true[r], each_predicted[r], prevalence=prevalence, threshold=threshold
        )
        for name, r in (("unique", rows), ("10k", lowest))
    }


def enrichment(y: np.ndarray, mean: np.ndarray, fraction: float, *, low: bool) -> float:
    """Return how many times more of the best are in the predicted best than by chance.

    Enrichment factor (Truchon and Bayly, J. Chem. Inf. Model. 47, 488 (2007)), with the
    best ``fraction`` of the true values as the actives and as the selection.

    >>> enrichment(np.arange(20.0), np.arange(20.0), 0.1, low=True)
    10.0
    """
    sign = 1 if low else -1
    n = max(1, round(fraction * len(y)))
    best = set(np.argsort(sign * y, kind="stable")[:n].tolist())
    chosen = set(np.argsort(sign * mean, kind="stable")[:n].tolist())
    return len(best & chosen) / n / (n / len(y))


def _ratio(a: float, b: float) -> float:
    return a / b if b else float("nan")
