"""What the whole battery costs: pytest -m benchmark tests/benchmarks/test_battery.py

The standard suite on 1,000 relaxed Al-Ni-Ti crystals, by kind of surrogate; CPU seconds
of one core by part. The aim is 300 seconds of wall time on two cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from surrogates.assessment.battery import assess
from surrogates.assessment.doors import open_checkpoint
from surrogates.assessment.suite import SuiteRecipe
from surrogates.recipes import GaussianProcessRecipe, RandomForestRecipe

RESULTS = Path(__file__).parents[2] / "bench-results"
RECORDS = 1000
TARGET = "energy_per_atom"
SMALL = {"forest": RandomForestRecipe(threads=1), "process": GaussianProcessRecipe()}


@pytest.mark.benchmark
def test_a_thousand_structures(tmp_path: Path) -> None:
    test = Dataset.open(resolve("shipped:al-ni-ti"))
    test = test.take(np.flatnonzero(np.isfinite(test.values(TARGET)))[:RECORDS])
    train = Dataset.open(resolve("shipped:intermetallics"))
    train = train.take(np.flatnonzero(np.isfinite(train.values(TARGET))))
    rows = []
    for name, recipe in SMALL.items():
        fitted = recipe.build(0)
        fitted.fit(train, TARGET)
        fitted.save(tmp_path / name)
        card, _ = assess(
            open_checkpoint(tmp_path / name), test, SuiteRecipe.standard(),
            target=TARGET, training=train, tell=print,
        )  # fmt: skip
        cost: Any = card.volatile
        rows.append(
            {
                "surrogate": name,
                "records": card.body["data"]["records"],
                "cpu_seconds": cost["cpu_seconds"],
                "wall_seconds": cost["wall_seconds"],
                **{f"wall_{k}": v for k, v in cost["seconds"].items()},
                "peak_memory_mb": cost["peak_memory_mb"],
            }
        )
        RESULTS.mkdir(exist_ok=True)
        table = pd.DataFrame(rows)
        table.to_csv(RESULTS / "battery.csv", index=False)
    print(table.T.to_string(header=False))
