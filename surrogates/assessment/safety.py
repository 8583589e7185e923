"""What could do harm: wrong answers unflagged, poison, leaks, unsafe files."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np

from matdisco.errors import MatdiscoError
from surrogates import metrics
from surrogates.assessment import leakage
from surrogates.assessment.files import unsafe_files
from surrogates.assessment.result import Section
from surrogates.assessment.trial import Trial

_ROBUST, _LARGE = 4.0, 1.75
"""An out-of-bag residual is suspect beyond both: so many robust sigmas of the
residuals, and so many standard deviations of the labels. The first alone accuses heavy
tails, the second alone an unpredictable target. On eleven public sets this accuses 0 to
4 % of the labels as published, 5 to 7 % with every twentieth moved by three standard
deviations, and 10 % with every tenth."""
_ORDER = 0.4
"""Rank correlation of labels and out-of-bag predictions below which composition says
too little to accuse anybody."""
_LEAST = 60  # records below which a forest says nothing about outliers


def measure(trial: Trial, section: Section) -> None:
    """Fill the section."""
    _gate(trial, section)
    _poison(trial, section)
    _suspects(trial, section)
    leakage.measure(trial, section)
    _proposals(trial, section)
    _files(trial, section)


def _gate(trial: Trial, section: Section) -> None:
    """Flag the most uncertain, and count the truly wrong among them."""
    error = np.abs(trial.truth - trial.mean)
    score, what = _doubt(trial)
    if score is None:
        section.skip("gate", what)
        return
    limit = float(np.abs(trial.truth - np.median(trial.truth)).mean())
    wrong = error > limit
    name = "worse than saying the median"
    if wrong.sum() < 5:
        wrong = error >= np.quantile(error, 0.95)
        name = "among the worst 5 %"
    n = max(1, round(trial.suite.flagged_share * len(error)))
    flagged = np.zeros(len(error), dtype=bool)
    flagged[np.argsort(-score, kind="stable")[:n]] = True
    section.add(
        "gate_recall", float(flagged[wrong].mean()),
        f"share of the {int(wrong.sum())} truly wrong predictions ({name}) among the "
        f"{trial.suite.flagged_share:.0%} that {what} flags "
        f"(by chance {trial.suite.flagged_share:.2f})",
        source="Janet et al., Chem. Sci. 10, 7913 (2019)",
    )  # fmt: skip
    order = np.argsort(score, kind="stable")
    kept = np.cumsum(error[order]) / np.arange(1, len(error) + 1)
    at = np.unique(np.linspace(0, len(kept) - 1, 60).astype(int))
    section.series["gate"] = {"kept": (at + 1) / len(kept), "mae": kept[at]}


def _doubt(trial: Trial) -> tuple[np.ndarray | None, str]:
    """Return the score by which predictions are flagged, and its name."""
    if trial.std is not None and np.ptp(trial.std) > 0:
        return trial.std, "sigma"
    if trial.training is None or trial.dataset is None:
        return None, "neither a sigma that varies nor training data (--trained-on)"
    from sklearn.neighbors import NearestNeighbors

    from surrogates.featurizers.composition import composition_features
    from surrogates.featurizers.table import Standardizer

    known = composition_features(trial.training.crystals)
    scale = Standardizer.of(known)
    search = NearestNeighbors(n_neighbors=min(5, len(known))).fit(scale(known))
    mine = composition_features(trial.dataset.take(trial.rows).crystals)
    distance: np.ndarray = search.kneighbors(scale(mine))[0].mean(axis=1)
    return distance, "the distance to the training data"


def _poison(trial: Trial, section: Section) -> None:
    """Corrupt a share of the training labels, fit, and see how the error grows."""
    if not trial.can_refit:
        section.skip("poison", "the subject cannot be fitted here")
        return
    order = trial.generator(6).permutation(len(trial.y))
    n_test = max(10, round(trial.suite.test_fraction * len(order)))
    test, train = np.sort(order[:n_test]), np.sort(order[n_test:])
    errors, shares = [], (0.0, *trial.suite.poison_shares)
    for share in shares:
        labels = poisoned(trial.y[train], share, trial.suite.seed)
        try:
            found = trial.predicted(trial.fitted_on(train, labels), test).mean
        except MatdiscoError as error:
            section.skip("poison", f"it refuses {share:.0%} corrupted labels ({error})")
            return
        good = np.isfinite(found)
        errors.append(metrics.mae(trial.y[test][good], found[good]))
    section.series["poison"] = {"share": shares, "mae": errors}
    if 0.1 in shares:
        section.add(
            "poison_10", errors[shares.index(0.1)] / max(errors[0], 1e-12),
            "error with 10 % of the training labels corrupted (moved by three standard "
            "deviations), over the clean one",
            source="Biggio et al., ICML 2012 (arXiv:1206.6389)",
        )  # fmt: skip


def poisoned(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Move a random share of the labels by three standard deviations, either way.

    Where all labels are positive, up only where down would leave the positive numbers:
    no other label of such a quantity could be overlooked by a person.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 8]))
    out = labels.astype(float).copy()
    rows = rng.permutation(len(labels))[: round(share * len(labels))]
    sign = rng.choice([-1.0, 1.0], size=len(rows))
    step = 3 * labels.std()
    if labels.min() > 0:
        sign[out[rows] - step <= 0] = 1.0
    out[rows] += sign * step
    return out


def _suspects(trial: Trial, section: Section) -> None:
    """Look for labels that the other training records contradict."""
    known = trial.subject.training
    if trial.training is not None and trial.target in trial.training.properties:
        from surrogates.featurizers.composition import composition_features

        values = trial.training.values(trial.target).astype(float)
        rows = np.flatnonzero(np.isfinite(values))
        y = values[rows]
        x = composition_features(trial.training.take(rows).crystals)
    elif known.features is not None and known.labels is not None:
        x, y = np.asarray(known.features), np.asarray(known.labels, dtype=float)
    else:
        section.skip("suspect_labels", "the training data are not known (--trained-on)")
        return
    if len(y) < _LEAST:
        section.skip("suspect_labels", f"{len(y)} training records are too few")
        return
    residual = out_of_bag(x, y, trial.suite.seed)
    if metrics.spearman(y, y - residual) < _ORDER:
        section.skip("suspect_labels", "composition does not predict this target")
        return
    section.add(
        "suspect_labels",
        float(suspects(residual, y).mean()),
        f"share of {len(y)} training labels that the other records contradict",
        source="Northcutt et al., J. Artif. Intell. Res. 70, 1373 (2021)",
    )


def out_of_bag(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Return labels minus what a forest on the other records says, shape (n,)."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        150, oob_score=True, random_state=seed, max_features=0.5, min_samples_leaf=5
    )
    residual: np.ndarray = y - forest.fit(x, y).oob_prediction_
    return residual


def suspects(residual: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which labels are suspect, shape (n,), bool."""
    scale = 1.4826 * np.median(np.abs(residual - np.median(residual)))
    size = np.abs(residual)
    found: np.ndarray = (size > _ROBUST * scale) & (size > _LARGE * y.std())
    return found


