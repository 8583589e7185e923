"""Training and inference speed beside ALIGNN's package and MatGL's MEGNet, one run.

Run by hand in an environment that has the peers (they are no dependencies):
``python tests/benchmarks/peers.py DATA_FOLDER``. Every network learns the same 1,000
perovskites with the absolute error, one thread each, and is judged on the same 1,000
others; CPU seconds leave out the graphs. Peers learn in a plain loop of ours (AdamW,
one cycle) at two peak rates, the one of ALIGNN's configuration and a fifth of it, not
in their packages' own loops, which do more between steps.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from matdisco.crystal import Crystal
from surrogates.graphs import pack
from surrogates.networks.kinds import ALIGNNRecipe, AnyNetwork, CGCNNRecipe, CoGNRecipe
from surrogates.networks.learning import Examples, GraphTask, evaluate
from surrogates.training import Schedule, train

N, BATCH = 1000, 64
RESULTS = Path(__file__).parents[2] / "bench-results"


def data(folder: Path) -> tuple[list[Crystal], np.ndarray]:
    """Return 2 N perovskites and their standardised labels."""
    table = pd.read_parquet(folder / "perovskites" / "data.parquet")
    table = table.sample(2 * N, random_state=1)
    crystals = [
        Crystal.from_arrays(
            row.mbid, np.reshape(row.lattice, (3, 3)), list(row.species),
            np.reshape(row.frac_coords, (-1, 3)),
        )
        for row in table.itertuples()
    ]  # fmt: skip
    y = table["e_form"].to_numpy()
    return crystals, (y - y[:N].mean()) / y[:N].std()


def ours(
    recipe: AnyNetwork, crystals: list[Crystal], y: np.ndarray, epochs: int
) -> Iterator[dict[str, float]]:
    """Train one member; yield the held-out error against CPU seconds."""
    graphs = pack(crystals, neighbours=12, cutoff=8.0, form=recipe.forms[0])
    network = recipe.build(
        members=1, cutoff=8.0, bonds=12.0, generator=torch.Generator().manual_seed(0)
    )
    learn = Examples(graphs.take(np.arange(N)), y[:N, None], np.ones((1, N)))
    test = graphs.take(np.arange(N, 2 * N))
    start = time.process_time()
    # judged while it trains: the time of judging is taken off
    judging, rows = 0.0, []

    def judge(row: Any) -> None:
        nonlocal judging
        begin = time.process_time()
        epoch = int(row["epoch"])
        if epoch % 5 == 0 or epoch == epochs:
            mean, _ = evaluate(network, test, 1)
            error = float(np.abs(mean[0, :, 0] - y[N:]).mean())
            rows.append((epoch, begin - start - judging, error))
        judging += time.process_time() - begin

    task = GraphTask(
        network, learn, epochs=epochs, batch_size=BATCH, seed=0, loss="laplace"
    )
    train(task, Schedule(epochs, 4e-3, average=0.9), stage="fit", progress=judge)
    begin = time.process_time()
    mean, _ = evaluate(network, test, 1)
    inference = N / (time.process_time() - begin)
    final = float(np.abs(mean[0, :, 0] - y[N:]).mean())  # the averaged weights
    rows[-1] = (rows[-1][0], rows[-1][1], final)
    for epoch, seconds, error in rows:
        yield {
            "epoch": epoch, "cpu_s": seconds, "mae": error, "inference": inference,
            "training": N * epoch / seconds, "parameters": _size(network),
        }  # fmt: skip


def theirs(
    network: torch.nn.Module,
    batch: Callable[[np.ndarray], Any],
    y: np.ndarray,
    epochs: int,
    rate: float,
) -> Iterator[dict[str, float]]:
    """Train a peer with AdamW and a one-cycle rate; ``batch`` makes its input."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=epochs * -(-N // BATCH)
    )
    labels = torch.from_numpy(y).float()
    seconds = 0.0
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng(epoch).permutation(N)
        network.train()
        begin = time.process_time()
        for first in range(0, N, BATCH):
            rows = order[first : first + BATCH]
            loss = (network(*batch(rows)).flatten() - labels[rows]).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
        seconds += time.process_time() - begin
        if epoch % 5 and epoch != epochs:
            continue
        network.eval()
        begin = time.process_time()
        with torch.no_grad():
            found = [
                network(*batch(np.arange(at, min(at + 256, 2 * N)))).flatten()
                for at in range(N, 2 * N, 256)
            ]
        inference = N / (time.process_time() - begin)
        error = float((torch.cat(found) - labels[N:]).abs().mean())
        yield {
            "epoch": epoch, "cpu_s": seconds, "mae": error, "inference": inference,
            "training": N * epoch / seconds, "parameters": _size(network),
        }  # fmt: skip


