"""Every surrogate kind on public data with official splits: error, calibration, cost.

Reads the shared data; writes CSV tables to ``bench-results/``. Nothing is tuned on a
test part: the settings are the recipes' defaults, the features were chosen on the
perovskites' training folds.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from surrogates.featurizers.table import features
from surrogates.metrics import evaluate
from surrogates.recipes import AnySurrogate

RESULTS = Path(__file__).parents[2] / "bench-results"
BEST = "chgnet_layers+sevennet"
KINDS: Mapping[str, Mapping[str, Any]] = {
    "gp latents": {"kind": "gaussian_process", "features": BEST, "kernel": "additive"},
    "gp chgnet": {"kind": "gaussian_process", "features": "chgnet"},
    "gp composition": {"kind": "gaussian_process"},
    "delta gp": {
        "kind": "gaussian_process", "features": BEST, "kernel": "additive",
        "trend": "chgnet",
    },
    "zero shot": {"kind": "zero_shot"},
    "deep kernel": {"kind": "deep_kernel", "features": BEST},
    "last layer": {"kind": "last_layer", "features": BEST},
    "forest latents": {"kind": "random_forest", "features": BEST},
    "forest composition": {"kind": "random_forest"},
}  # fmt: skip
SHOWN = ("mae", "coverage_90", "miscalibration_area", "ence", "spearman_error_std",
         "nll", "ause")  # fmt: skip


def read(folder: Path, target: str, key: str) -> tuple[Dataset, pd.DataFrame]:
    """Return a shared dataset with ``target`` as its label, and its table."""
    table = pd.read_parquet(folder / "data.parquet")
    crystals = tuple(
        Crystal.from_arrays(
            str(row[key]), np.reshape(row["lattice"], (3, 3)), list(row["species"]),
            np.reshape(row["frac_coords"], (-1, 3)),
            labels={target: Label(float(row[target]), "")},
        )
        for row in table.to_dict("records")
    )  # fmt: skip
    return Dataset(folder.name, crystals), table


def judged(
    settings: Mapping[str, Any], train: Dataset, test: Dataset, target: str
) -> dict[str, float]:
    """Fit, predict and score; CPU seconds do not count what the cache holds."""
    recipe = TypeAdapter(AnySurrogate).validate_python({**settings, "threads": 1})
    start = time.process_time()
    surrogate = recipe.build(0)
    surrogate.fit(train, target)
    found = surrogate.predict(test.crystals)
    seconds = time.process_time() - start
    return {**evaluate(test.values(target), found), "cpu_s": seconds}


def write(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table and print it."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(pd.DataFrame(rows).to_string(index=False))


def shown(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the columns of the tables, rounded."""
    return {k: round(float(scores.get(k, np.nan)), 4) for k in (*SHOWN, "cpu_s")}


@pytest.fixture
def perovskites(shared_data: Path) -> tuple[Dataset, pd.DataFrame]:
    """Return the set with its latents computed, so that no fit is charged for them."""
    data, table = read(shared_data / "perovskites", "e_form", "mbid")
    features(BEST, data.crystals, n_threads=1)
    return data, table


@pytest.mark.benchmark
def test_learning_curve(perovskites: tuple[Dataset, pd.DataFrame]) -> None:
    """Errors on official fold 0 after n labels of the other folds."""
    data, table = perovskites
    fold = table["matbench_fold"].to_numpy()
    rest = np.random.default_rng(0).permutation(np.flatnonzero(fold != 0))
    test = data.take(np.flatnonzero(fold == 0))
    rows = []
    for n in (200, 500, 2000, len(rest)):
        for name, settings in KINDS.items():
            if settings["kind"] == "gaussian_process" and n > 2000:
                continue  # the exact process on all folds is measured on its own
            scores = judged(settings, data.take(rest[:n]), test, "e_form")
            rows.append({"labels": n, "surrogate": name, **shown(scores)})
            write("kinds-perovskites.csv", rows)
    best = {n: min(r["mae"] for r in rows if r["labels"] == n) for n in (500, 2000)}
    assert best[500] <= 0.12 and best[2000] <= 0.08


@pytest.mark.benchmark
@pytest.mark.parametrize("out", ["element", "anions"])
def test_out_of_distribution(
    perovskites: tuple[Dataset, pd.DataFrame], out: str
) -> None:
    """2,000 labels without an element, or an anion set; test on what was left out."""
    data, table = perovskites
    draw = np.random.default_rng(1)
    if out == "anions":
        sets = table["X"].map(lambda x: "".join(sorted(x)))
        groups = {name: (sets == name).to_numpy() for name in sorted(set(sets))}
    else:
        groups = {
            e: ((table["A"] == e) | (table["B"] == e)).to_numpy()
            for e in ("Ti", "Ba", "Al", "Fe", "La", "Pb", "Li", "Zr")
        }
    rows = []
    for name, held in groups.items():
        train = data.take(draw.permutation(np.flatnonzero(~held))[:2000])
        test = data.take(draw.permutation(np.flatnonzero(held))[:500])
        for kind, settings in KINDS.items():
            scores = judged(settings, train, test, "e_form")
            rows.append({"left_out": name, "surrogate": kind, **shown(scores)})
        write(f"kinds-without-{out}.csv", rows)


SMALL: Mapping[str, Mapping[str, Any]] = {
    "gp latents": {**KINDS["gp latents"], "transform": "log"},
    "gp all": {
        "kind": "gaussian_process", "kernel": "additive", "transform": "log",
        "features": f"{BEST}+composition+environments",
    },
    "forest": {
        "kind": "random_forest", "transform": "log",
        "features": f"{BEST}+composition+environments",
    },
    "last layer": {
        "kind": "last_layer", "transform": "log",
        "features": f"{BEST}+composition+environments",
    },
}  # fmt: skip


@pytest.mark.benchmark
def test_phonons(shared_data: Path) -> None:
    """matbench_phonons, official five folds: mean of the fold errors, 1/cm."""
    data, table = read(shared_data / "phonons", "last_phdos_peak", "mbid")
    fold = table["matbench_fold"].to_numpy()
    parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(5)]
    _small("kinds-phonons.csv", data, "last_phdos_peak", parts)


@pytest.mark.benchmark
def test_exfoliation(shared_data: Path) -> None:
    """jarvis_exfoliation, its own split: meV/atom on 81 test records."""
    data, table = read(shared_data / "jarvis_exfoliation", "exfoliation_energy", "jid")
    part = table["jarvis_leaderboard_split"].to_numpy()
    parts = [(np.flatnonzero(part != "test"), np.flatnonzero(part == "test"))]
    _small("kinds-exfoliation.csv", data, "exfoliation_energy", parts)


def _small(
    name: str,
    data: Dataset,
    target: str,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    kinds: Mapping[str, Mapping[str, Any]] = SMALL,
    score: Callable[..., dict[str, float]] = judged,
) -> None:
    rows = []
    for kind, settings in kinds.items():
        found = [
            score(settings, data.take(train), data.take(test), target)
            for train, test in parts
        ]
        mean = {k: float(np.mean([f.get(k, np.nan) for f in found])) for k in found[0]}
        rows.append({"surrogate": kind, **shown(mean)})
        write(name, rows)
