"""What the final surrogate says of the candidates that nobody evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from campaigns.state import State
from campaigns.utility import utility
from surrogates.base import Prediction

if TYPE_CHECKING:
    import pandas as pd


def rank_remaining(state: State, prediction: Prediction) -> pd.DataFrame:
    """Return the candidates without an answer, the most promising first.

    Args:
        state: what is known.
        prediction: of the surrogate's target for the whole pool.
    """
    import pandas as pd

    rows = state.available
    worth = utility(state, prediction.take(rows), rows)
    expected, sigma = worth.expected(), worth.belief.std
    if worth.wanted is None:
        better = norm.cdf((worth.belief.mean - worth.best) / sigma)
    else:
        better = np.full(len(rows), np.nan)
    order = np.lexsort((rows, -expected))
    pool = state.pool
    frame = pd.DataFrame(
        {
            "candidate": [pool[int(i)].id for i in rows],
            "formula": [pool[int(i)].formula for i in rows],
            f"predicted_{state.objective.target}": prediction.mean[rows].round(6),
            "sigma": prediction.std[rows].round(6),
            "expected_merit": expected.round(6),
            "probability_better": better.round(6),
        }
    )
    if worth.wanted is not None:
        frame = frame.drop(columns="probability_better")
    return frame.iloc[order].reset_index(drop=True)
