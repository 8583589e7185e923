"""What training minimises: a mean and a variance from every member at once.

Both losses take mean and log variance [S, g, T], labels [g, T] and weights [S, g, T]
(0 where a record lacks a label), all in standardised units, and return the weighted sum
over members and targets of the mean over records.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from surrogates.networks.recipes import LossName

BETA = 0.5
"""Exponent of the variance weight in the β-NLL: between the likelihood (0), which
gives up on hard crystals, and squared error (1); the value its authors recommend."""
SCALE_SHARE = 0.1
"""Weight of the scale's likelihood beside the absolute error: small, so that layers
shared by both outputs serve the mean first."""


def beta_nll(
    mean: Tensor, log_variance: Tensor, labels: Tensor, weights: Tensor
) -> Tensor:
    """Return the β-NLL (Seitzer et al., ICLR 2022, arXiv:2203.09168)."""
    variance = log_variance.exp()
    nll = 0.5 * (log_variance + (labels - mean) ** 2 / variance)
    weighted = weights * variance.detach() ** BETA * nll
    return weighted.sum() / labels.shape[0]


def laplace(
    mean: Tensor, log_variance: Tensor, labels: Tensor, weights: Tensor
) -> Tensor:
    r"""Return the absolute error plus the likelihood of a Laplace scale.

    .. math::
        |y - \mu| + s\,(\log 2b + |y - \mu|_\text{stop} / b), \quad 2 b^2 = \sigma^2

    The scale is fitted to the errors but cannot excuse them (its term sees the error
    as a constant), so the mean is the conditional median, as in a network trained on
    the absolute error alone, which is what benchmarks are judged by.
    """
    error = (labels - mean).abs()
    log_scale = 0.5 * (log_variance - math.log(2.0))
    nll = log_scale + math.log(2.0) + error.detach() * (-log_scale).exp()
    return (weights * (error + SCALE_SHARE * nll)).sum() / labels.shape[0]


LOSSES: dict[LossName, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "beta_nll": beta_nll,
    "laplace": laplace,
}