def megnet(crystals: list[Crystal]) -> tuple[torch.nn.Module, Callable[..., Any]]:
    """Return MatGL's MEGNet with its default sizes, and its batches."""
    from matgl.ext.pymatgen import Structure2Graph
    from matgl.models import MEGNet
    from torch_geometric.data import Batch

    torch.manual_seed(0)
    elements = tuple(sorted({e for c in crystals for e in c.elements}))
    converter = Structure2Graph(elements, cutoff=4.0)
    graphs = []
    for crystal in crystals:
        graph, lattice, _ = converter.get_graph(crystal.structure)
        graph.pbc_offshift = graph.pbc_offset @ lattice[0]
        graph.pos = graph.frac_coords @ lattice[0]
        graphs.append(graph)
    network = MEGNet(element_types=elements, cutoff=4.0)

    def batch(rows: np.ndarray) -> tuple[Any, torch.Tensor]:
        return Batch.from_data_list([graphs[i] for i in rows]), torch.zeros(
            len(rows), 2
        )

    return network, batch


def alignn(crystals: list[Crystal]) -> tuple[torch.nn.Module, Callable[..., Any]]:
    """Return ALIGNN's own network for properties, its default sizes, and its batches.

    Graphs as its training configuration builds them by default: 12 neighbours within
    5 angstrom, angles between bonds below 3.5 angstrom.
    """
    from alignn.models.alignn_atomwise_pure import (
        ALIGNNAtomWisePure,
        ALIGNNAtomWisePureConfig,
    )
    from alignn.torch_graph_builder import (
        batch_torch_graph_pairs,
        build_pure_torch_graph,
    )
    from jarvis.core.atoms import Atoms

    torch.manual_seed(0)
    graphs = [
        build_pure_torch_graph(
            Atoms(
                lattice_mat=c.structure.lattice.matrix, elements=c.structure.labels,
                coords=c.structure.frac_coords, cartesian=False,
            ),
            two_body_cutoff=5.0, three_body_cutoff=3.5, max_neighbors=12,
        )
        for c in crystals
    ]  # fmt: skip

    class Property(ALIGNNAtomWisePure):  # type: ignore[misc]
        def forward(self, *batch: Any) -> torch.Tensor:
            value: torch.Tensor = super().forward(batch)["out"]
            return value

    network = Property(
        ALIGNNAtomWisePureConfig(
            name="alignn_atomwise_pure", atom_input_features=92,
            calculate_gradient=False, gradwise_weight=0.0,
        )
    )  # fmt: skip

    def batch(rows: np.ndarray) -> tuple[Any, Any, None]:
        return *batch_torch_graph_pairs([graphs[i] for i in rows]), None

    return network, batch


def _size(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def main() -> None:
    """Train all, print and write the table."""
    torch.set_num_threads(1)
    crystals, y = data(Path(sys.argv[1]))
    wanted: dict[str, Callable[[], Iterator[dict[str, float]]]] = {
        "ALIGNN, rate 0.01": lambda: theirs(*alignn(crystals), y, 10, 1e-2),
        "ALIGNN, rate 0.002": lambda: theirs(*alignn(crystals), y, 10, 2e-3),
        "MatGL MEGNet, rate 0.01": lambda: theirs(*megnet(crystals), y, 10, 1e-2),
        "MatGL MEGNet, rate 0.002": lambda: theirs(*megnet(crystals), y, 10, 2e-3),
        "matdisco cogn": lambda: ours(CoGNRecipe(width=48), crystals, y, 15),
        "matdisco cgcnn": lambda: ours(CGCNNRecipe(width=64), crystals, y, 15),
        "matdisco alignn": lambda: ours(ALIGNNRecipe(width=32), crystals, y, 10),
    }
    rows = []
    for name, run in wanted.items():
        try:
            for row in run():
                rows.append({"network": name, **row})
                print(rows[-1], flush=True)
        except ImportError as error:
            print(f"{name}: not here ({error})")
    RESULTS.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(RESULTS / "peers.csv", index=False)


if __name__ == "__main__":
    main()
