"""Ax on a fixed pool: its generator, choosing among the candidates.

Ax searches a space of parameters and has no pools; a column is a range parameter here.
Its modular BoTorch interface lets a user replace what optimises the acquisition, and
names ``select_from_candidate_set`` for candidates of one's own. So everything is Ax's
(``Generators.BOTORCH_MODULAR`` by its defaults: transforms, Gaussian process, qLogNEI),
and only the search through the box is one through the free candidates. That is kinder
to Ax than moving proposals from the box to the nearest candidate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from ax.adapter.base import Adapter
from ax.adapter.registry import Generators
from ax.core.arm import Arm
from ax.core.data import Data
from ax.core.experiment import Experiment
from ax.core.metric import Metric
from ax.core.objective import Objective
from ax.core.optimization_config import OptimizationConfig
from ax.core.parameter import ParameterType, RangeParameter
from ax.core.search_space import SearchSpace
from ax.generators.torch.botorch_modular.acquisition import Acquisition
from torch import Tensor
from typing_extensions import override

MERIT = "merit"


class PoolAcquisition(Acquisition):  # type: ignore[misc]
    """Ax's acquisition, optimised over candidates instead of a box."""

    @override
    def optimize(
        self, n: int, search_space_digest: Any, **_: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best ``n`` of the free candidates."""
        free: Callable[[list[str]], Tensor] = self.options["free"]
        choices = free(search_space_digest.feature_names)
        found: tuple[Tensor, Tensor, Tensor] = self.select_from_candidate_set(
            n=n, candidate_set=choices
        )
        return found


class AxPeer:
    """An Ax experiment over the rows of a table.

    Args:
        x: descriptors, all rows different, shape (labels, d).
    """

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self.free = np.arange(len(x))
        self.names = [f"x{j}" for j in range(x.shape[1])]
        bounds = zip(self.names, x.min(axis=0), x.max(axis=0), strict=True)
        space = SearchSpace(
            [
                RangeParameter(n, ParameterType.FLOAT, float(low), float(high))
                for n, low, high in bounds
            ]
        )
        goal = Objective(metric=Metric(MERIT), minimize=False)
        self.experiment = Experiment(
            space, name="pool", optimization_config=OptimizationConfig(goal)
        )
        self.adapter: Adapter | None = None

    def learn(self, labels: np.ndarray, merit: np.ndarray) -> None:
        """Attach the answers, each a completed trial, and fit."""
        trials = []
        for label in labels:
            values = dict(zip(self.names, self.x[label].tolist(), strict=True))
            trial = self.experiment.new_trial()
            trial.add_arm(Arm(values, name=f"c{label}"))
            trial.mark_running(no_runner_required=True)
            trials.append(trial)
        table = pd.DataFrame(
            {
                "trial_index": [t.index for t in trials],
                "arm_name": [f"c{label}" for label in labels],
                "metric_name": MERIT, "metric_signature": MERIT,
                "mean": merit, "sem": np.nan,
            }
        )  # fmt: skip
        self.experiment.attach_data(Data(df=table))
        for trial in trials:
            trial.mark_completed()
        self.adapter = Generators.BOTORCH_MODULAR(
            experiment=self.experiment,
            acquisition_class=PoolAcquisition,
            acquisition_options={"free": self._choices},
        )

    def choose(self, q: int, free: np.ndarray) -> list[int]:
        """Return the labels that Ax generates among those that are left."""
        assert self.adapter is not None
        self.free = free
        chosen: list[int] = []
        for arm in self.adapter.gen(n=q).arms:
            point = np.array([arm.parameters[n] for n in self.names], dtype=float)
            gaps = np.abs(self.x[free] - point).max(axis=1)
            chosen.append(int(free[gaps.argmin()]))
        return chosen

    def _choices(self, names: list[str]) -> Tensor:
        """Return the free candidates in Ax's order of parameters, (m, d)."""
        columns = [self.names.index(n) for n in names]
        return torch.from_numpy(self.x[self.free][:, columns])
