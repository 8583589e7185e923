"""What a configuration may ask of ensembles of networks. Does not import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from matdisco.recipe import Recipe
from surrogates.networks.kinds import (
    ALIGNNRecipe,
    AnyNetwork,
    CGCNNRecipe,
    CoGNRecipe,
    GraphForm,
    PaiNNRecipe,
)
from surrogates.rates import RateShape

if TYPE_CHECKING:
    from surrogates.base import Surrogate

__all__ = [
    "ALIGNNRecipe",
    "AnyNetwork",
    "CGCNNRecipe",
    "CoGNRecipe",
    "LossName",
    "NetworkEnsembleRecipe",
    "PaiNNRecipe",
]

LossName = Literal["beta_nll", "laplace"]
"""What training minimises (:mod:`surrogates.losses`)."""


class NetworkEnsembleRecipe(Recipe):
    """Graph networks trained together; their spread is the uncertainty.

    With ``pretrain`` the members first learn a dataset of other crystals (once per
    folder), and every fit starts from there: quick, and the same whatever was fitted
    before.
    """

    unhashed: ClassVar[frozenset[str]] = frozenset({"threads", "device"})
    hashed_if_given: ClassVar[frozenset[str]] = frozenset({"clip", "calibration"})

    kind: Literal["network_ensemble"] = "network_ensemble"
    """Selects this surrogate."""
    network: AnyNetwork = Field(default_factory=CoGNRecipe)
    """The architecture of every member."""
    members: int = Field(8, ge=1, le=64)
    """Networks in the ensemble; one alone has no disagreement to show."""
    diversity: Literal["bootstrap", "seed"] = "bootstrap"
    """What tells the members apart: initial weights and resampled records, or initial
    weights alone (each member learns from every record: more accurate, less spread)."""
    neighbours: int | None = Field(12, ge=1, le=64)
    """k of the nearest-neighbour graph; null takes all atoms within ``cutoff``."""
    cutoff: float = Field(8.0, gt=1.5, le=15.0)
    """Å; longest distance that is told apart, and the radius if neighbours is null."""
    graphs: GraphForm | None = None
    """``merged``: atoms that are alike to the network once; ``asymmetric_unit``: atoms
    that symmetry maps onto each other once (found by moyopy); ``full``: every atom.
    Predictions are the same. Null takes the smallest on which the network is exact."""
    auxiliary: tuple[str, ...] = Field((), max_length=8)
    """Labels learnt beside the target by the same network: related properties, or the
    target by a cheaper method. Records that have only some of the labels count too."""
    epochs: int = Field(60, ge=1)
    """Passes over the pretraining data, or over all data without pretraining."""
    learning_rate: float = Field(5e-3, gt=0, le=0.1)
    """Peak of the schedule."""
    schedule: RateShape = "one_cycle"
    """Rise over a fifth of the steps and fall over the rest, or a short rise and half a
    cosine."""
    loss: LossName = "beta_nll"
    """Likelihood weighted towards squared error, or absolute error with a Laplace
    scale: the latter where the mean absolute error is what counts."""
    average: float = Field(0.99, ge=0, lt=1)
    """Decay of the moving average of the weights, per step."""
    batch_size: int = Field(64, ge=1)
    """Crystals in a step."""
    weight_decay: float = Field(1e-3, ge=0, le=1)
    """AdamW's decoupled weight decay."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of a member's gradient."""
    held_out: float = Field(0.1, ge=0.02, le=0.5)
    """Fraction, by whole chemical systems, that only calibrates and judges."""
    patience: float = Field(0.5, gt=0, le=1)
    """Stop after this fraction of the epochs without a better held-out error."""
    pretrain: str | None = None
    """A dataset file, or ``shipped:NAME``, to learn first; null starts from nothing."""
    pretrain_target: str | None = None
    """Label to learn there; null means the campaign's own target. With another one the
    output layer starts anew, nothing is replayed, and a fit makes four times the passes
    and needs at least 8 records."""
    base_seed: int = Field(0, ge=0)
    """Seed of the pretraining, shared by all campaigns that use the same base."""
    finetune_epochs: int = Field(30, ge=1)
    """Passes over the campaign's records and the replayed ones in each fit."""
    finetune_learning_rate: float = Field(3e-3, gt=0, le=0.1)
    """Peak of the one-cycle schedule of a fit."""
    replay: int = Field(200, ge=0)
    """Pretraining records mixed into each fit, against forgetting."""
    left_out: float = Field(0.375, gt=0, lt=1)
    """Fraction of the members that do not see a given campaign record; those members'
    errors on it calibrate the uncertainty."""
    calibration: Literal["errors", "scale", "interval", "isotonic"] = "scale"
    """How sigma is matched to errors on records that the judging members did not learn,
    as for surrogates on features. ``scale``: one factor that makes the variance right;
    ``interval``: one that makes the 90 % interval cover 90 %; ``errors``: a factor that
    depends on the chemistry, learnt from 100 records left out on and kept only where it
    proves better than one factor; ``isotonic``: a monotone curve (from 30 records left
    out). A base alone keeps one factor."""
    calibration_prior: float = Field(20.0, ge=0)
    """Records that the scale of the base counts for against new errors."""
    threads: int = Field(2, ge=1)
    """Torch threads while training and predicting; may change the last bits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks run; ``auto`` takes a CUDA card if there is one. The same
    results within rounding."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products while training on a CUDA card; sums, losses and predictions stay
    in float32, and a CPU always works in float32."""

    @property
    def form(self) -> GraphForm:
        """The graphs that are built."""
        return self.graphs or self.network.forms[0]

    @model_validator(mode="after")
    def _exact(self) -> Self:
        forms = self.network.forms
        if self.form not in forms:
            raise ValueError(
                f"graphs {self.graphs} lose what a {self.network.kind} network reads; "
                f"expected {' or '.join(forms)}"
            )
        if self.auxiliary and self.pretrain is not None:
            raise ValueError(
                "auxiliary labels are learnt from scratch; expected pretrain: null "
                "beside them"
            )
        return self

    @model_validator(mode="after")
    def _members_left(self) -> Self:
        out = round(self.left_out * self.members)
        if self.pretrain is None:
            return self
        if not 1 <= out < self.members:
            raise ValueError(
                f"left_out {self.left_out} of {self.members} members is {out}; "
                "at least one member must see and one must miss each record"
            )
        return self

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate.

        Args:
            seed: of the fit (which member sees which record, order, replay).
            folder: where the pretrained base is kept as ``base``; None keeps it in
                memory only.
        """
        from surrogates.ensemble import NetworkEnsemble

        return NetworkEnsemble(self, seed, folder)
