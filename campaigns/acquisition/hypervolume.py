"""Several targets at once: noisy expected hypervolume improvement on a pool.

BoTorch's qLogNEHVI (S. Daulton et al., NeurIPS 2021, arXiv:2105.08195; logarithms: S.
Ament et al., NeurIPS 2023) on pool indices, one independent belief per target.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.logei import (
    qLogNoisyExpectedHypervolumeImprovement,
)
from botorch.acquisition.multi_objective.objective import (
    IdentityMCMultiOutputObjective,
)
from botorch.models.model import ModelList
from botorch.optim import optimize_acqf_discrete
from botorch.posteriors import Posterior
from botorch.sampling.list_sampler import ListSampler
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from botorch.utils.sampling import draw_sobol_normal_samples
from torch import Tensor
from typing_extensions import override

from campaigns.acquisition.pool import Pick
from surrogates.base import Prediction
from surrogates.posterior import PoolModel

DIRECTIONS = 64
"""Random directions along which candidates are looked for."""

if os.environ.get("MATDISCO_COMPILED") != "1":
    # BoTorch compiles a kernel of C++ at its first use, for this very processor, which
    # halves the time of a batch. Only where asked for: it changes the last bits of a
    # proposal between machines, another kind of processor that shares the home cannot
    # run it, and a compiler that was killed leaves a lock which all others wait for.
    # BoTorch takes this for a trial that failed, and goes on without.
    logei._load_attempted = True


def hypervolume_batch(
    beliefs: Sequence[Prediction],
    labelled: np.ndarray,
    merit: np.ndarray,
    q: int,
    seed: int,
    *,
    samples: int = 128,
    limits: np.ndarray | None = None,
    goals: int | None = None,
    reference: np.ndarray | None = None,
) -> list[Pick]:
    """Return a batch that is expected to add most hypervolume, greedily.

    Args:
        beliefs: one per target about the same rows, higher is better, in a common
            scale of about 1.
        labelled: rows that have answers, or soon will; the others are candidates.
        merit: answers so far, shape (answers, targets); they give the reference point
            where there is no ``reference``.
        q: size.
        seed: of the quasi-random draws.
        samples: how many.
        limits: lowest and highest merit of use of every target, shape (targets, 2), for
            outcome constraints; none when not given.
        goals: how many targets, the first ones, are sides of the hypervolume; the
            others only have limits. All when not given.
        reference: shape (goals,); inferred from the front of ``merit``, a tenth of its
            range below, when not given.
    """
    sides = len(beliefs) if goals is None else goals
    model = ModelList(*(PoolModel(b) for b in beliefs))
    sampler = samplers(len(beliefs), samples, seed)
    bounds = np.full((len(beliefs), 2), (-np.inf, np.inf)) if limits is None else limits
    if reference is None:
        inside = ((merit >= bounds[:, 0]) & (merit <= bounds[:, 1])).all(axis=1)
        answers = torch.from_numpy(np.asarray(merit, dtype=float))
        front = answers[torch.from_numpy(inside)] if inside.any() else answers
        point = infer_reference_point(_front(front[:, :sides]))
    else:
        point = torch.from_numpy(np.asarray(reference, dtype=float))
    rows = np.setdiff1d(np.arange(len(beliefs[0])), labelled)
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # pruning draws without a seed of its own
        function = qLogNoisyExpectedHypervolumeImprovement(
            model,
            ref_point=point,
            X_baseline=torch.from_numpy(labelled.astype(float))[:, None],
            sampler=sampler,
            objective=(
                None if sides == len(beliefs)
                else IdentityMCMultiOutputObjective(list(range(sides)))
            ),
            constraints=constraints(bounds) or None,
            prune_baseline=True,
            cache_root=False,
        )  # fmt: skip
    with torch.no_grad():
        picks, values = optimize_acqf_discrete(
            function,
            q=min(q, len(rows)),
            choices=torch.from_numpy(rows.astype(float))[:, None],
            max_batch_size=256,
        )
    first = beliefs[0]
    return [
        Pick(int(p), float(v), float(first.mean[int(p)]), float(first.std[int(p)]))
        for p, v in zip(picks[:, 0], values.reshape(-1), strict=True)
    ]


def promising(
    mean: np.ndarray,
    std: np.ndarray,
    rng: np.random.Generator,
    each: int,
    most: int,
) -> np.ndarray:
    """Return the rows on top by mean + sigma along :data:`DIRECTIONS` directions.

    Args:
        mean: expected merits in a common scale, shape (targets, n).
        std: standard deviations, the same shape.
        rng: source of the directions.
        each: rows per direction.
        most: rows in all, ascending; the first of more are kept.
    """
    weights = rng.dirichlet(np.ones(len(mean)), size=DIRECTIONS)
    best = weights @ (mean + std)  # (directions, n)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.unique(order[:, :each])[:most]


class _Share(SobolQMCNormalSampler):
    """One target's share of the dimensions of a common Sobol sequence.

    Sequences of their own, whatever their seeds, are scrambles of the same points:
    taken side by side they correlate by 0.3 to 0.9, and targets that are independent
    are not drawn so.
    """

    def __init__(self, samples: int, seed: int, part: int, parts: int) -> None:
        super().__init__(torch.Size([samples]), seed=seed)
        self.part, self.parts = part, parts

    @override
    def _construct_base_samples(self, posterior: Posterior) -> None:
        shape = self._get_collapsed_shape(posterior=posterior)
        known = self.base_samples
        if known is None or known.shape != shape:
            own = shape[len(self.sample_shape) :].numel()
            drawn = draw_sobol_normal_samples(
                d=own * self.parts, n=self.sample_shape.numel(), seed=self.seed,
                dtype=torch.double,
            )  # fmt: skip
            mine = drawn[:, self.part :: self.parts].reshape(shape)
            self.register_buffer("base_samples", mine)


def samplers(targets: int, samples: int, seed: int) -> ListSampler:
    """Return a quasi-random sampler for a list of independent models."""
    return ListSampler(*(_Share(samples, seed, i, targets) for i in range(targets)))


def constraints(limits: np.ndarray) -> list[Callable[[Tensor], Tensor]]:
    """Return BoTorch's outcome constraints (below 0 is met) of limits (targets, 2)."""

    def at_least(i: int, value: float) -> Callable[[Tensor], Tensor]:
        return lambda Y: value - Y[..., i]

    def at_most(i: int, value: float) -> Callable[[Tensor], Tensor]:
        return lambda Y: Y[..., i] - value

    found = []
    for i, (low, high) in enumerate(limits):
        if np.isfinite(low):
            found.append(at_least(i, float(low)))
        if np.isfinite(high):
            found.append(at_most(i, float(high)))
    return found


def _front(values: Tensor) -> Tensor:
    from botorch.utils.multi_objective.pareto import is_non_dominated

    return values[is_non_dominated(values)]
