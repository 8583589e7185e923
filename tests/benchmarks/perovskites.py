"""matbench_perovskites by its official protocol, one fold or all five.

Each fold trains on the other four (15,142 records; what stops and calibrates is taken
from these), predicts the fold, and reports the mean absolute error in the
leaderboard's unit. A killed run goes on where it was when started again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from surrogates.base import HistoryRow
from surrogates.networks.recipes import NetworkEnsembleRecipe

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "benchmarks" / "perovskites.yaml"
PUBLISHED = {
    "coGN": 0.0269, "ALIGNN": 0.0288, "SchNet": 0.0342, "MEGNet": 0.0352,
    "CGCNN": 0.0452, "MODNet": 0.0908,
}  # fmt: skip
"""Leaderboard, mean of five folds, eV."""


def records(data: Path) -> tuple[Dataset, np.ndarray]:
    """Return all crystals with label ``e_form`` and the fold that tests each."""
    frame = pd.read_parquet(data / "perovskites" / "data.parquet")
    crystals = tuple(
        Crystal.from_arrays(
            row.mbid,
            np.reshape(row.lattice, (3, 3)),
            list(row.species),
            np.reshape(row.frac_coords, (-1, 3)),
            labels={"e_form": Label(float(row.e_form), "eV", "RPBE")},
        )
        for row in frame.itertuples()
    )
    return Dataset("matbench_perovskites", crystals), frame.matbench_fold.to_numpy()


class Log:
    """Prints epochs and adds up CPU seconds over all lives of a run."""

    def __init__(self, folder: Path, spread: float) -> None:
        self.file, self.spread = folder / "cpu-seconds.json", spread
        self.before = json.loads(self.file.read_text()) if self.file.exists() else 0.0
        self.start = time.process_time()

    @property
    def seconds(self) -> float:
        """CPU seconds so far, s."""
        return self.before + time.process_time() - self.start

    def __call__(self, row: HistoryRow) -> None:
        """Print a row of the history."""
        text = f"epoch {row['epoch']}/{row['epochs']}  loss {row['loss']:.4f}"
        if "held_out_mae" in row:
            text += f"  held-out MAE {float(row['held_out_mae']) * self.spread:.4f} eV"
        print(f"{text}  {self.seconds:.0f} CPU s", flush=True)
        self.file.write_text(json.dumps(self.seconds))


def run_fold(
    recipe: NetworkEnsembleRecipe, data: Dataset, folds: np.ndarray, k: int, home: Path
) -> dict[str, float]:
    """Train for fold ``k``, predict it, return and keep the scores."""
    folder = home / f"fold-{k}"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "result.json"
    if kept.exists():
        found: dict[str, float] = json.loads(kept.read_text())
        return found
    learn, test = data.take(np.flatnonzero(folds != k)), np.flatnonzero(folds == k)
    surrogate = recipe.build(k, folder)
    log = Log(folder, float(learn.values("e_form").std()))
    report = surrogate.fit(learn, "e_form", progress=log)
    surrogate.save(folder / "surrogate")
    truth = data.take(test)
    predicted = surrogate.predict(truth.crystals)
    error = np.abs(predicted.mean - truth.values("e_form"))
    result = {
        "fold": k,
        "train": report.n_train,
        "test": len(test),
        "mae": float(error.mean()),
        "covered_90": float((error < 1.645 * predicted.std).mean()),
        "cpu_s": log.seconds,
    }
    np.savetxt(folder / "predicted.csv", predicted.mean)
    kept.write_text(json.dumps(result))
    return result


def main() -> None:
    """Run the folds asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--to", type=Path, default=ROOT / "runs" / "perovskites")
    given = parser.parse_args()
    recipe = NetworkEnsembleRecipe.model_validate(
        yaml.safe_load(given.config.read_text())
    )
    data, folds = records(given.data)
    results = [run_fold(recipe, data, folds, k, given.to) for k in given.folds]
    print(pd.DataFrame(results).to_string(index=False))
    print(f"mean MAE {np.mean([r['mae'] for r in results]):.4f} eV; published:")
    print(pd.Series(PUBLISHED).to_string())


if __name__ == "__main__":
    main()
