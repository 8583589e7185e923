"""How right the subject is: errors, ranking, discovery, learning curve."""

from __future__ import annotations

import numpy as np

from surrogates import metrics
from surrogates.assessment.discovery import (
    MOST_WRONG,
    Stability,
    by_subset,
    classify,
    distances,
    enrichment,
)
from surrogates.assessment.result import Section
from surrogates.assessment.trial import Trial

_DUNN = "Dunn et al., npj Comput. Mater. 6, 138 (2020)"
_FEWEST = 5  # best records below which finding them or not is luck
_RIEBESELL = "Riebesell et al., Nat. Mach. Intell. 7, 836 (2025)"


def measure(trial: Trial, section: Section) -> None:
    """Fill the section."""
    y, mean, unit = trial.truth, trial.mean, trial.unit
    add = section.add
    asked = len(trial.y)
    add("records", asked, f"{asked} test records; {trial.protocol}")
    add("unanswered", 1 - len(y) / asked, "share of records without an answer")
    error = metrics.mae(y, mean)
    naive = float(np.abs(y - np.median(y)).mean())
    add("mae", error, "mean absolute error", unit=unit, source=_DUNN)
    add("rmse", metrics.rmse(y, mean), "root mean squared error", unit=unit)
    add("median_ae", metrics.median_ae(y, mean), "median absolute error", unit=unit)
    add("max_error", float(np.abs(y - mean).max()), "largest error", unit=unit)
    add("bias", float((mean - y).mean()), "mean of predicted minus true", unit=unit)
    skill = 1 - error / naive if naive > 0 else float("nan")
    add(
        "skill", skill,
        f"1 minus the error over that of always saying the median ({naive:.4g})",
        source="skill score, of squares in Murphy, Mon. Weather Rev. 116, 2417 (1988)",
    )  # fmt: skip
    add("r2", metrics.r2(y, mean), "coefficient of determination")
    rank = metrics.spearman(y, mean)
    add(
        "spearman",
        0.0 if np.isnan(rank) else rank,
        "rank correlation",
        source="Spearman, Am. J. Psychol. 15, 72 (1904)",
    )
    spread = float(mean.std() / y.std()) if y.std() > 0 else float("nan")
    add(
        "spread_ratio",
        spread,
        "spread of the predictions over that of the truth (0: a constant)",
    )
    section.series["parity"] = _thinned(trial)
    _by_fold(trial, section)
    _search(trial, section)
    _discover(trial, section)
    _learn(trial, section)


def _by_fold(trial: Trial, section: Section) -> None:
    """Report as matbench does: the mean over folds of each fold's error."""
    if trial.folds is None:
        return
    rows = [
        np.flatnonzero(trial.folds == k) for k in np.unique(trial.folds[trial.rows])
    ]
    pairs = [(trial.y[r], trial.guess.mean[r]) for r in rows]
    pairs = [(y[np.isfinite(m)], m[np.isfinite(m)]) for y, m in pairs]
    errors = np.array([metrics.mae(y, m) for y, m in pairs])
    unit = trial.unit
    section.add(
        "fold_mae",
        float(errors.mean()),
        f"mean over {len(errors)} fold{'s'[: len(errors) > 1]} of the mean absolute "
        "error",
        unit=unit,
        source=_DUNN,
    )
    section.add(
        "fold_mae_std",
        float(errors.std()),
        "its standard deviation over folds",
        unit=unit,
        source=_DUNN,
    )
    roots = np.array([metrics.rmse(y, m) for y, m in pairs])
    section.add(
        "fold_rmse",
        float(roots.mean()),
        "mean over folds of the root mean squared error",
        unit=unit,
        source=_DUNN,
    )


def _search(trial: Trial, section: Section) -> None:
    low = trial.quantity.better != "high"
    fraction = trial.suite.top_fraction
    if round(fraction * len(trial.truth)) < _FEWEST:
        section.skip(
            "enrichment", f"{fraction:.0%} of the records are too few to count"
        )
        return
    section.add(
        "enrichment_top_5",
        enrichment(trial.truth, trial.mean, fraction, low=low),
        f"the {'lowest' if low else 'highest'} {fraction:.0%} are found so many times "
        "more often than by chance",
        source="Truchon and Bayly, J. Chem. Inf. Model. 47, 488 (2007)",
    )
    order = np.argsort(trial.mean if low else -trial.mean, kind="stable")
    ranked = trial.truth if low else -trial.truth
    best = ranked <= np.sort(ranked)[max(0, round(fraction * len(ranked)) - 1)]
    found = np.cumsum(best[order]) / best.sum()
    at = np.unique(np.linspace(0, len(found) - 1, 60).astype(int))
    section.series["found"] = {"share": (at + 1) / len(found), "found": found[at]}


