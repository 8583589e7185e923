"""What a configuration may ask of small networks on fixed features. No torch here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from surrogates.rates import RateShape
from surrogates.tabular.recipes import OnFeatures

if TYPE_CHECKING:
    from surrogates.base import Surrogate
    from surrogates.checkpoint import Checkpoint

_TRAINED = frozenset({"schedule", "average", "clip"})
"""Settings of a training that came later: at their defaults a recipe keeps its hash."""


class LastLayerRecipe(OnFeatures):
    """A small network on the features with a Bayesian linear last layer.

    Snoek et al., ICML 2015 (arXiv:1502.05700); the Laplace approximation of the last
    layer is exact here, as that layer is linear and its noise Gaussian.
    """

    hashed_if_given: ClassVar[frozenset[str]] = _TRAINED
    kind: Literal["last_layer"] = "last_layer"
    """Selects this surrogate."""
    width: int = Field(128, ge=4, le=2048)
    """Units in each hidden layer."""
    depth: int = Field(2, ge=1, le=8)
    """Hidden layers; the last one feeds the Bayesian layer."""
    folds: int = Field(5, ge=2, le=20)
    """Networks, each trained without one fold, in each of two deals of the records: the
    two that missed a record calibrate, and tell how much less an average errs."""
    steps: int = Field(2000, ge=1)
    """Training steps, whatever the number of records."""
    learning_rate: float = Field(3e-3, gt=0, le=0.1)
    """Peak of the schedule."""
    schedule: RateShape = "one_cycle"
    """Rise over a fifth of the steps and fall over the rest, or a short rise and half a
    cosine."""
    weight_decay: float = Field(1e-3, ge=0, le=1)
    """AdamW's decoupled weight decay."""
    average: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of the weights, per step; 0 keeps the last ones."""
    # with 1 for each of six networks errors are 1 % larger
    clip: float = Field(0.4, gt=0)
    """Largest norm of a network's gradient."""
    batch_size: int = Field(64, ge=1)
    """Records in a step."""

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate; a training that is killed goes on in it.

        Args:
            seed: of weights, batches and what each network misses.
            folder: where states of the training are left; None leaves none.
        """
        from surrogates.tabular.last_layer import LastLayer

        return LastLayer(self, seed, folder)

    def restore(self, checkpoint: Checkpoint) -> Surrogate:
        """Return the fitted surrogate of a checkpoint."""
        from surrogates.tabular.last_layer import LastLayer

        return LastLayer.restored(self, checkpoint)


class DeepKernelRecipe(OnFeatures):
    """Stochastic variational Gaussian process on a learnt representation.

    Wilson et al., AISTATS 2016 (arXiv:1511.02222) for deep kernels, Hensman et al., UAI
    2013 (arXiv:1309.6835) for the variational process. For sets that are too large for
    the exact one. A learnt representation that trains for long is far too sure (Ober,
    Rasmussen and van der Wilk, UAI 2021): several train briefly, each without some of
    the records, which calibrate, and their average answers.
    """

    hashed_if_given: ClassVar[frozenset[str]] = _TRAINED | {"weight_decay"}
    kind: Literal["deep_kernel"] = "deep_kernel"
    """Selects this surrogate."""
    inducing: int = Field(256, ge=4, le=4096)
    """Inducing points; cost grows with their cube, accuracy with their number."""
    width: int = Field(128, ge=4, le=2048)
    """Units in each hidden layer of the representation."""
    depth: int = Field(1, ge=0, le=8)
    """Hidden layers; 0 is a plain variational process on the features."""
    latent: int = Field(32, ge=2, le=512)
    """Dimensions that the kernel sees."""
    folds: int = Field(3, ge=2, le=20)
    """Processes, each trained without one fold, in each of two deals of the records:
    the two that missed a record calibrate, and tell how much less an average errs."""
    steps: int = Field(300, ge=1)
    """Training steps of each process, however few the records are."""
    passes: float = Field(20.0, ge=0)
    """Passes of each process over its records, where that takes more steps."""
    learning_rate: float = Field(1e-2, gt=0, le=0.1)
    """Peak of the schedule."""
    schedule: RateShape = "cosine"
    """Rise over a fifth of the steps and fall over the rest, or a short rise and half a
    cosine."""
    weight_decay: float = Field(0.0, ge=0, le=1)
    """AdamW's decoupled weight decay, of kernel and inducing points as well."""
    average: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of the weights, per step; 0 keeps the last ones."""
    clip: float = Field(10.0, gt=0)
    """Largest norm of the gradient."""
    batch_size: int = Field(256, ge=1)
    """Records in a step."""
    calibration_prior: float = Field(1.0, ge=0)
    """Records that a scale of 1 counts for against the errors of those left out."""

    def steps_for(self, n: int) -> int:
        """Return the training steps of a process that learns n records."""
        per_pass = max(1, n // min(self.batch_size, max(n, 1)))
        return max(self.steps, math.ceil(self.passes * per_pass))

    def build(self, seed: int, folder: Path | None = None) -> Surrogate:
        """Return an unfitted surrogate; a training that is killed goes on in it.

        Args:
            seed: of weights, batches and what is held out.
            folder: where states of the training are left; None leaves none.
        """
        from surrogates.tabular.deep_kernel import DeepKernel

        return DeepKernel(self, seed, folder)

    def restore(self, checkpoint: Checkpoint) -> Surrogate:
        """Return the fitted surrogate of a checkpoint."""
        from surrogates.tabular.deep_kernel import DeepKernel

        return DeepKernel.restored(self, checkpoint)
