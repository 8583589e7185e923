"""Neighbour lists and graphs per second of one core, beside pymatgen, in one run.

Reads the perovskites of the shared data (five atoms a cell) and the elastic set (up to
some 150 atoms); writes ``bench-results/graphs-SET.csv``. Everything starts from
pymatgen Structure objects, as a data set does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from matdisco.crystal import Crystal
from surrogates.graphs import pack
from surrogates.neighbors import nearest, within
from surrogates.networks.kinds import (
    ALIGNNRecipe,
    AnyNetwork,
    CGCNNRecipe,
    CoGNRecipe,
    GraphForm,
    PaiNNRecipe,
)
from surrogates.networks.learning import Examples, GraphTask, evaluate
from surrogates.training import Schedule, train

RESULTS = Path(__file__).parents[2] / "bench-results"
ROUNDS = 5


def crystals(folder: Path, n: int) -> list[Crystal]:
    """Return n crystals of a shared set, drawn once."""
    table = pd.read_parquet(
        folder / "data.parquet", columns=["lattice", "species", "frac_coords"]
    ).sample(n, random_state=0)
    return [
        Crystal.from_arrays(
            str(i), np.reshape(row.lattice, (3, 3)), list(row.species),
            np.reshape(row.frac_coords, (-1, 3)),
        )
        for i, row in enumerate(table.itertuples())
    ]  # fmt: skip


@pytest.mark.benchmark
@pytest.mark.parametrize("name", ["perovskites", "elastic_tensor_2015"])
def test_graphs_per_second(shared_data: Path, name: str) -> None:
    """CPU seconds of each way, interleaved; the best of each counts."""
    made = crystals(shared_data / name, 1000)
    structures = [c.structure for c in made]
    forms: tuple[GraphForm, ...] = ("merged", "asymmetric_unit", "full")
    ways: dict[str, Callable[[], object]] = {
        "pymatgen get_neighbor_list, 6 Å": lambda: [
            s.get_neighbor_list(6.0) for s in structures
        ],
        "matdisco within, 6 Å": lambda: within(structures, 6.0, compiled=True),
        "pymatgen 8 Å, sorted, k = 24": lambda: [_nearest(s) for s in structures],
        "matdisco nearest, k = 24": lambda: nearest(structures, 24, compiled=True),
        **{
            f"matdisco graphs, {form}, k = 12": lambda form=form: pack(  # type: ignore[misc]
                made, neighbours=12, cutoff=8.0, form=form
            )
            for form in forms
        },
    }
    for way in ways.values():
        way()  # compiled, and every lazy attribute made
    seconds = dict.fromkeys(ways, np.inf)
    for _ in range(ROUNDS):
        for label, way in ways.items():
            start = time.process_time()
            way()
            seconds[label] = min(seconds[label], time.process_time() - start)
    edges = {form: len(pack(made, neighbours=12, cutoff=8.0, form=form).distance)
             for form in forms}  # fmt: skip
    rows = [
        {
            "set": name, "way": label,
            "structures_per_s": round(len(made) / s),
            "edges": next((n for f, n in edges.items() if f in label), ""),
        }
        for label, s in seconds.items()
    ]  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"graphs-{name}.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    print(pd.DataFrame(rows).to_string(index=False))
    pymatgen, ours = (seconds[label] for label in list(ways)[:2])
    assert ours < pymatgen, f"slower than pymatgen: {pymatgen / ours:.2f}x"


def _nearest(structure: object) -> object:
    """Return the 24 nearest of every atom, ties not kept."""
    i, j, image, far = structure.get_neighbor_list(8.0)  # type: ignore[attr-defined]
    order = np.lexsort((far, i))
    i, j, image, far = i[order], j[order], image[order], far[order]
    rank = np.arange(len(i)) - np.searchsorted(i, i)
    kept = rank < 24
    return i[kept], j[kept], image[kept], far[kept]


@pytest.mark.benchmark
def test_training_on_each_form(shared_data: Path) -> None:
    """Structures per second of one training epoch, and how far predictions differ."""
    made = crystals(shared_data / "elastic_tensor_2015", 128)
    networks: tuple[AnyNetwork, ...] = (
        CoGNRecipe(), CGCNNRecipe(), ALIGNNRecipe(), PaiNNRecipe(),
    )  # fmt: skip
    rows, schedule = [], Schedule(1, 1e-3)
    for recipe in networks:
        answers = []
        for form in recipe.forms:
            network = recipe.build(
                members=1, cutoff=8.0, bonds=12.0,
                generator=torch.Generator().manual_seed(0),
            )  # fmt: skip
            graphs = pack(made, neighbours=12, cutoff=8.0, form=form)
            answers.append(evaluate(network, graphs, 1)[0])
            data = Examples(graphs, np.zeros((128, 1)), np.ones((1, 128)))
            start = time.process_time()
            task = GraphTask(network, data, epochs=1, batch_size=32, seed=0)
            train(task, schedule, stage="fit")
            seconds = time.process_time() - start
            rows.append({
                "network": recipe.kind, "form": form,
                "trained_per_s": round(128 / seconds),
                "differs": f"{np.abs(answers[-1] - answers[0]).max():.1e}",
            })  # fmt: skip
            print(rows[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(RESULTS / "graph-forms.csv", index=False)
