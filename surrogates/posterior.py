"""Finished predictions of a pool as BoTorch models over its indices.

Candidates are indices, never features: ``X`` has one column that holds positions in
the pool. :class:`PoolModel` shows any surrogate's joint Gaussian to any acquisition
function, :class:`MembersModel` the members of an ensemble as they are. (Balandat et
al., NeurIPS 2020, arXiv:1910.06403, for the interface.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.ensemble import EnsembleModel
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.posteriors.posterior import Posterior
from botorch.sampling.index_sampler import IndexSampler
from gpytorch.distributions import MultivariateNormal
from linear_operator import to_linear_operator
from torch import Tensor
from typing_extensions import override

from matdisco.errors import SurrogateError
from surrogates.base import Prediction

if TYPE_CHECKING:
    from botorch.posteriors.ensemble import EnsemblePosterior

    from matdisco.crystal import Crystal
    from surrogates.base import Surrogate

_JITTER = 1e-8
"""Added to the diagonal, relative to the mean variance: keeps Cholesky factors of
candidates that the surrogate cannot tell apart."""


@overload
def to_botorch(
    surrogate: Surrogate, pool: Sequence[Crystal], *, members: Literal[False] = False
) -> PoolModel: ...


@overload
def to_botorch(
    surrogate: Surrogate, pool: Sequence[Crystal], *, members: Literal[True]
) -> MembersModel: ...


def to_botorch(
    surrogate: Surrogate, pool: Sequence[Crystal], *, members: bool = False
) -> PoolModel | MembersModel:
    """Predict ``pool`` and return the joint posterior as a BoTorch model.

    Works for every fitted surrogate; ``model.choices()`` are the discrete choices. Of
    more than 4,000 candidates processes share a low-rank covariance with every variance
    exact (:mod:`surrogates.gp.low_rank`).

    Args:
        surrogate: fitted.
        pool: n crystals; their order gives the indices.
        members: the members of an ensemble as they are instead of their Gaussian.
            They share what the Gaussian shares; what each crystal has for itself is
            in none of them.

    Raises:
        SurrogateError: not fitted, or ``members`` of what has none.
    """
    if not members:
        return PoolModel(surrogate.predict(pool))
    said = getattr(surrogate, "members", None)
    if said is None:
        raise SurrogateError(
            f"members: {surrogate.describe().get('surrogate', 'this surrogate')} is no "
            "ensemble of networks and has no members to show; leave it out"
        )
    return MembersModel(said(pool))


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
        index = indices(X, len(self.mean))  # batch x q
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


class MembersModel(EnsembleModel):
    """The members of an ensemble, each a function on the pool.

    Use it with :class:`AllMembers` as the sampler: BoTorch's own draws members at
    random and separately for every candidate, so equal candidates get different
    values. With S members at most about S candidates of one batch can be told apart;
    for larger batches take :class:`PoolModel`.

    Args:
        values: of each member for each pool member, shape (S, n).
    """

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self.values = torch.from_numpy(np.array(values, dtype=float))
        self._num_outputs = 1

    @override
    def forward(self, X: Tensor) -> Tensor:
        """Return values, ``batch x S x q x 1``, at the indices ``X``, batch x q x 1."""
        index = indices(X, self.values.shape[1])
        return self.values[:, index].movedim(0, -2).unsqueeze(-1)

    def choices(self) -> Tensor:
        """Return all indices as BoTorch wants discrete choices, shape (n, 1)."""
        return torch.arange(self.values.shape[1], dtype=torch.double).unsqueeze(-1)


class AllMembers(IndexSampler):
    """Take every member exactly once: the mean over samples is the ensemble's mean.

    Args:
        members: S, as in the model.
    """

    def __init__(self, members: int) -> None:
        super().__init__(sample_shape=torch.Size([members]), seed=0)

    @override
    def _construct_base_samples(self, posterior: EnsemblePosterior) -> None:
        """Give members their numbers, the same for every element of the batch."""
        shape = self.sample_shape + posterior.batch_shape
        numbers = torch.arange(self.sample_shape[0])
        numbers = numbers.view(-1, *[1] * len(posterior.batch_shape)).expand(shape)
        self.register_buffer("base_samples", numbers.contiguous())


def indices(X: Tensor, size: int) -> Tensor:
    """Return ``X``, batch x q x 1, as whole numbers within a pool, batch x q.

    Raises:
        SurrogateError: another shape, or an index outside the pool.
    """
    if X.shape[-1] != 1:
        raise SurrogateError(
            f"Expected indices of shape batch x q x 1 (got {tuple(X.shape)})"
        )
    index = X[..., 0].round().long()
    if index.numel() and not (index.min() >= 0 and index.max() < size):
        raise SurrogateError(
            f"indices {int(index.min())} to {int(index.max())} reach outside "
            f"a pool of {size}"
        )
    return index
