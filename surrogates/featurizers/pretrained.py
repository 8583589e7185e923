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
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import MissingExtra, SurrogateError
from surrogates.featurizers.latent_cache import cached_rows
from surrogates.graphs import atomic_numbers

CHGNET_WIDTH = 65
"""CHGNet's crystal feature per atom (64) and its energy (eV/atom)."""
SEVENNET_WIDTH = 129
"""SevenNet-0's last scalar node features (128) and its energy (eV/atom)."""
_BATCH = 64


def chgnet_features(crystals: Sequence[Crystal], *, n_threads: int = 2) -> np.ndarray:
    """Return CHGNet's latents, shape (n, CHGNET_WIDTH).

    Deng et al., Nature Machine Intelligence 5, 1031 (2023); weights in its wheel.

    Raises:
        MissingExtra: chgnet is not installed.
        SurrogateError: a crystal that CHGNet cannot turn into a graph.
    """
    recipe = {"package": _version("chgnet", "chgnet"), "pooling": "mean"}
    return cached_rows(
        "chgnet", recipe, crystals, lambda c: _chgnet(c, n_threads), width=CHGNET_WIDTH
    )


def sevennet_features(crystals: Sequence[Crystal], *, n_threads: int = 2) -> np.ndarray:
    """Return SevenNet-0's latents, shape (n, SEVENNET_WIDTH).

    Park et al., J. Chem. Theory Comput. 20, 4857 (2024); weights in its wheel.

    Raises:
        MissingExtra: sevenn is not installed.
        SurrogateError: an element that SevenNet-0 does not know.
    """
    recipe = {"package": _version("sevenn", "sevennet"), "weights": "7net-0"}
    return cached_rows(
        "sevennet", recipe, crystals, lambda c: _sevennet(c, n_threads),
        width=SEVENNET_WIDTH,
    )  # fmt: skip


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
    from surrogates.training import threads

    model = _chgnet_model()
    with threads(n_threads), _quiet():
        graphs = []
        for crystal in crystals:
            atomic_numbers(crystal)
            try:
                graphs.append(model.graph_converter(crystal.structure))
            except (ValueError, RuntimeError) as error:
                raise SurrogateError(
                    f"crystal {crystal.id}: CHGNet makes no graph of it ({error})"
                ) from error
        answers = model.predict_graph(
            graphs, task="e", return_crystal_feas=True, batch_size=_BATCH
        )
    answers = [answers] if isinstance(answers, dict) else answers
    # CHGNet adds atoms up for the latent (its energy is per atom): make it intensive
    return np.stack(
        [
            np.append(a["crystal_fea"] / c.n_atoms, a["e"])
            for a, c in zip(answers, crystals, strict=True)
        ]
    )


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
    import torch

    from surrogates.training import threads

    model, cutoff, known = _sevennet_model()
    latents: list[torch.Tensor] = []
    for crystal in crystals:
        odd = set(atomic_numbers(crystal).tolist()) - known
        if odd:
            raise SurrogateError(
                f"crystal {crystal.id}: SevenNet-0 does not know the element with "
                f"atomic number {min(odd)}; use composition features"
            )

    def keep(module: Any, given: Any, result: Any) -> None:
        latents.append(result["x"])

    last = model._modules["4_equivariant_gate"]  # 128 scalars per atom leave it
    hook = last.register_forward_hook(keep)
    try:
        with threads(n_threads), _quiet(), torch.no_grad():
            energies = [
                _sevennet_batch(model, crystals[k : k + _BATCH // 2], cutoff)
                for k in range(0, len(crystals), _BATCH // 2)
            ]
    finally:
        hook.remove()
    sizes = np.array([c.n_atoms for c in crystals])
    per_atom = torch.cat(latents).double().numpy()  # (atoms, 128)
    starts = np.cumsum(sizes) - sizes
    mean = np.add.reduceat(per_atom, starts, axis=0) / sizes[:, None]
    return np.column_stack([mean, np.concatenate(energies) / sizes])


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
