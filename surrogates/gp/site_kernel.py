"""Gaussian process over which element sits on which site of a prototype.

The kernel is a sum over all interactions of the sites, each a product of one kernel per
site (additive Gaussian processes: D. Duvenaud, H. Nickisch and C. E. Rasmussen, NeurIPS
2011), plus one kernel over properties of the whole cell. The kernel of a site compares
elements: a squared exponential with one length scale per elemental property, and a part
for being the same element, which tables of properties cannot express. All length
scales, shares and weights come from the marginal likelihood, by gradients, with weak
log-normal priors that keep a few labels from switching properties off.

As sites hold few different elements, their kernels are small tables; a covariance is
looked up, not computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import torch
from scipy.linalg import solve_triangular
from torch import Tensor

from matdisco.errors import SurrogateError
from surrogates.spread import standardised

_RATE = 0.08  # Adam; steps of about 8 % in length scales and weights
_LENGTH, _CELL_LENGTH = math.log(3.0), math.log(2.0)
"""Prior medians of length scales, in standard deviations of a property: long, so that
a property counts only where the labels say so."""
_WEIGHT, _NOISE, _SAME = -1.5, -4.0, -1.0
"""Logarithms of the prior medians of an interaction's variance and of the noise, over
the variance of the labels; logit of the share of "same element"."""
_SPREAD = 2.0  # prior standard deviation of the logarithms of weights and noise

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class SiteSpace:
    """A pool whose candidates are occupations of the sites of one prototype."""

    codes: np.ndarray
    """Which occupant of each site a candidate has, shape (n, sites), int."""
    occupants: tuple[np.ndarray, ...]
    """Per site: standardised properties of its occupants, (occupants, properties)."""
    cell: np.ndarray
    """Standardised properties of the whole cell, shape (n, d)."""
    latents: np.ndarray | None = None
    """Standardised features that share one length scale, such as the latents of a
    pretrained potential, shape (n, m); they get a kernel of their own."""

    def __post_init__(self) -> None:
        n, sites = self.codes.shape
        if sites != len(self.occupants) or len(self.cell) != n:
            raise SurrogateError(
                f"Expected one table of occupants per site and one cell row per "
                f"candidate (got codes {self.codes.shape}, {len(self.occupants)} "
                f"tables, cell {self.cell.shape})"
            )

    @property
    def interactions(self) -> tuple[tuple[int, ...], ...]:
        """All sets of sites, singles first."""
        sites = range(len(self.occupants))
        return tuple(c for k in sites for c in combinations(sites, k + 1))


@dataclass(eq=False)
class SiteProcess:
    """The process; :meth:`fit` may be called again and starts where the last ended.

    As in :class:`surrogates.gp.exact.ExactGP` all answers are about the latent
    function, in the unit of the labels. Candidates are rows of the space.
    """

    space: SiteSpace
    """The pool."""
    parameters: dict[str, Tensor] = field(default_factory=dict)
    """Logarithms of length scales, weights and noise."""

    def __post_init__(self) -> None:
        space = self.space
        self._codes = torch.from_numpy(space.codes.astype(np.int64))
        self._tables = [torch.from_numpy(t.astype(float)) for t in space.occupants]
        self._cell = torch.from_numpy(space.cell.astype(float))
        self._latents = None
        if space.latents is not None:
            # then typical squared distances are 2, whatever the number of columns
            shared = space.latents / np.sqrt(space.latents.shape[1])
            self._latents = torch.from_numpy(shared.astype(float))
        if not self.parameters:
            weights = len(space.interactions) + 1 + (self._latents is not None)
            self.parameters = {
                "weights": torch.full((weights,), _WEIGHT, dtype=torch.double),
                "noise": torch.tensor(_NOISE, dtype=torch.double),
                "latents": torch.tensor(_CELL_LENGTH, dtype=torch.double),
                "same": torch.full((len(self._tables),), _SAME, dtype=torch.double),
                "cell": torch.full(
                    (self._cell.shape[1],), _CELL_LENGTH, dtype=torch.double
                ),
                **{
                    f"site{i}": torch.full((t.shape[1],), _LENGTH, dtype=torch.double)
                    for i, t in enumerate(self._tables)
                },
            }

    def fit(self, rows: np.ndarray, y: np.ndarray, *, steps: int) -> None:
        """Climb the marginal likelihood, then condition on the labels.

        Args:
            rows: labelled rows of the space, shape (n,).
            y: their labels, shape (n,).
            steps: of Adam; 0 keeps the parameters.
        """
        self._at = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        labels, self.centre, self.spread = standardised(np.asarray(y, dtype=float))
        z = torch.from_numpy(labels)
        if steps:
            self._climb(z, steps)
        with torch.no_grad():
            factor = self._factor(self.parameters)
            self._lower = factor.numpy()
            beta = torch.linalg.solve_triangular(factor, z[:, None], upper=False)
            self._weights = beta[:, 0].numpy()

    @property
    def noise(self) -> float:
        """Noise variance, unit of the labels squared."""
        return float(torch.exp(self.parameters["noise"])) * self.spread**2

    def mean(self, rows: np.ndarray) -> np.ndarray:
        """Return posterior means of rows of the space, shape (n,)."""
        alpha = solve_triangular(self._lower, self._weights, lower=True, trans="T")
        value: np.ndarray = self.centre + self.spread * (
            self._cross(rows, self._at.numpy()) @ alpha
        )
        return value

    def moments(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return posterior means and variances without noise, each (n,)."""
        v = self.whiten(rows)
        prior = float(torch.exp(self.parameters["weights"]).sum()) * self.spread**2
        left = np.maximum(prior - (v**2).sum(axis=0), 0.0)
        return self.centre + self._weights @ v, left

    def kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return prior covariances of rows, (len(a), len(b)), unit squared."""
        value: np.ndarray = self.spread**2 * self._cross(a, b)
        return value

    def whiten(self, rows: np.ndarray) -> np.ndarray:
        """Return ``L⁻¹ k(records, rows)``, (records, len(rows)), unit of the labels."""
        cross = self._cross(rows, self._at.numpy()).T
        value: np.ndarray = self.spread * solve_triangular(
            self._lower, cross, lower=True, check_finite=False
        )
        return value

    def _cross(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        left = torch.from_numpy(np.asarray(a).ravel().astype(np.int64))
        right = torch.from_numpy(np.asarray(b).ravel().astype(np.int64))
        with torch.no_grad():
            # single precision: half the time, its rounding far below the noise
            single = {k: v.float() for k, v in self.parameters.items()}
            looked_up: np.ndarray = self._correlation(single, left, right).numpy()
        return looked_up

    def _correlation(self, p: Parameters, a: Tensor, b: Tensor) -> Tensor:
        """Return covariances over the variance of the labels, (len(a), len(b))."""
        sites = []
        for i, table in enumerate(self._tables):
            scaled = table.to(p["noise"].dtype) * torch.exp(-p[f"site{i}"])
            gap = (scaled[:, None] - scaled[None]).square().sum(dim=-1)
            same = torch.sigmoid(p["same"][i])
            own = (1 - same) * torch.exp(-0.5 * gap) + same * torch.eye(
                len(table), dtype=scaled.dtype
            )
            sites.append(own[:, self._codes[b, i]][self._codes[a, i]])
        weights = torch.exp(p["weights"])
        first = len(self.space.interactions)
        total: Tensor = weights[first] * self._cells(p, a, b)
        if self._latents is not None:
            near = self._latents.to(weights.dtype) * torch.exp(-p["latents"])
            total = total + weights[first + 1] * torch.exp(
                -0.5 * _squared(near[a], near[b])
            )
        for weight, members in zip(weights, self.space.interactions, strict=False):
            product = sites[members[0]]
            for member in members[1:]:
                product = product * sites[member]
            total = total + weight * product
        return total

    def _cells(self, p: Parameters, a: Tensor, b: Tensor) -> Tensor:
        scale = torch.exp(-p["cell"])
        cell = self._cell.to(scale.dtype)
        alike: Tensor = torch.exp(-0.5 * _squared(cell[a] * scale, cell[b] * scale))
        return alike

    def _factor(self, p: Parameters) -> Tensor:
        covariance = self._correlation(p, self._at, self._at)
        noise = torch.exp(p["noise"]) + 1e-8
        shifted = covariance + noise * torch.eye(len(covariance)).double()
        factor: Tensor = torch.linalg.cholesky(shifted)
        return factor

    def _climb(self, z: Tensor, steps: int) -> None:
        free = {k: v.clone().requires_grad_() for k, v in self.parameters.items()}
        optimiser = torch.optim.Adam(free.values(), lr=_RATE)
        for _ in range(steps):
            optimiser.zero_grad()
            factor = self._factor(free)
            solved = torch.cholesky_solve(z[:, None], factor)[:, 0]
            loss = 0.5 * z @ solved + torch.log(factor.diagonal()).sum()
            total: Tensor = loss + _prior(free)
            torch.autograd.backward(total)
            optimiser.step()
        self.parameters = {k: v.detach() for k, v in free.items()}


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances of rows, (len(a), len(b))."""
    gap = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)[None] - 2 * a @ b.T
    return gap.clamp_min(0.0)


def _prior(p: Parameters) -> Tensor:
    """Return minus the log prior density, up to a constant."""
    centres: Sequence[tuple[str, float, float]] = (
        ("weights", _WEIGHT, _SPREAD), ("noise", _NOISE, _SPREAD),
        ("cell", _CELL_LENGTH, 1.0), ("latents", _CELL_LENGTH, 1.0),
        *((k, _LENGTH, 1.0) for k in p if k.startswith("site")),
    )  # fmt: skip
    total = torch.zeros((), dtype=torch.double)
    for key, centre, spread in centres:
        total = total + ((p[key] - centre) / spread).square().sum() / 2
    return total
