"""What the final surrogate says of the candidates that nobody evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from campaigns.fronts.belief import FrontBelief
from campaigns.state import State
from campaigns.utility import utility
from surrogates.base import Prediction

if TYPE_CHECKING:
    import pandas as pd


def rank_remaining(
    state: State,
    prediction: Prediction,
    every: Mapping[str, Prediction] | None = None,
) -> pd.DataFrame:
    """Return the candidates without an answer, the most promising first.

    Args:
        state: what is known.
        prediction: of the surrogate's target for the whole pool.
        every: property to such a prediction, where the objective is a front.
    """
    import pandas as pd

    rows = state.available
    worth = utility(state, prediction.take(rows), rows, every)
    if worth.front is not None:
        return _by_gain(state, rows, worth.front)
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


def _by_gain(state: State, rows: np.ndarray, belief: FrontBelief) -> pd.DataFrame:
    """Return the ranking of a front: by the hypervolume that each would add alone."""
    import pandas as pd

    pool, columns = state.pool, {}
    for k, target in enumerate(belief.front.objective.ordered):
        mean = target.sign * belief.mean[:, k]
        columns[f"predicted_{target.property}"] = mean.round(6)
        columns[f"sigma_{target.property}"] = belief.std[:, k].round(6)
    frame = pd.DataFrame(
        {
            "candidate": [pool[int(i)].id for i in rows],
            "formula": [pool[int(i)].formula for i in rows],
            **columns,
            "probability_inside_limits": belief.chance.round(6),
            "expected_gain": belief.gain,
        }
    )
    order = np.lexsort((rows, -belief.gain))
    return frame.iloc[order].reset_index(drop=True)
