"""Selection of a batch from a discrete pool, through BoTorch on pool indices.

Candidates are rows of a prediction, never a tensor of features: the model handed to
BoTorch maps an index to the joint belief about that candidate. References: qLogEI,
S. Ament et al., NeurIPS 2023 (arXiv:2310.20708); qUCB, J. T. Wilson et al.,
arXiv:1712.00424; Thompson sampling over a joint posterior, J. M. Hernández-Lobato
et al., ICML 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.acquisition.logei import (
    qLogExpectedImprovement,
    qLogNoisyExpectedImprovement,
)
from botorch.acquisition.monte_carlo import qUpperConfidenceBound
from botorch.acquisition.objective import GenericMCObjective, MCAcquisitionObjective
from botorch.optim import optimize_acqf_discrete
from botorch.sampling.normal import SobolQMCNormalSampler

from campaigns.acquisition.batch import Aim, choose, scored
from campaigns.acquisition.beliefs import FactorBelief
from campaigns.acquisition.directions import front_batch
from campaigns.acquisition.hull import choose_stable
from campaigns.acquisition.recipes import (
    AnyAcquisition,
    Greedy,
    HullRule,
    LogExpectedImprovement,
    NoisyLogExpectedImprovement,
    RandomChoice,
    ThompsonSampling,
    UpperConfidenceBound,
)
from campaigns.utility import Utility
from surrogates.posterior import PoolModel

PREFILTER = 4000
"""Candidates that a Monte Carlo acquisition looks at; from larger pools those with
the highest mean + 3 sigma go in. A batch of 8 out of 4,000 takes seconds."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One member of a batch."""

    row: int
    """Row of the prediction, not of the pool."""
    value: float | None
    """Acquisition value when it was chosen; None for random choice."""
    reason: str
    """Name of the rule that chose it."""


def select(
    utility: Utility,
    recipe: AnyAcquisition,
    rng: np.random.Generator,
    *,
    batch_size: int,
) -> list[Choice]:
    """Choose ``batch_size`` different rows, best first.

    Args:
        utility: beliefs about the available candidates.
        recipe: which acquisition function.
        rng: source of all randomness.
        batch_size: how many; fewer when the pool is smaller.
    """
    return select_and_next(utility, recipe, rng, batch_size=batch_size)[0]


def select_and_next(
    utility: Utility,
    recipe: AnyAcquisition,
    rng: np.random.Generator,
    *,
    batch_size: int,
) -> tuple[list[Choice], Choice | None]:
    """Choose as :func:`select` does, and say what would have come next.

    Batches are nested: the first q of q + 1 are the batch of q.
    """
    n = min(batch_size, len(utility.belief))
    informed = n - round(n * recipe.random_share)
    chosen: list[Choice] = []
    if informed and not isinstance(recipe, RandomChoice):
        chosen = _informed(utility, recipe, rng, min(informed + 1, len(utility.belief)))
    following = chosen[informed] if len(chosen) > informed else None
    chosen = chosen[:informed]
    taken = {c.row for c in chosen}
    rest = np.array([i for i in range(len(utility.belief)) if i not in taken])
    extra = random_rows(rng, rest, n - len(chosen))
    chosen += [Choice(int(i), None, "random") for i in extra]
    if following is not None and following.row in {c.row for c in chosen}:
        following = None
    return chosen, following


