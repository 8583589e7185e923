"""Real rounds of a campaign of several targets, answered at once by plain EMT."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from campaign_files import small_front
from evaluators import emt_several
from played_campaign import Playing
from typing_extensions import override

from campaigns import CampaignConfig
from matdisco.crystal import Label
from matdisco.data.dataset import Dataset
from matdisco.evaluators.base import Evaluation
from matdisco.properties import get

KEYS = ("energy_per_atom", "density", "gold")


@lru_cache(maxsize=1)
def whole_pool() -> tuple[Dataset, np.ndarray]:
    """Return the pool and all of its answers, shape (n, 3)."""
    pool = CampaignConfig.model_validate(small_front()).candidates.build()
    rows = [emt_several(crystal) for crystal in pool]
    return pool, np.array([[row[k] for k in KEYS] for row in rows])


class PlayingFront(Playing):
    """Proposes as the driver does and answers from :func:`whole_pool`."""

    def __init__(self, folder: Path, *targets: dict, **changes: Any) -> None:
        super().__init__(folder, **small_front(*targets, **changes))
        pool, values = whole_pool()
        self.values = dict(zip(pool.ids, values, strict=True))

    @override
    def _answer(self, proposal: dict[str, Any], *, failed: bool) -> Evaluation:
        values = self.values[proposal["candidate"]]
        labels = {
            key: Label(float(v), get(key).unit, "emt")
            for key, v in zip(KEYS, values, strict=True)
        }
        return Evaluation(proposal["key"], proposal["candidate"], labels)
