"""A variational process on a learnt representation, and how it learns (GPyTorch).

Hensman et al., UAI 2013 (arXiv:1309.6835); Wilson et al., AISTATS 2016
(arXiv:1511.02222) for the representation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import gpytorch
import numpy as np
from torch import Tensor, nn
from typing_extensions import override

from surrogates.training import Task, block


class Process(gpytorch.models.ApproximateGP):  # type: ignore[misc]
    """Matérn-5/2 over the representation of standardised features."""

    def __init__(self, inducing: Tensor, body: nn.Module) -> None:
        distribution = gpytorch.variational.CholeskyVariationalDistribution(
            len(inducing)
        )
        super().__init__(
            gpytorch.variational.VariationalStrategy(
                self, inducing, distribution, learn_inducing_locations=True
            )
        )
        self.body = body
        self.mean_module = gpytorch.means.ConstantMean()
        self.covar_module = gpytorch.kernels.ScaleKernel(
            gpytorch.kernels.MaternKernel(nu=2.5)
        )

    @override
    def forward(self, h: Tensor) -> Any:
        """Return the prior at representations ``h``, n x latent."""
        return gpytorch.distributions.MultivariateNormal(
            self.mean_module(h), self.covar_module(h)
        )

    @override
    def __call__(self, x: Tensor, prior: bool = False, **kwargs: Any) -> Any:
        """Return the posterior at standardised features ``x``, n x d."""
        return super().__call__(self.body(x), prior=prior, **kwargs)


class Evidence(Task[np.ndarray]):
    """A process learns the bound on its evidence, records in a new order every pass.

    Args:
        process: changed in place.
        likelihood: likewise; its noise is that of the labels.
        x: standardised features, shape (n, d).
        z: standardised labels, shape (n,).
        steps: of all epochs.
        batch_size: records in a step; what is left over of a pass waits for the next.
        seed: of the order.
    """

    def __init__(
        self,
        process: Process,
        likelihood: Any,
        x: Tensor,
        z: Tensor,
        *,
        steps: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__([process, likelihood], 1, steps)
        self.process, self.x, self.z, self.seed = process, x, z, seed
        self.size = min(batch_size, len(z))
        self.objective = gpytorch.mlls.VariationalELBO(likelihood, process, len(z))

    @override
    def batches(self, epoch: int) -> Iterator[np.ndarray]:
        """Return the rows of every step of a block."""
        per_pass, order, drawn = len(self.z) // self.size, np.zeros(0, dtype=int), -1
        for step in block(epoch, self.steps):
            number, at = divmod(step, per_pass)
            if number != drawn:
                seed = np.random.SeedSequence([self.seed, 3, number])
                order = np.random.default_rng(seed).permutation(len(self.z))
                drawn = number
            yield order[at * self.size : (at + 1) * self.size]

    @override
    def loss(self, batch: np.ndarray) -> Tensor:
        """Return the negative bound per record."""
        bound: Tensor = self.objective(self.process(self.x[batch]), self.z[batch])
        return -bound

    @override
    def facts(self) -> tuple[object, Iterable[np.ndarray]]:
        """Return settings and table."""
        return (self.seed, self.size), (self.x.numpy(), self.z.numpy())
