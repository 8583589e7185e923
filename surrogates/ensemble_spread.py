"""How far members of an ensemble disagree, and what records left out make of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matdisco.crystal import Crystal
from surrogates.base import Prediction
from surrogates.calibration import CalibrationName, Scale, Steps, nats, z_scores
from surrogates.spread import spread, vary

LIKE = 3
"""Degrees of freedom that the typical spread counts for against a crystal's own."""


def matched(
    raw: Prediction,
    labels: np.ndarray,
    prior: Scale,
    typical: float | None = None,
    *,
    ratio: float = 1.0,
) -> tuple[Scale, float]:
    """Return the scale and the typical spread that records left out ask for.

    Args:
        raw: uncalibrated, of n records that its members did not learn.
        labels: their labels, shape (n,).
        prior: the scale before them.
        typical: the spread before them, as heavy as ``prior``, or 0 to go without;
            None lets the records decide.
        ratio: of the errors that are meant over those of ``raw``
            (:func:`~surrogates.calibration.error_of_all`).
    """
    if typical is None:
        typical = useful_spread(raw, labels)
    elif typical > 0:
        typical = typical_spread(raw, typical, prior.n)
    return prior.updated(ratio * z_scores(labels, moderated(raw, typical))), typical


def stepped(
    kind: CalibrationName,
    raw: Prediction,
    labels: np.ndarray,
    crystals: Sequence[Crystal],
    prior: Scale,
    typical: float | None = None,
    *,
    ratio: float = 1.0,
    seed: int = 0,
    every: np.ndarray | None = None,
) -> tuple[Steps, float, Prediction]:
    """Return the steps to calibrated sigma and the typical spread they start from.

    Args:
        kind: which steps.
        raw: uncalibrated, of n records that its members did not learn.
        labels: their labels, shape (n,).
        crystals: the n records.
        prior: see :func:`matched`.
        typical: likewise.
        ratio: likewise.
        seed: of a model by chemistry.
        every: all labels that were learnt, shape (k,): without errors where they do not
            vary. None where a base learnt others.

    Returns:
        Steps, typical spread, and the calibrated prediction of the n records, whose
        sigmas are larger than those of all members by ``ratio``.
    """
    if every is not None and not vary(every):
        steps = Steps.unvaried(raw, spread(every), prior.n, len(every))
        return steps, 0.0, steps.left_out(raw)
    scale, typical = matched(raw, labels, prior, typical, ratio=ratio)
    even = moderated(raw, typical)
    if kind == "scale":
        return Steps(scale), typical, even.scaled(scale.k / ratio)
    steps = Steps.fit(kind, labels, even, crystals, prior, seed=seed, ratio=ratio)
    return steps, typical, steps.left_out(even).scaled(1.0 / ratio)


def typical_spread(
    raw: Prediction, before: float | None = None, weight: float = 0.0
) -> float:
    """Return the mean square by which members disagree, unit of the target squared.

    Args:
        raw: uncalibrated, a column of factors per member.
        before: an earlier value, None where there is none.
        weight: records that it counts for.
    """
    own = (raw.factors**2).sum(axis=0)
    if before is None:
        return float(own.mean())
    return float((weight * before + own.sum()) / max(weight + len(own), 1e-12))


def useful_spread(raw: Prediction, labels: np.ndarray) -> float:
    """Return the typical spread where it makes the labels likelier, otherwise 0.

    Where members disagree for a reason (intermetallics of many kinds, eight members: a
    log loss of -1.34 nats with their own spread, -1.28 with a moderated one) their own
    spread says more than a typical one. Either gets its best common scale.

    Args:
        raw: uncalibrated, of n records that its members did not learn.
        labels: their labels, shape (n,).
    """
    if not len(labels):
        return 0.0
    typical, squares = typical_spread(raw), z_scores(labels, raw) ** 2
    factor = moderated(raw, typical).std / raw.std
    squares = np.maximum(squares, 1e-12)  # labels that are met exactly have a logarithm
    return typical if nats(squares, factor) < nats(squares, 1.0) else 0.0


def moderated(
    raw: Prediction, typical: float, judging: int | None = None
) -> Prediction:
    """Draw each crystal's spread of the members towards the typical one.

    A variance of S networks has S - 1 degrees of freedom: where few happen to agree,
    that is mostly chance, and the errors there are hardly smaller. The posterior mean
    under a conjugate prior mixes both by their degrees of freedom (G. K. Smyth, Stat.
    Appl. Genet. Mol. Biol. 3, 3 (2004), who shares variances of genes likewise).
    Correlations between crystals stay as they are.

    Args:
        raw: S rows of factors, one per member.
        typical: mean variance over many crystals; 0 changes nothing.
        judging: members whose own spread it counts as; all where not given. A curve
            learnt from two of four is read where two of four would stand.
    """
    own_weight = (judging or len(raw.factors)) - 1
    if typical <= 0 or own_weight < 1:
        return raw
    own = (raw.factors**2).sum(axis=0)
    mixed = (LIKE * typical + own_weight * own) / (LIKE + own_weight)
    ratio = np.sqrt(mixed / np.maximum(own, 1e-12 * typical))
    return Prediction(raw.mean, raw.factors * ratio, raw.residual)
