"""Cards of the standard suite: two potentials, two surrogates, one published table.

    python tests/benchmarks/cards.py DATA --to runs/cards [--only NAME ...]

DATA holds ``mp20_biternary``, ``phonons`` and ``matbench`` (see their catalog entries).
The potentials are judged on energies of 400 Materials Project crystals; the surrogates
learn the official fold 0 of matbench_phonons and are judged, beside published
predictions, on its test part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from matdisco.data.catalog import load
from matdisco.data.dataset import Dataset
from surrogates.assessment.battery import assess
from surrogates.assessment.doors import open_checkpoint, open_subject
from surrogates.assessment.predictions import read_predictions
from surrogates.assessment.suite import SuiteRecipe
from surrogates.recipes import AnySurrogate

PEAK = "last_phdos_peak"
RECORDS = 400  # of 14,258: a mean of errors with a standard error of some 5 %
LATENTS = "chgnet_layers+sevennet+composition+environments"


@cache
def crystals(home: Path) -> Dataset:
    data = load("mp20_biternary", home / "mp20_biternary")
    rows = np.random.default_rng(0).permutation(len(data))[:RECORDS]
    return data.take(np.sort(rows))


@cache
def phonons(home: Path) -> tuple[Dataset, Dataset]:
    """Return training and test part of official fold 0."""
    data = load("matbench_phonons", home / "phonons")
    table = pd.read_parquet(home / "phonons" / "data.parquet").set_index("mbid")
    test = table.loc[list(data.ids), "matbench_fold"].to_numpy() == 0
    return data.take(np.flatnonzero(~test)), data.take(np.flatnonzero(test))


def potential(name: str, home: Path, to: Path) -> None:
    card, text = assess(
        open_subject(name), crystals(home), SuiteRecipe.standard(),
        target="formation_energy_per_atom", tell=print,
    )  # fmt: skip
    card.save(to, text)
    print(card)


def surrogate(settings: dict[str, object], home: Path, to: Path) -> None:
    train, test = phonons(home)
    recipe = TypeAdapter(AnySurrogate).validate_python(
        {**settings, "transform": "log", "threads": 1}
    )
    fitted = recipe.build(0)
    fitted.fit(train, PEAK)
    place = to.parent / "checkpoints" / to.name
    fitted.save(place)
    card, text = assess(
        open_checkpoint(place), test, SuiteRecipe.standard(), target=PEAK,
        training=train, tell=print,
    )  # fmt: skip
    card.save(to, text)
    print(card)


def published(model: str, home: Path, to: Path) -> None:
    """Judge somebody's predictions, written first as the CSV that anybody may send."""
    _, test = phonons(home)
    path = home / "matbench" / "published_predictions" / "phonons.parquet"
    table = pd.read_parquet(path).set_index("mbid").loc[list(test.ids)]
    csv = to.parent / f"{to.name}.csv"
    table[["target", "fold", model]].rename(columns={model: "prediction"}).to_csv(csv)
    read = read_predictions(csv)
    card, text = assess(
        read.subject(), test, SuiteRecipe.standard(), table=read, target=PEAK,
        tell=print,
    )  # fmt: skip
    card.save(to, text)
    print(card)


MAKERS: dict[str, Callable[[Path, Path], None]] = {
    "alignn": partial(published, "alignn"),
    "forest": partial(surrogate, {"kind": "random_forest"}),
    "process": partial(surrogate, {"kind": "gaussian_process"}),
    "latents": partial(
        surrogate,
        {"kind": "gaussian_process", "features": LATENTS, "kernel": "additive"},
    ),
    "chgnet": partial(potential, "chgnet"),
    "sevennet": partial(potential, "sevennet"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--to", type=Path, default=Path("runs/cards"))
    parser.add_argument("--only", nargs="*", choices=list(MAKERS), default=list(MAKERS))
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        MAKERS[name](options.data, options.to / name)


if __name__ == "__main__":
    main()
