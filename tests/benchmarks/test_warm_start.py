"""Is starting from a pretrained base as good as learning everything from nothing?

The shipped intermetallics, chemical systems whole: a base learns most of them; new
records of other systems arrive. Warm: the base is fine-tuned on the new records and a
few old ones. Cold: fresh networks learn old and new records together. Writes
``bench-results/warm-start.csv``.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from matdisco.data.splits import SplitRecipe, split
from surrogates.metrics import evaluate
from surrogates.networks.recipes import CoGNRecipe, NetworkEnsembleRecipe

RESULTS = Path(__file__).parents[2] / "bench-results"
TARGET = "formation_energy_per_atom"
SHOWN = ("mae", "nll", "coverage_90", "cpu_s")
SEEDS = (0, 1)


@pytest.mark.benchmark
def test_a_warm_start_is_no_worse(tmp_path: Path) -> None:
    everything = Dataset.open(resolve("shipped:intermetallics"))
    draw = np.random.default_rng(0).permutation(len(everything))[:480]
    data = everything.take(np.sort(draw))
    rows = []
    for seed in SEEDS:
        parts = split(data, SplitRecipe(
            kind="chemical_system", parts={"old": 0.6, "new": 0.2, "test": 0.2},
            guard=None, seed=seed,
        ))  # fmt: skip
        old, new, test = (data.take(parts[p]) for p in ("old", "new", "test"))
        place = tmp_path / f"old-{seed}.parquet"
        old.save(place)
        common = {
            "network": CoGNRecipe(width=24), "members": 4, "epochs": 30,
            "average": 0.95, "threads": 1, "neighbours": 8,
        }  # fmt: skip
        warm = NetworkEnsembleRecipe(**common, pretrain=str(place), finetune_epochs=20)  # type: ignore[arg-type]
        cold = NetworkEnsembleRecipe(**common)  # type: ignore[arg-type]
        both = Dataset("both", (*old.crystals, *new.crystals))
        home = tmp_path / f"base-{seed}"
        for name, recipe, learn in (
            ("base alone", warm, new[:0]),
            ("warm: base, then the new", warm, new),
            ("cold: old and new", cold, both),
            ("cold: the new alone", cold, new),
        ):
            surrogate = recipe.build(seed, home if recipe is warm else None)
            start = time.process_time()
            surrogate.fit(learn, TARGET)
            seconds = time.process_time() - start
            scores = evaluate(test.values(TARGET), surrogate.predict(test.crystals))
            shown = {k: {**scores, "cpu_s": seconds}[k] for k in SHOWN}
            rows.append({"seed": seed, "start": name, "learnt": len(learn), **shown})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    RESULTS.mkdir(exist_ok=True)
    table.round(4).to_csv(RESULTS / "warm-start.csv", index=False)
    mean = table.groupby("start")["mae"].mean()
    print(mean.round(4).to_string())
    assert mean["warm: base, then the new"] <= 1.1 * mean["cold: old and new"]
