"""What a fitted ensemble is made of, as plain data: frozen, saved, restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from matdisco.crystal import Crystal
from matdisco.elements import SYMBOLS
from matdisco.errors import SurrogateError
from surrogates.base import Prediction
from surrogates.calibration import Scale, nats, z_scores
from surrogates.checkpoint import Checkpoint
from surrogates.graphs import PackedGraphs
from surrogates.metrics import evaluate as score
from surrogates.networks.recipes import NetworkEnsembleRecipe

LIKE = 3
"""Degrees of freedom that the typical spread counts for against a crystal's own."""


@dataclass(frozen=True, eq=False)
class State:
    """Everything that a fitted ensemble needs to predict."""

    target: str
    """Label key."""
    centre: float
    """Subtracted from labels before training, unit of the target."""
    spread: float
    """Divides labels before training, unit of the target."""
    scale: Scale
    """Calibration of the raw uncertainty."""
    elements: tuple[str, ...]
    """What the weights have seen, alphabetical."""
    dataset: str
    """Content hash of the fitted records."""
    n_train: int
    """Fitted records."""
    weights: Mapping[str, np.ndarray] = field(repr=False)
    """The network's state, members along axis 0."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """On records that the judging members did not see."""
    base: str = ""
    """Fingerprint of the base the fit started from; empty without pretraining."""
    others: Mapping[str, tuple[float, float, float, float, float]] = field(
        default_factory=dict
    )
    """Auxiliary label → its centre and spread, k and n of its calibration, and its
    typical spread."""
    typical: float = 0.0
    """Mean square by which members disagreed on the records that judged, unit of the
    target squared; 0 in checkpoints from before it counted."""

    @property
    def names(self) -> tuple[str, ...]:
        """All labels learnt, the target first."""
        return (self.target, *self.others)

    def joint(
        self, means: np.ndarray, logs: np.ndarray, name: str | None = None
    ) -> Prediction:
        """Turn members' standardised outputs into an uncalibrated prediction.

        Args:
            means: shape (S, n, T).
            logs: log variances, shape (S, n, T).
            name: which label; None is the target.
        """
        at = 0 if name is None else self.names.index(name)
        offset, spread = (
            self.others[self.names[at]][:2] if at else (self.centre, self.spread)
        )
        means, logs = means[..., at], logs[..., at]
        centre = means.mean(axis=0)
        factors = (means - centre) / np.sqrt(max(len(means) - 1, 1))
        residual = np.sqrt(np.exp(logs).mean(axis=0))
        return Prediction(offset + spread * centre, spread * factors, spread * residual)

    def calibrated(
        self, means: np.ndarray, logs: np.ndarray, name: str | None = None
    ) -> Prediction:
        """Return :meth:`joint` with sigma matched to errors left out."""
        k, typical = self.scale.k, self.typical
        if name is not None and name != self.target:
            _, _, k, _, typical = self.others[name]
        return moderated(self.joint(means, logs, name), typical).scaled(k)

    def judged(
        self,
        raw: Prediction,
        labels: np.ndarray,
        prior: Scale,
        typical: float | None = None,
    ) -> Self:
        """Return a copy calibrated and scored on records that ``raw`` did not see.

        Args:
            raw: uncalibrated, of n records.
            labels: their labels, shape (n,).
            prior: the scale before them.
            typical: see :func:`matched`.
        """
        scale, typical = matched(raw, labels, prior, typical)
        metrics = score(labels, moderated(raw, typical).scaled(scale.k))
        return replace(self, scale=scale, metrics=metrics, typical=typical)

    def require_known(self, graphs: PackedGraphs, crystals: Sequence[Crystal]) -> None:
        """Refuse elements that no fitted record holds.

        Raises:
            SurrogateError: names the first such crystal and element.
        """
        known = np.array([SYMBOLS.index(e) + 1 for e in self.elements])
        odd = np.flatnonzero(~np.isin(graphs.numbers, known))
        if len(odd):
            row = int(np.searchsorted(graphs.node_offsets, odd[0], side="right")) - 1
            raise SurrogateError(
                f"crystal {crystals[row].id}: element "
                f"{SYMBOLS[int(graphs.numbers[odd[0]]) - 1]} is in none of the records "
                f"that this surrogate learnt from ({' '.join(self.elements)})"
            )

    def checkpoint(self, recipe: NetworkEnsembleRecipe, seed: int) -> Checkpoint:
        """Return plain data for :func:`surrogates.checkpoint.write`."""
        plain: dict[str, Any] = {
            k: v for k, v in vars(self).items() if k not in ("weights", "scale")
        }
        plain |= {
            "seed": seed,
            "scale": [self.scale.k, self.scale.n],
            "elements": list(self.elements),
            "metrics": dict(self.metrics),
            "others": {k: list(v) for k, v in self.others.items()},
        }
        return Checkpoint(recipe.model_dump(mode="json"), plain, self.weights)

    @classmethod
    def restored(cls, checkpoint: Checkpoint) -> Self:
        """Rebuild what :meth:`checkpoint` made."""
        data = {k: v for k, v in checkpoint.state.items() if k != "seed"}
        data |= {"scale": Scale(*data["scale"]), "elements": tuple(data["elements"])}
        # absent in checkpoints from before there were auxiliary labels, and without a
        # typical spread in those from before it counted
        others = data.get("others", {})
        data["others"] = {k: (*v, 0.0)[:5] for k, v in others.items()}
        return cls(**data, weights=dict(checkpoint.arrays))


def matched(
    raw: Prediction, labels: np.ndarray, prior: Scale, typical: float | None = None
) -> tuple[Scale, float]:
    """Return the scale and the typical spread that records left out ask for.

    Args:
        raw: uncalibrated, of n records that its members did not learn.
        labels: their labels, shape (n,).
        prior: the scale before them.
        typical: the spread before them, as heavy as ``prior``, or 0 to go without;
            None lets the records decide.
    """
    if typical is None:
        typical = useful_spread(raw, labels)
    elif typical > 0:
        typical = typical_spread(raw, typical, prior.n)
    return prior.updated(z_scores(labels, moderated(raw, typical))), typical


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


def moderated(raw: Prediction, typical: float) -> Prediction:
    """Draw each crystal's spread of the members towards the typical one.

    A variance of S networks has S - 1 degrees of freedom: where few happen to agree,
    that is mostly chance, and the errors there are hardly smaller. The posterior mean
    under a conjugate prior mixes both by their degrees of freedom (G. K. Smyth, Stat.
    Appl. Genet. Mol. Biol. 3, 3 (2004), who shares variances of genes likewise).
    Correlations between crystals stay as they are.

    Args:
        raw: S rows of factors, one per member.
        typical: mean variance over many crystals; 0 changes nothing.
    """
    own_weight = len(raw.factors) - 1
    if typical <= 0 or own_weight < 1:
        return raw
    own = (raw.factors**2).sum(axis=0)
    mixed = (LIKE * typical + own_weight * own) / (LIKE + own_weight)
    ratio = np.sqrt(mixed / np.maximum(own, 1e-12 * typical))
    return Prediction(raw.mean, raw.factors * ratio, raw.residual)
