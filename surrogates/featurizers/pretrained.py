"""Latents of frozen universal potentials, averaged over the atoms of a crystal.

An exact Gaussian process on them is hard to beat with a few hundred labels (compare
Kim et al., arXiv:2506.18497). Where the potential is also the simulator they leak the
answer: use them only as an upper bound there. Rows are kept on disk
(:mod:`surrogates.featurizers.latent_cache`).
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import MissingExtra, SurrogateError
from surrogates.featurizers.latent_cache import cached_rows
from surrogates.featurizers.plausible import require_apart, require_plausible
from surrogates.graphs import atomic_numbers

CHGNET_WIDTH = 65
"""CHGNet's crystal feature per atom (64) and its energy (eV/atom)."""
CHGNET_ELEMENTS = 94
"""CHGNet knows hydrogen to plutonium."""
CHGNET_LAYERS_WIDTH = 321
"""CHGNet's atom features after each of four convolutions and after the last norm (64
each) and its energy (eV/atom)."""
SEVENNET_LAYERS = (0, 1, 2)
"""Interaction blocks whose scalars are kept. The last two of five serve the energy
alone: with 400 perovskite labels a Gaussian process errs, in three folds of these, by
0.212 eV on the last block, 0.139 on the second, 0.134 on the first three, 0.146 on all
five (``tests/benchmarks/test_kinds.py::test_layers``)."""
SEVENNET_WIDTH = 385
"""SevenNet-0's scalar node features of three blocks (128 each), energy (eV/atom)."""
_BATCH = 64


def chgnet_features(crystals: Sequence[Crystal], *, n_threads: int = 2) -> np.ndarray:
    """Return CHGNet's latents, shape (n, CHGNET_WIDTH).

    Deng et al., Nature Machine Intelligence 5, 1031 (2023); weights in its wheel.

    Raises:
        MissingExtra: chgnet is not installed.
        SurrogateError: a flat cell, overlapping atoms, or a crystal of which CHGNet
            makes no graph.
    """
    # CHGNet's crystal feature is the mean over atoms of what its last norm gives
    everything = chgnet_layer_features(crystals, n_threads=n_threads)
    return everything[:, -CHGNET_WIDTH:]


def chgnet_layer_features(
    crystals: Sequence[Crystal], *, n_threads: int = 2
) -> np.ndarray:
    """Return CHGNet's latents of all layers, shape (n, CHGNET_LAYERS_WIDTH).

    Early layers hold the chemistry before it is bent towards the energy; with them a
    Gaussian process needs fewer labels. Raises as :func:`chgnet_features`.
    """
    recipe = {"package": _version("chgnet", "chgnet"), "pooling": "mean of layers"}
    require_apart("CHGNet", crystals)  # first: the cache may hold what once passed
    rows = cached_rows(
        "chgnet", recipe, crystals, lambda c: _chgnet(c, n_threads),
        width=CHGNET_LAYERS_WIDTH,
    )  # fmt: skip
    require_plausible("CHGNet", crystals, rows[:, -1])
    return rows


def sevennet_features(crystals: Sequence[Crystal], *, n_threads: int = 2) -> np.ndarray:
    """Return SevenNet-0's latents, shape (n, SEVENNET_WIDTH).

    Park et al., J. Chem. Theory Comput. 20, 4857 (2024); weights in its wheel.

    Raises:
        MissingExtra: sevenn is not installed.
        SurrogateError: a flat cell, overlapping atoms, or an element that SevenNet-0
            does not know.
    """
    recipe = {"package": _version("sevenn", "sevennet"), "weights": "7net-0"}
    recipe["layers"] = ",".join(map(str, SEVENNET_LAYERS))
    require_apart("SevenNet-0", crystals)
    rows = cached_rows(
        "sevennet", recipe, crystals, lambda c: _sevennet(c, n_threads),
        width=SEVENNET_WIDTH,
    )  # fmt: skip
    require_plausible("SevenNet-0", crystals, rows[:, -1])
    return rows


def _version(package: str, extra: str) -> str:
    try:
        return version(package)
    except ImportError as error:
        raise MissingExtra(package, extra) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the packages print and warn about their own internals."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def _chgnet_model() -> Any:
    with _quiet():
        from chgnet.model.model import CHGNet

        return CHGNet.load(use_device="cpu", verbose=False)


def _chgnet(crystals: list[Crystal], n_threads: int) -> np.ndarray:
    model = _chgnet_model()
    modules = [*model.atom_conv_layers, model.readout_norm]
    with _layers(modules, lambda result: result) as layers, _threads(n_threads):
        energies = [
            _chgnet_batch(model, crystals[k : k + _BATCH])
            for k in range(0, len(crystals), _BATCH)
        ]
    return _pooled(layers, crystals, np.concatenate(energies))


