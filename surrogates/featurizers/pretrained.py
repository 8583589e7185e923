"""Latents of a frozen universal potential: CHGNet's 64 crystal features.

Deng et al., Nature Machine Intelligence 5, 1031 (2023). The weights come in chgnet's
wheel, nothing is downloaded. An exact Gaussian process on them is hard to beat with a
few hundred labels (compare Kim et al., arXiv:2506.18497). Where CHGNet is also the
simulator they leak the answer: use them only as an upper bound there.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import MissingExtra, SurrogateError
from surrogates.graphs import atomic_numbers

WIDTH = 65
"""CHGNet's crystal feature per atom (64) and its energy (eV/atom)."""
_BATCH = 64
_CACHE: dict[str, np.ndarray] = {}


def chgnet_features(crystals: Sequence[Crystal], *, n_threads: int = 2) -> np.ndarray:
    """Return latents, shape (n, WIDTH); remembered by structure hash.

    Raises:
        MissingExtra: chgnet is not installed.
        SurrogateError: a crystal that CHGNet cannot turn into a graph.
    """
    fresh = {c.structure_hash: c for c in crystals if c.structure_hash not in _CACHE}
    if fresh:
        values = _computed(list(fresh.values()), n_threads)
        _CACHE.update(zip(fresh, values, strict=True))
    if not crystals:
        return np.zeros((0, WIDTH))
    return np.stack([_CACHE[c.structure_hash] for c in crystals])


@cache
def _model() -> Any:
    try:
        from chgnet.model.model import CHGNet
    except ImportError as error:
        raise MissingExtra("chgnet", "chgnet") from error
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # chgnet's own, about torch and its converter
        return CHGNet.load(use_device="cpu", verbose=False)


def _computed(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.training import threads

    model = _model()
    with threads(n_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
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
    ).astype(float)