def _informed(
    utility: Utility, recipe: AnyAcquisition, rng: np.random.Generator, q: int
) -> list[Choice]:
    if utility.front is not None:
        batch = front_batch(utility.front, recipe, rng, q)
        return [Choice(p.row, p.value, recipe.kind) for p in batch]
    if isinstance(recipe, Greedy):
        value = utility.expected()
        order = np.lexsort((np.arange(len(value)), -value))[:q]
        return [Choice(int(i), float(value[i]), recipe.kind) for i in order]
    if isinstance(recipe, HullRule):
        assert utility.known is not None and utility.x is not None
        weight = None if utility.offset is None else np.exp(utility.offset)
        found = choose_stable(
            utility.belief, utility.x, utility.known, recipe, rng, q, weight=weight
        )
        return [Choice(p.row, p.value, recipe.kind) for p in found]
    if isinstance(recipe, ThompsonSampling):
        return thompson(utility, rng, q)
    if _exactly(utility, recipe):
        aim = Aim(utility.best, utility.wanted, utility.sign, utility.answered)
        belief = FactorBelief(utility.belief)
        batch = choose(
            belief,
            recipe,
            aim,
            rng,
            q,
            offset=utility.offset,
            groups=utility.formulas,
            per_group=getattr(recipe, "per_formula", None),
        )
        return [Choice(p.row, p.value, recipe.kind) for p in batch]
    seed = int(rng.integers(2**31))
    rows = _prefiltered(utility)
    sampler = SobolQMCNormalSampler(torch.Size([_samples(recipe)]), seed=seed)
    objective = _objective(utility)
    function: AcquisitionFunction
    if isinstance(recipe, NoisyLogExpectedImprovement):
        assert utility.beside is not None
        answered = np.arange(len(utility.belief), len(utility.beside))
        model = PoolModel(utility.beside.take([*rows, *answered]))
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # pruning draws without a seed of its own
            function = qLogNoisyExpectedImprovement(
                model, model.choices()[len(rows) :], sampler=sampler,
                prune_baseline=True, cache_root=False,
            )  # fmt: skip
    elif isinstance(recipe, LogExpectedImprovement):
        model = PoolModel(utility.belief.take(rows))
        function = qLogExpectedImprovement(
            model, best_f=utility.best, sampler=sampler, objective=objective
        )
    else:
        assert isinstance(recipe, UpperConfidenceBound)
        model = PoolModel(utility.belief.take(rows))
        function = qUpperConfidenceBound(
            model, beta=recipe.beta, sampler=sampler, objective=objective
        )
    with torch.no_grad():
        picks, values = optimize_acqf_discrete(
            function,
            q=q,
            choices=model.choices()[: len(rows)],
            max_batch_size=1024,
        )
    return [
        Choice(int(rows[int(p)]), float(v), recipe.kind)
        for p, v in zip(picks[:, 0], values.reshape(-1), strict=True)
    ]


def _samples(recipe: AnyAcquisition) -> int:
    return int(getattr(recipe, "samples", 256))


def _exactly(utility: Utility, recipe: AnyAcquisition) -> bool:
    """Say whether the exact pool scorer is to choose."""
    if isinstance(recipe, NoisyLogExpectedImprovement):
        return False
    how = getattr(recipe, "scorer", "exact")
    shaped = utility.offset is not None or utility.formulas is not None
    if how == "auto" and not shaped:
        closed = scored(recipe, Aim(utility.best, utility.wanted)) is not None
        return closed and len(utility.belief) > PREFILTER
    return bool(how != "monte_carlo")


def thompson(utility: Utility, rng: np.random.Generator, q: int) -> list[Choice]:
    """Draw the belief jointly q times; each draw's best new row joins the batch."""
    belief, chosen = utility.belief, []
    taken: set[int] = set()
    for _ in range(q):
        drawn = belief.mean + belief.deviations(rng)
        draw = utility.worth(torch.from_numpy(drawn)).numpy()
        order = np.lexsort((np.arange(len(draw)), -draw))
        row = next(int(i) for i in order if int(i) not in taken)
        taken.add(row)
        chosen.append(Choice(row, float(draw[row]), "thompson"))
    return chosen


def _prefiltered(utility: Utility) -> np.ndarray:
    n = len(utility.belief)
    if n <= PREFILTER:
        return np.arange(n)
    hope = utility.expected() + 3 * utility.belief.std
    return np.sort(np.argpartition(-hope, PREFILTER)[:PREFILTER])


def _objective(utility: Utility) -> MCAcquisitionObjective | None:
    if utility.wanted is None:
        return None

    def merit(samples: torch.Tensor, X: torch.Tensor | None = None) -> torch.Tensor:
        return utility.worth(samples[..., 0])

    return GenericMCObjective(merit)


def random_rows(
    rng: np.random.Generator, rows: Sequence[int] | np.ndarray, n: int
) -> list[int]:
    """Choose ``n`` of ``rows`` at random without replacement."""
    picked = rng.choice(np.asarray(rows), size=min(n, len(rows)), replace=False)
    return [int(i) for i in picked]