def _discover(trial: Trial, section: Section) -> None:
    """Classify against the hull."""
    if trial.each_true is None:
        section.skip("discovery", "no true energies above hull")
        return

    def rounded(values: np.ndarray) -> np.ndarray:
        return values if trial.decimals is None else values.round(trial.decimals)

    each, y, mean = map(rounded, (trial.each_true, trial.y, trial.guess.mean))
    most = np.inf if trial.decimals is None else MOST_WRONG
    direct = trial.target == "energy_above_hull"
    predicted = mean if direct else distances(each, y, mean, most_wrong=most)
    limit = trial.suite.stable_below
    found = classify(each, predicted, threshold=limit)
    if found.prevalence in (0.0, 1.0):
        section.skip("discovery", f"{found.prevalence:.0%} of the records are stable")
        return
    section.add(
        "prevalence", found.prevalence, "share of stable records", source=_RIEBESELL
    )
    _calls(section, found, "", "")
    if trial.unique is None or not trial.unique.any():
        return
    share = float((trial.each_true[trial.unique] <= limit).mean())
    words = {"unique": ", new prototypes", "10k": ", the 10,000 predicted lowest of new"
             " prototypes"}  # fmt: skip
    parts = by_subset(each, predicted, trial.unique, prevalence=share, threshold=limit)
    for name, part in parts.items():
        _calls(section, part, f"_{name}", words[name], whole=name != "10k")


def _calls(
    section: Section, found: Stability, suffix: str, words: str, *, whole: bool = True
) -> None:
    """Add the scores of one classification; of its own choice only how right it is."""
    daf = 0.0 if np.isnan(found.daf) else found.daf
    most = f" (at most {1 / found.prevalence:.3f} here)" if found.prevalence else ""
    for name, value, text in (
        ("f1", found.f1, "F1 of the calls 'stable'"),
        ("precision", found.precision, "share of right calls among 'stable'"),
        ("recall", found.recall, "share of the stable records found"),
        ("daf", daf, f"discovery acceleration factor{most}"),
    ):
        if whole or name in ("precision", "daf"):
            section.add(f"{name}{suffix}", value, text + words, source=_RIEBESELL)


def _learn(trial: Trial, section: Section) -> None:
    """Fit on more and more records; test always on the same ones."""
    if not trial.can_refit:
        section.skip("learning curve", "the subject cannot be fitted here")
        return
    order = trial.generator(2).permutation(len(trial.y))
    n_test = max(10, round(trial.suite.test_fraction * len(order)))
    test, rest = order[:n_test], order[n_test:]
    sizes = [n for n in trial.suite.learning_sizes if n <= len(rest)]
    if len(sizes) < 2:
        section.skip("learning curve", f"{len(rest)} records to learn from are too few")
        return
    errors = []
    for n in sizes:
        found = trial.predicted(trial.fitted_on(np.sort(rest[:n])), np.sort(test)).mean
        good = np.isfinite(found)
        errors.append(metrics.mae(trial.y[np.sort(test)][good], found[good]))
    slope = float(np.polyfit(np.log(sizes), np.log(np.maximum(errors, 1e-12)), 1)[0])
    section.add(
        "learning_slope", slope,
        "exponent of the error in the number of training records",
        source="Hestness et al., arXiv:1712.00409 (2017)",
    )  # fmt: skip
    section.series["learning"] = {"records": sizes, "mae": errors}


def _thinned(trial: Trial) -> dict[str, object]:
    """Keep at most 1,000 points for the plot, evenly spaced over the records."""
    rows = np.unique(np.linspace(0, len(trial.truth) - 1, 1000).astype(int))
    std = trial.std
    return {
        "true": trial.truth[rows],
        "predicted": trial.mean[rows],
        "std": None if std is None else std[rows],
    }
