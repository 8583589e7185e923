"""A batch of 20 from large pools, beside BoTorch's Monte Carlo on the same process.

And beside BayBE on the same labels and candidates, where it is installed: it learns a
process of its own, which is counted apart. Features and labels are synthetic: only time
and memory are measured here.
"""

import importlib.util
import os
import resource
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf_discrete
from botorch.sampling.normal import SobolQMCNormalSampler

from campaigns.acquisition.beliefs import ProcessBelief
from campaigns.acquisition.pool import greedy_batch
from campaigns.acquisition.process import PoolProcess
from campaigns.acquisition.scores import ConfidenceBound, LogImprovement
from surrogates.gp.exact import ExactGP

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore:Data")]
POOLS = os.environ.get("SCORER_POOLS", "100000,1000000").split(",")
"""Sizes; the first is the one that ratios are of."""
SLICE = 300
"""Candidates for Monte Carlo: its cost is linear too, and a whole pool takes hours."""
WHY = 'BayBE is not installed: pip install "matdisco[peers]"'


def clocked(action):
    clock = time.process_time()
    return action(), time.process_time() - clock


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # GB


def baybe(x, y):
    """Return CPU seconds of BayBE's fit and choice; the first rows are labelled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from baybe.parameters import CustomDiscreteParameter
        from baybe.recommenders import BotorchRecommender
        from baybe.searchspace import SearchSpace
        from baybe.settings import Settings
        from baybe.targets import NumericalTarget

        names = [f"c{i}" for i in range(len(x))]
        columns = [f"x{j}" for j in range(x.shape[1])]
        table = pd.DataFrame(x, index=names, columns=columns)
        space = SearchSpace.from_product([CustomDiscreteParameter("candidate", table)])
        told = pd.DataFrame({"candidate": names[: len(y)], "y": y})
        rule, goal = BotorchRecommender(), NumericalTarget("y").to_objective()
        with Settings(random_seed=0):
            _, fitting = clocked(lambda: rule.get_surrogate(space, goal, told))
            # the same data: it does not fit again
            batch, choosing = clocked(lambda: rule.recommend(20, space, goal, told))
    assert len(set(batch["candidate"])) == 20
    return fitting, choosing


def test_batches_of_twenty(capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 64))
    y = np.sin(x[:, 0]) + 0.3 * x[:, 1]
    gp = ExactGP.fit(x, y)
    process = PoolProcess.of(gp)
    lines = ["candidates  score  CPU s  peak GB"]
    costs = {}
    for n in map(int, POOLS):
        pool = rng.standard_normal(size=(n, 64), dtype=np.float32)
        belief, reading = clocked(lambda pool=pool: ProcessBelief.of(process, pool))
        for score in (ConfidenceBound(4.0), LogImprovement(float(y.max()))):
            picks, choosing = clocked(
                lambda belief=belief, score=score: greedy_batch(belief, score, 20)
            )
            assert len({p.row for p in picks}) == 20
            costs[n, type(score).__name__] = reading + choosing
            lines.append(
                f"{n:>10,}  {type(score).__name__:16s} {reading + choosing:6.2f} "
                f"{peak():6.2f}"
            )
    model = SingleTaskGP(
        torch.from_numpy(gp.x), torch.from_numpy(y - y.mean())[:, None],
        outcome_transform=None,
    )  # fmt: skip
    sampler = SobolQMCNormalSampler(torch.Size([128]), seed=0)
    function = qLogExpectedImprovement(
        model, best_f=float(y.max() - y.mean()), sampler=sampler
    )
    choices = torch.from_numpy(gp.standard(pool[:SLICE].astype(float)))
    with torch.no_grad():
        _, theirs = clocked(
            lambda: optimize_acqf_discrete(
                function, q=20, choices=choices, max_batch_size=256
            )
        )
    own = costs[int(POOLS[0]), "LogImprovement"] / int(POOLS[0])
    ratio = theirs / SLICE / own
    lines.append(
        f"{SLICE:>10,}  qLogEI, optimize_acqf_discrete {theirs:6.2f} {peak():6.2f}"
    )
    lines.append(f"per candidate BoTorch's Monte Carlo takes {ratio:.0f} times as long")
    if importlib.util.find_spec("baybe") is None:
        lines.append(WHY)
    else:
        rows = np.concatenate([x, pool[:SLICE].astype(float)])
        fitting, choosing = baybe(rows, y)
        lines.append(
            f"{len(rows):>10,}  BayBE, BotorchRecommender {choosing:6.2f} {peak():6.2f}"
            f", and {fitting:.1f} s for its fit"
        )
        times = choosing / len(rows) / own
        lines.append(f"per candidate BayBE takes {times:.0f} times as long")
        assert times > 1
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert ratio > 1
