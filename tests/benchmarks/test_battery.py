"""What the whole battery costs: pytest -m benchmark tests/benchmarks/test_battery.py

The standard suite on 1,000 relaxed crystals, by kind of surrogate; seconds by part. The
aim is 300 seconds of wall time on two cores. The shipped Al-Ni-Ti set has 984 labelled
crystals; 16 of the shipped intermetallics, of other elements, complete the thousand.
The surrogates learn the rest of these, without those of Al, Ni and Ti alone, which the
two sets share.
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


def parts() -> tuple[Dataset, Dataset]:
    """Return 1,000 test records and the training set, which holds none of them."""
    test = labelled("shipped:al-ni-ti")
    more = labelled("shipped:intermetallics")
    own = set(test.elements)
    others = [i for i, c in enumerate(more) if not own >= set(c.elements)]
    order = np.random.default_rng(0).permutation(others)
    out = np.sort(order[: RECORDS - len(test)])
    kept = np.setdiff1d(others, out)
    return (
        Dataset("a-thousand", (*test.crystals, *more.take(out).crystals)),
        more.take(kept),
    )


def labelled(name: str) -> Dataset:
    data = Dataset.open(resolve(name))
    return data.take(np.flatnonzero(np.isfinite(data.values(TARGET))))


@pytest.mark.benchmark
def test_a_thousand_structures(tmp_path: Path) -> None:
    test, train = parts()
    assert len(test) == RECORDS
    assert not set(test.ids) & set(train.ids)
    rows = []
    for name, recipe in SMALL.items():
        fitted = recipe.build(0)
        fitted.fit(train, TARGET)
        fitted.save(tmp_path / name)
        card, _ = assess(
            open_checkpoint(tmp_path / name), test, SuiteRecipe.standard(),
            target=TARGET, training=train, tell=print,
        )  # fmt: skip
        assert card.body["data"]["records"] == RECORDS
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