def _chgnet_batch(model: Any, crystals: list[Crystal]) -> np.ndarray:
    """Run one batch; return energies in eV/atom, shape (n,)."""
    graphs = []
    for crystal in crystals:
        heaviest = int(atomic_numbers(crystal).max())
        if heaviest > CHGNET_ELEMENTS:
            raise SurrogateError(
                f"crystal {crystal.id}: CHGNet does not know the element with atomic "
                f"number {heaviest}; use composition features"
            )
        try:
            graphs.append(model.graph_converter(crystal.structure))
        except (ValueError, RuntimeError) as error:
            raise SurrogateError(
                f"crystal {crystal.id}: CHGNet makes no graph of it ({error}); is its "
                "cell right? composition features need no neighbours"
            ) from error
    found: np.ndarray = model(graphs, task="e")["e"].numpy().reshape(-1)
    return found


@contextlib.contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    import torch

    from surrogates.compute import threads

    with threads(n_threads), _quiet(), torch.no_grad():
        yield


@contextlib.contextmanager
def _layers(
    modules: Sequence[Any], choose: Callable[[Any], Any]
) -> Iterator[list[list[Any]]]:
    """Collect what ``choose`` takes of every module's results: one list per module."""
    kept: list[list[Any]] = [[] for _ in modules]

    def keep(at: int) -> Callable[[Any, Any, Any], None]:
        def hook(module: Any, given: Any, result: Any) -> None:
            kept[at].append(choose(result).detach())

        return hook

    hooks = [m.register_forward_hook(keep(i)) for i, m in enumerate(modules)]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _pooled(
    layers: list[list[Any]], crystals: list[Crystal], energies: np.ndarray
) -> np.ndarray:
    """Average every layer over the atoms of each crystal; append eV/atom."""
    import torch

    per_atom = torch.cat([torch.cat(layer) for layer in layers], dim=1)
    sizes = np.array([c.n_atoms for c in crystals])
    starts = np.cumsum(sizes) - sizes
    total = np.add.reduceat(per_atom.double().numpy(), starts, axis=0)
    return np.column_stack([total / sizes[:, None], energies])


@cache
def _sevennet_model() -> tuple[Any, float, frozenset[int]]:
    """Return (network without forces, cutoff in Å, atomic numbers it knows)."""
    with _quiet():
        import sevenn._keys as key
        from sevenn.util import load_checkpoint

        checkpoint = load_checkpoint("7net-0")
        model = checkpoint.build_model()
        model.delete_module_by_key("force_output")
        model.set_is_batch_data(True)
        model.eval()
        known = frozenset(checkpoint.config[key.TYPE_MAP])
        return model, float(checkpoint.config[key.CUTOFF]), known


def _sevennet(crystals: list[Crystal], n_threads: int) -> np.ndarray:
    model, cutoff, known = _sevennet_model()
    for crystal in crystals:
        odd = set(atomic_numbers(crystal).tolist()) - known
        if odd:
            raise SurrogateError(
                f"crystal {crystal.id}: SevenNet-0 does not know the element with "
                f"atomic number {min(odd)}; use composition features"
            )
    modules = [model._modules[f"{k}_equivariant_gate"] for k in SEVENNET_LAYERS]
    # the first 128 channels are scalars, the rest turn with the crystal
    scalars = _layers(modules, lambda r: r["x"][:, :128].clone())
    with scalars as layers, _threads(n_threads):
        energies = [
            _sevennet_batch(model, crystals[k : k + _BATCH // 2], cutoff)
            for k in range(0, len(crystals), _BATCH // 2)
        ]
    sizes = np.array([c.n_atoms for c in crystals])
    return _pooled(layers, crystals, np.concatenate(energies) / sizes)


def _sevennet_batch(model: Any, crystals: list[Crystal], cutoff: float) -> np.ndarray:
    """Run one batch; return total energies in eV, shape (n,)."""
    import sevenn._keys as key
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph
    from torch_geometric.data import Batch

    graphs = []
    for crystal in crystals:
        arrays = unlabeled_atoms_to_graph(crystal.to_atoms(), cutoff)
        if arrays[key.EDGE_IDX].shape[1] == 0:
            raise SurrogateError(
                f"crystal {crystal.id}: no two atoms are within {cutoff:g} Å, so "
                "SevenNet-0 sees nothing; is its cell right?"
            )
        graphs.append(AtomGraphData.from_numpy_dict(arrays))
    found: np.ndarray = (
        model(Batch.from_data_list(graphs))[key.PRED_TOTAL_ENERGY].numpy().reshape(-1)
    )
    return found
