"""Choose features by name and standardise them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from matdisco.recipe import nearest


def _composition(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.composition import composition_features

    return composition_features(crystals)


def _sites(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.sites import site_features

    return site_features(crystals)


def _chgnet(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.pretrained import chgnet_features

    return chgnet_features(crystals, n_threads=n_threads)


def _sevennet(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.pretrained import sevennet_features

    return sevennet_features(crystals, n_threads=n_threads)


KINDS: Mapping[str, Callable[[Sequence[Crystal], int], np.ndarray]] = {
    "composition": _composition,
    "sites": _sites,
    "chgnet": _chgnet,
    "sevennet": _sevennet,
}
"""Name → featurizer; names joined by ``+`` put their columns side by side."""


def features(
    kind: str, crystals: Sequence[Crystal], *, n_threads: int = 2
) -> np.ndarray:
    """Return raw features, shape (n, d).

    Args:
        kind: a name of :data:`KINDS`, or several as in ``chgnet+composition``.
        crystals: any number, also none.
        n_threads: torch threads of the potentials.

    Raises:
        SurrogateError: an unknown name, or a crystal that has no such features.
    """
    parts = blocks(kind, crystals, n_threads=n_threads)
    return np.concatenate(parts, axis=1)


def blocks(
    kind: str, crystals: Sequence[Crystal], *, n_threads: int = 2
) -> list[np.ndarray]:
    """Return the features of each name in ``kind``, each (n, d_k), in order."""
    names = kind.split("+")
    for name in names:
        if name not in KINDS:
            raise SurrogateError(
                f"features {kind!r}: unknown name {name!r}"
                f"{nearest(name, list(KINDS))}; join several with '+'"
            )
    return [KINDS[name](crystals, n_threads) for name in names]


@dataclass(frozen=True, eq=False)
class Standardizer:
    """Columns to mean 0 and variance 1; constant columns to 0."""

    mean: np.ndarray
    """Shape (d,)."""
    std: np.ndarray
    """Shape (d,); 1 where a column is constant."""

    @classmethod
    def of(cls, x: np.ndarray) -> Standardizer:
        """Take mean and deviation from ``x``, shape (n, d)."""
        std = x.std(axis=0)
        return cls(x.mean(axis=0), np.where(std > 1e-10, std, 1.0))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return standardised rows, shape (n, d)."""
        scaled: np.ndarray = (x - self.mean) / self.std
        return scaled
