"""Has the subject seen the answers: test records in its training data or pool.

Three kinds of evidence: the training set as the caller names it, the training rows
that some checkpoints keep, and behaviour (delivered errors far below those of the same
thing fitted honestly). Kapoor and Narayanan, Patterns 4, 100804 (2023) on leakage.
"""

from __future__ import annotations

import numpy as np

from matdisco.errors import MatdiscoError
from surrogates import metrics
from surrogates.assessment.result import Section
from surrogates.assessment.trial import Trial
from surrogates.audit import POTENTIALS, audit

_KAPOOR = "Kapoor and Narayanan, Patterns 4, 100804 (2023)"
_YEOM = "after Yeom et al., IEEE CSF 2018 (arXiv:1709.01604)"


def measure(trial: Trial, section: Section) -> None:
    """Fill the part on leakage of the section on safety."""
    known = str(trial.subject.identity.get("calculator", ""))
    if known in POTENTIALS:
        section.remarks.append(POTENTIALS[known])
    if trial.dataset is None:
        section.skip("leakage", "no structures to compare")
        return
    test = trial.dataset
    share, how = _in_training(trial)
    if share is None:
        section.skip("leaked", "the training data are not known (--trained-on)")
    else:
        section.add(
            "leaked",
            share,
            f"share of test records found in the training data ({how})",
            source=_KAPOOR,
        )
    if trial.training is not None:
        report = audit(test, [trial.training])
        section.add(
            "same_formula",
            len(report.seen["formula"]) / len(test),
            "share of test records whose composition is in the training data",
        )
        section.add(
            "leaked_near",
            len(report.seen["prototype"]) / len(test),
            "share of test records with a near-copy (same structure type and "
            "composition) in the training data",
            source=_KAPOOR,
        )
    if trial.pool is not None:
        shown = trial.training if trial.training is not None else test
        section.add(
            "pool_leaked",
            len(audit(trial.pool, [shown]).seen["structure"]) / len(trial.pool),
            "share of the pool whose answers the subject has been shown",
        )
    _behaviour(trial, section)


def _in_training(trial: Trial) -> tuple[float | None, str]:
    """Return the share of test records that were trained on, by the best evidence."""
    assert trial.dataset is not None
    known = trial.subject.training
    if trial.training is not None:
        seen = audit(trial.dataset, [trial.training]).seen["structure"]
        return len(seen) / len(trial.dataset), "same structure"
    if known.hash and known.hash == trial.dataset.content_hash:
        return 1.0, "the very dataset"
    if known.features is not None and known.labels is not None:
        from surrogates.featurizers.table import features

        try:
            mine = features(known.feature_kind, trial.dataset.crystals)
        except MatdiscoError:
            return None, ""  # features that this installation cannot compute
        held = {_row(x, y) for x, y in zip(known.features, known.labels, strict=True)}
        both = [_row(x, y) in held for x, y in zip(mine, trial.y, strict=True)]
        return float(np.mean(both)), "features and label in the checkpoint"
    return None, ""


def _row(features: np.ndarray, label: float) -> bytes:
    """Return features and label to six digits, to be compared."""
    full = np.append(np.asarray(features, dtype=float), label)
    return np.array([float(f"{v:.6g}") + 0.0 for v in full]).tobytes()


def _behaviour(trial: Trial, section: Section) -> None:
    """Compare delivered errors with those of honest refits on the same records."""
    if not (trial.fixed and trial.can_refit):
        section.skip("memorised", "the subject cannot be fitted here")
        return
    honest = trial.out_of_fold
    good = np.isfinite(honest.mean) & np.isfinite(trial.guess.mean)
    delivered = metrics.mae(trial.y[good], trial.guess.mean[good])
    fair = metrics.mae(trial.y[good], honest.mean[good])
    ratio = delivered / max(fair, 1e-12)
    # It may have learned from more records than a refit could: allow for that the
    # fastest rate there is, one over the root of their number.
    mine = min(trial.suite.refit_records, round(0.8 * len(good)))
    learned = _learned_from(trial) or mine
    allowed = ratio * max(1.0, learned / mine) ** 0.5
    section.add(
        "memorised",
        allowed,
        "delivered error over that of the same thing fitted on other folds of these "
        f"records, allowing for {learned} training records against {mine}: far below "
        "1, it has seen them",
        source=_YEOM,
    )
    section.add(
        "degraded",
        ratio,
        "the same ratio without that allowance: far above 1, it learned something else "
        "(other data, wrong or poisoned labels)",
    )


def _learned_from(trial: Trial) -> int | None:
    """Return how many records the subject learned from, where that is known."""
    if trial.training is not None:
        return len(trial.training)
    labels = trial.subject.training.labels
    return None if labels is None else len(labels)
