"""BayBE on a fixed pool: candidates as labels with a table of descriptors.

What BayBE documents for descriptors of one's own: a ``CustomDiscreteParameter`` whose
labels are the candidates, in a ``Campaign`` with ``BotorchRecommender``, all by its
defaults: columns that correlate are dropped, a Gaussian process with a length for every
column left, qLogEI, ``optimize_acqf_discrete`` over all free candidates.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from baybe import Campaign
from baybe.parameters import CustomDiscreteParameter
from baybe.recommenders import BotorchRecommender
from baybe.targets import NumericalTarget

LABEL, MERIT = "candidate", "merit"


class BayBEPeer:
    """A BayBE campaign over the rows of a table.

    Args:
        x: descriptors, all rows different, shape (labels, d).
    """

    def __init__(self, x: np.ndarray) -> None:
        self.names = np.array([f"c{i}" for i in range(len(x))], dtype=object)
        columns = [f"x{j}" for j in range(x.shape[1])]
        data = pd.DataFrame(x, index=list(self.names), columns=columns)
        self.campaign = Campaign(
            searchspace=CustomDiscreteParameter(name=LABEL, data=data),
            objective=NumericalTarget(name=MERIT).to_objective(),
            recommender=BotorchRecommender(),
            # which labels are left is said with every batch
            allow_recommending_already_measured=True,
            allow_recommending_already_recommended=True,
        )

    def learn(self, labels: np.ndarray, merit: np.ndarray) -> None:
        """Add measurements; BayBE fits when it is asked."""
        told = pd.DataFrame({LABEL: self.names[labels], MERIT: merit})
        self.campaign.add_measurements(told)

    def choose(self, q: int, free: np.ndarray) -> list[int]:
        """Return the labels that BayBE recommends among those that are left."""
        left = pd.DataFrame({LABEL: self.names[free]})
        self.campaign.toggle_discrete_candidates(left, exclude=False)
        self.campaign.toggle_discrete_candidates(left, exclude=True, complement=True)
        found = self.campaign.recommend(q)
        return [int(str(name)[1:]) for name in found[LABEL]]
