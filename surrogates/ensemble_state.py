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
from surrogates.calibration import CalibrationName, Scale, Steps
from surrogates.checkpoint import Checkpoint
from surrogates.ensemble_spread import moderated, stepped
from surrogates.graphs import PackedGraphs
from surrogates.metrics import evaluate as score
from surrogates.networks.recipes import NetworkEnsembleRecipe
from surrogates.spread import doubt, vary

_HELD, _STEPS = "held_out.", "calibration."
"""Prefixes of the arrays in a checkpoint that are no weights."""
_ARRAYS = frozenset({"weights", "scale", "held", "steps"})
"""Fields that are no plain data."""


@dataclass(frozen=True, eq=False)
class Held:
    """Records that calibrated the target, by members that did not learn them."""

    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Positions among the records that have the target's label, shape (m,)."""
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Unit of the target, shape (m,)."""
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """What was predicted, unit of the target, shape (m,)."""
    std: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Its calibrated standard deviation, unit of the target, shape (m,)."""


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
    kind: CalibrationName = "scale"
    """How sigma was to be matched."""
    judging: int | None = None
    """Members that judged each record that calibrated."""
    caution: str = ""
    """What to know of sigma where labels do not vary."""
    steps: Mapping[str, Steps] = field(default_factory=dict, repr=False)
    """Label → its calibration, where that is more than one factor."""
    held: Held = field(default_factory=Held, repr=False)
    """What calibrated; empty in checkpoints from before it was kept."""

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
        self,
        means: np.ndarray,
        logs: np.ndarray,
        crystals: Sequence[Crystal],
        name: str | None = None,
    ) -> Prediction:
        """Return :meth:`joint` of n crystals with sigma matched to errors left out."""
        k, typical = self.scale.k, self.typical
        if name is not None and name != self.target:
            _, _, k, _, typical = self.others[name]
        raw, steps = self.joint(means, logs, name), self.steps.get(name or self.target)
        if steps is None:
            return moderated(raw, typical).scaled(k)
        return steps.apply(moderated(raw, typical, self.judging), crystals)

    def judged(
        self,
        raw: Prediction,
        labels: np.ndarray,
        rows: np.ndarray,
        prior: Scale,
        typical: float | None = None,
        *,
        ratio: float = 1.0,
        kind: CalibrationName = "scale",
        crystals: Sequence[Crystal] = (),
        seed: int = 0,
        every: np.ndarray | None = None,
    ) -> Self:
        """Return a copy calibrated and scored on records that ``raw`` did not see.

        Args:
            raw: uncalibrated, of n records.
            labels: their labels, shape (n,).
            rows: their positions among the labelled records, shape (n,).
            prior: the scale before them.
            typical: see :func:`~surrogates.ensemble_spread.matched`.
            ratio: likewise; sigmas of what was held out are larger by as much.
            kind: how sigma is matched.
            crystals: the n records, for ``errors``.
            seed: likewise.
            every: see :func:`~surrogates.ensemble_spread.stepped`.
        """
        steps, typical, found = stepped(
            kind, raw, labels, crystals, prior, typical,
            ratio=ratio, seed=seed, every=every,
        )  # fmt: skip
        flat = None if every is None or vary(every) else every
        return replace(
            self, scale=steps.scale, metrics=score(labels, found), typical=typical,
            held=Held(rows, labels, found.mean, found.std),
            kind=kind if flat is None else "scale", judging=len(raw.factors),
            caution="" if flat is None else doubt(len(flat), float(flat[0])),
            steps={self.target: steps} if steps.arrays() else {},
        )  # fmt: skip

    def words(self) -> dict[str, str]:
        """Return name → text on the calibration, for cards and MLflow tags."""
        steps = self.steps.get(self.target, Steps(self.scale))
        return steps.words(self.kind, len(self.held.rows))

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
            k: v for k, v in vars(self).items() if k not in _ARRAYS
        }
        plain |= {
            "seed": seed,
            "scale": [self.scale.k, self.scale.n],
            "elements": list(self.elements),
            "metrics": dict(self.metrics),
            "others": {k: list(v) for k, v in self.others.items()},
        }
        arrays = {**self.weights}
        arrays |= {_HELD + k: v for k, v in vars(self.held).items()}
        for name, steps in self.steps.items():
            place = f"{_STEPS}{self.names.index(name)}."
            arrays |= {place + k: v for k, v in steps.arrays().items()}
        return Checkpoint(recipe.model_dump(mode="json"), plain, arrays)

    @classmethod
    def restored(cls, checkpoint: Checkpoint) -> Self:
        """Rebuild what :meth:`checkpoint` made."""
        data = {k: v for k, v in checkpoint.state.items() if k != "seed"}
        data |= {"scale": Scale(*data["scale"]), "elements": tuple(data["elements"])}
        # absent in checkpoints from before there were auxiliary labels, and without a
        # typical spread in those from before it counted
        others = data.get("others", {})
        data["others"] = {k: (*v, 0.0)[:5] for k, v in others.items()}
        arrays = dict(checkpoint.arrays)
        kept = Held(**_taken(arrays, _HELD))
        bare = cls(**data, weights={}, held=kept)
        scales = [bare.scale, *(Scale(k, n) for _, _, k, n, _ in bare.others.values())]
        steps = {}
        for i, (name, scale) in enumerate(zip(bare.names, scales, strict=True)):
            if found := _taken(arrays, f"{_STEPS}{i}."):
                steps[name] = Steps.restored(scale, found)
        return replace(bare, weights=arrays, steps=steps)


def _taken(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Take the arrays with a prefix out of ``arrays``; names without it."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}
