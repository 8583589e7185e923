"""A batch of 20 from large pools, beside BoTorch's Monte Carlo on the same process.

Features and labels are synthetic: only time and memory are measured here.
"""

import resource
import time

import numpy as np
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
SLICE = 1000
"""Candidates for Monte Carlo: its cost is linear too, and a whole pool takes hours."""


def clocked(action):
    clock = time.process_time()
    return action(), time.process_time() - clock


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # GB


def test_batches_of_twenty(capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 64))
    y = np.sin(x[:, 0]) + 0.3 * x[:, 1]
    gp = ExactGP.fit(x, y)
    process = PoolProcess.of(gp)
    lines = ["candidates  score  CPU s  peak GB"]
    costs = {}
    for n in (100_000, 1_000_000):
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
    ratio = theirs / SLICE / (costs[100_000, "LogImprovement"] / 100_000)
    lines.append(
        f"{SLICE:>10,}  qLogEI, optimize_acqf_discrete {theirs:6.2f} {peak():6.2f}"
    )
    lines.append(f"per candidate BoTorch's Monte Carlo takes {ratio:.0f} times as long")
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert ratio > 1
