"""Several targets at once: noisy expected hypervolume improvement on a pool.

BoTorch's qLogNEHVI (S. Daulton et al., NeurIPS 2021, arXiv:2105.08195; logarithms: S.
Ament et al., NeurIPS 2023) on pool indices, one independent belief per target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from botorch.acquisition.multi_objective.logei import (
    qLogNoisyExpectedHypervolumeImprovement,
)
from botorch.models.model import ModelList
from botorch.optim import optimize_acqf_discrete
from botorch.sampling.list_sampler import ListSampler
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from torch import Tensor

from campaigns.acquisition.pool import Pick
from surrogates.base import Prediction
from surrogates.posterior import PoolModel


def hypervolume_batch(
    beliefs: Sequence[Prediction],
    labelled: np.ndarray,
    merit: np.ndarray,
    q: int,
    seed: int,
    *,
    samples: int = 128,
    limits: Sequence[float | None] = (),
) -> list[Pick]:
    """Return a batch that is expected to add most hypervolume, greedily.

    Args:
        beliefs: one per target about the same rows, higher is better, in a common
            scale of about 1.
        labelled: rows that have answers; the others are candidates.
        merit: answers of the labelled rows, shape (len(labelled), targets); the
            reference point is inferred from their front, a tenth of its range below.
        q: size.
        seed: of the quasi-random draws.
        samples: how many.
        limits: per target the least merit with which a candidate is of any use, None
            for no limit: outcome constraints.
    """
    model = ModelList(*(PoolModel(b) for b in beliefs))
    sampler = ListSampler(
        *(
            SobolQMCNormalSampler(torch.Size([samples]), seed=seed + i)
            for i in range(len(beliefs))
        )
    )
    bounds = [(i, v) for i, v in enumerate(limits) if v is not None]
    answers = torch.from_numpy(np.asarray(merit, dtype=float))
    useful = torch.ones(len(answers), dtype=torch.bool)
    for i, least in bounds:
        useful &= answers[:, i] >= least
    front = answers[useful] if bool(useful.any()) else answers
    reference = infer_reference_point(_front(front))

    def below(i: int, least: float) -> Callable[[Tensor], Tensor]:
        return lambda Y: least - Y[..., i]

    rows = np.setdiff1d(np.arange(len(beliefs[0])), labelled)
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # pruning draws without a seed of its own
        function = qLogNoisyExpectedHypervolumeImprovement(
            model,
            ref_point=reference,
            X_baseline=torch.from_numpy(labelled.astype(float))[:, None],
            sampler=sampler,
            constraints=[below(i, v) for i, v in bounds] or None,
            prune_baseline=True,
            cache_root=False,
        )
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


def _front(values: Tensor) -> Tensor:
    from botorch.utils.multi_objective.pareto import is_non_dominated

    return values[is_non_dominated(values)]
