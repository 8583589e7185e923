"""Who is better, and whether by more than luck: paired tests on the same records.

Two tests on the absolute errors of the same test records: a paired bootstrap of the
mean difference (Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter
16) and the Wilcoxon signed-rank test (Wilcoxon, Biometrics Bull. 1, 80 (1945)). Against
several rivals the p-values are corrected by Holm, Scand. J. Stat. 6, 65 (1979).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from matdisco.errors import DataError
from surrogates.assessment.card import TABLE, Card

DRAWS = 4000
"""Bootstrap resamples: the 95 % ends then scatter by about 2 % of the interval."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One subject of a comparison."""

    card: Card
    """Its card."""
    errors: pd.Series
    """Absolute errors by record id."""
    truth: pd.Series
    """True values by record id."""


def read_entry(path: str | Path) -> Entry:
    """Read a card folder with its predictions.

    Raises:
        DataError: no card, or its table is missing or changed.
    """
    home = Path(path) if Path(path).is_dir() else Path(path).parent
    card = Card.read(path)
    try:
        text = (home / TABLE).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{home / TABLE}: cannot be read ({error.strerror})") from error
    if hashlib.sha256(text.encode()).hexdigest() != card.body["predictions_sha256"]:
        raise DataError(
            f"{home / TABLE}: not the predictions that this card was made of"
        )
    table = pd.read_csv(home / TABLE, dtype={"id": str}).set_index("id")
    return Entry(card, (table["mean"] - table["true"]).abs().dropna(), table["true"])


def leaderboard(entries: Sequence[Entry], *, seed: int = 0) -> pd.DataFrame:
    """Rank subjects by the error on the records that all of them answered.

    Returns:
        One row per subject, best first: name, verdict, records, mae, its 95 % interval,
        difference to the best with its interval, both p-values (Holm-corrected), and
        whether it is tied with the best at 5 %.

    Raises:
        DataError: fewer than two, other true values, or no records in common.
    """
    if len(entries) < 2:
        raise DataError(f"expected at least two cards to compare, got {len(entries)}")
    shared = entries[0].errors.index
    for entry in entries[1:]:
        shared = shared.intersection(entry.errors.index)
    if len(shared) < 10:
        raise DataError(
            f"the cards share {len(shared)} test records; expected at least 10 (assess "
            "all models on one dataset)"
        )
    shared = shared.sort_values()
    truth = np.stack([e.truth.loc[shared].to_numpy(float) for e in entries])
    if np.ptp(truth, axis=0).max() > 1e-6 * max(float(truth.std()), 1e-12):
        at = int(np.argmax(np.ptp(truth, axis=0)))
        raise DataError(
            f"the cards disagree on the true value of record {shared[at]}: "
            f"{', '.join(f'{v:g}' for v in truth[:, at])}; they are about different "
            "targets or datasets"
        )
    errors = np.stack([e.errors.loc[shared].to_numpy(float) for e in entries])
    order = np.argsort(errors.mean(axis=1), kind="stable")
    best = errors[order[0]]
    draws = _resampled(errors[order], seed)
    rows = []
    for place, i in enumerate(order):
        difference = errors[i] - best
        gap = draws[place] - draws[0]
        rows.append(
            {
                "model": entries[i].card.name,
                "verdict": entries[i].card.verdict,
                "records": len(shared),
                "mae": float(errors[i].mean()),
                "mae_low": float(np.quantile(draws[place], 0.025)),
                "mae_high": float(np.quantile(draws[place], 0.975)),
                "behind": float(difference.mean()),
                "behind_low": float(np.quantile(gap, 0.025)),
                "behind_high": float(np.quantile(gap, 0.975)),
                "p_bootstrap": bootstrap_p(gap) if place else float("nan"),
                "p_wilcoxon": wilcoxon_p(difference) if place else float("nan"),
            }
        )
    table = pd.DataFrame(rows)
    for name in ("p_bootstrap", "p_wilcoxon"):
        table.loc[1:, name] = holm(table.loc[1:, name].to_numpy(float))
    tied = ~(table[["p_bootstrap", "p_wilcoxon"]].max(axis=1) < 0.05)
    return table.assign(tied_with_best=tied)


def _resampled(errors: np.ndarray, seed: int) -> np.ndarray:
    """Return bootstrap means, (subjects, draws): one resampling for all subjects."""
    rng = np.random.default_rng(seed)
    n = errors.shape[1]
    out = np.empty((len(errors), DRAWS))
    for k in range(DRAWS):
        # counts of a resample of n records: the same for every subject, hence paired
        counts = np.bincount(rng.integers(n, size=n), minlength=n)
        out[:, k] = errors @ counts / n
    return out


def bootstrap_p(gaps: np.ndarray) -> float:
    """Return the two-sided p-value that a resampled difference crosses zero.

    >>> bootstrap_p(np.array([1.0] * 99 + [-1.0]))
    0.04
    """
    n = len(gaps)
    tail = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    return min(1.0, round(2 * (tail + 1) / (n + 1), 2 if n < 1000 else 6))


def wilcoxon_p(difference: np.ndarray) -> float:
    """Return the two-sided p-value of the signed-rank test; 1 where nothing differs."""
    from scipy.stats import wilcoxon

    if not np.any(difference):
        return 1.0
    return float(wilcoxon(difference).pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for testing several rivals at once.

    >>> holm(np.array([0.01, 0.04])).tolist()
    [0.02, 0.04]
    """
    order = np.argsort(p, kind="stable")
    out = np.empty(len(p))
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, float(p[i]) * (len(p) - rank)))
        out[i] = least
    return out


def to_text(table: pd.DataFrame) -> str:
    """Return the leaderboard as a Markdown table with a line on how to read it."""
    lines = [
        "| model | verdict | MAE | 95 % interval | behind the best | p (bootstrap) | "
        "p (Wilcoxon) | tied with best |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table.to_dict("records"):
        first = row["p_bootstrap"] != row["p_bootstrap"]
        behind = (
            "-" if first else
            f"{row['behind']:.4g} ({row['behind_low']:.3g} to {row['behind_high']:.3g})"
        )  # fmt: skip
        chances = (
            ["-", "-"] if first
            else [f"{row[k]:.2g}" for k in ("p_bootstrap", "p_wilcoxon")]
        )  # fmt: skip
        lines.append(
            f"| {row['model']} | {row['verdict']} | {row['mae']:.4g} | "
            f"{row['mae_low']:.4g} to {row['mae_high']:.4g} | {behind} | "
            f"{' | '.join(chances)} | {'yes' if row['tied_with_best'] else 'no'} |"
        )
    lines.append(
        f"\n{int(table['records'].iloc[0]):,} shared test records; paired tests, "
        "p-values corrected by Holm; tied: not distinguishable at 5 % by both tests."
    )
    return "\n".join(lines)