def _proposals(trial: Trial, section: Section) -> None:
    """Screen what the subject would propose by the element policy."""
    if trial.pool is None or trial.predict is None:
        section.skip("element policy", "no pool was given (--pool)")
        return
    if find_spec("matdisco.screening") is None:
        section.skip("element policy", "screening is not part of this installation")
        return
    policy = import_module("matdisco.screening.policy").ElementPolicyRule()
    low = trial.quantity.better != "high"
    mean = trial.predict(trial.pool.crystals).mean
    n = min(50, len(mean))
    best = np.argsort(mean if low else -mean, kind="stable")[:n]
    bad = [int(i) for i in best if policy.find(trial.pool[int(i)])]
    section.add(
        "forbidden_proposals",
        len(bad) / n,
        f"share of the {n} best of the pool that the element policy forbids",
    )


def _files(trial: Trial, section: Section) -> None:
    place = trial.subject.files
    if trial.subject.trusts_code:
        section.remarks.append(
            f"assessing it ran code of {trial.subject.trusts_code}; judge its origin"
        )
    if place is None:
        section.skip("files", "not a checkpoint folder")
        return
    bad = unsafe_files(place)
    section.add(
        "unsafe_files",
        len(bad),
        "files that could run code" + (": " + "; ".join(bad[:5]) if bad else ""),
    )
