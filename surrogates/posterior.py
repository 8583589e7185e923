"""PoolModel: a finished prediction of a pool as a BoTorch model over its indices.

Candidates are indices, never features: ``X`` has one column that holds positions in
the pool. Any acquisition function then sees the surrogate's joint Gaussian, whatever
the surrogate is. (Balandat et al., NeurIPS 2020, arXiv:1910.06403, for the interface.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.posteriors.posterior import Posterior
from gpytorch.distributions import MultivariateNormal
from linear_operator import to_linear_operator
from torch import Tensor
from typing_extensions import override

from matdisco.errors import SurrogateError
from surrogates.base import Prediction

_JITTER = 1e-8
"""Added to the diagonal, relative to the mean variance: keeps Cholesky factors of
candidates that the surrogate cannot tell apart."""


class PoolModel(Model):
    """A fixed joint Gaussian over n pool members.

    Args:
        prediction: of the whole pool, transformed and calibrated as the acquisition
            wants it. Its order gives the indices.
    """

    def __init__(self, prediction: Prediction) -> None:
        super().__init__()
        self.mean = torch.from_numpy(np.array(prediction.mean, dtype=float))
        self.factors = torch.from_numpy(np.array(prediction.factors, dtype=float))
        self.own = torch.from_numpy(np.asarray(prediction.residual, dtype=float) ** 2)
        mean_variance = float((prediction.std**2).mean()) if len(prediction) else 1.0
        self.jitter = _JITTER * max(mean_variance, 1e-12)

    @property
    @override
    def num_outputs(self) -> int:
        return 1

    @property
    @override
    def batch_shape(self) -> torch.Size:
        return torch.Size([])

    @override
    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
        **kwargs: Any,
    ) -> Posterior:
        """Return the joint posterior of the pool members whose indices are ``X``.

        Args:
            X: indices as doubles, shape ``batch_shape x q x 1``.
            output_indices: None or [0]; there is one output.
            observation_noise: must be False; a pool prediction knows no noise model.
            posterior_transform: applied to the result.
            **kwargs: none is known.

        Raises:
            SurrogateError: an argument it cannot honour, or an index outside the pool.
        """
        if observation_noise is not False:
            raise SurrogateError(
                "PoolModel holds latent values only; expected observation_noise=False"
            )
        if output_indices not in (None, [0]) or kwargs:
            raise SurrogateError(
                f"PoolModel has one output and no options "
                f"(got {output_indices=}, {sorted(kwargs)=})"
            )
        index = self._indices(X)  # batch x q
        columns = self.factors[:, index].movedim(0, -2)  # batch x r x q
        covariance = columns.transpose(-1, -2) @ columns  # batch x q x q
        same = index.unsqueeze(-1) == index.unsqueeze(-2)  # batch x q x q
        covariance = covariance + same * self.own[index].unsqueeze(-1)
        covariance.diagonal(dim1=-2, dim2=-1).add_(self.jitter)
        joint = MultivariateNormal(self.mean[index], to_linear_operator(covariance))
        posterior = GPyTorchPosterior(joint)
        if posterior_transform is not None:
            transformed: Posterior = posterior_transform(posterior)
            return transformed
        return posterior

    def choices(self) -> Tensor:
        """Return all indices as BoTorch wants discrete choices, shape (n, 1)."""
        return torch.arange(len(self.mean), dtype=torch.double).unsqueeze(-1)

    def _indices(self, X: Tensor) -> Tensor:
        if X.shape[-1] != 1:
            raise SurrogateError(
                f"Expected indices of shape batch x q x 1 (got {tuple(X.shape)})"
            )
        index = X[..., 0].round().long()
        if index.numel() and not (index.min() >= 0 and index.max() < len(self.mean)):
            raise SurrogateError(
                f"indices {int(index.min())} to {int(index.max())} reach outside "
                f"a pool of {len(self.mean)}"
            )
        return index
