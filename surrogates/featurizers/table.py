"""Choose features by name and standardise them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from matdisco.crystal import Crystal

FeatureKind = Literal["composition", "chgnet"]


def features(
    kind: FeatureKind, crystals: Sequence[Crystal], *, n_threads: int = 2
) -> np.ndarray:
    """Return raw features, shape (n, d)."""
    if kind == "chgnet":
        from surrogates.featurizers.pretrained import chgnet_features

        return chgnet_features(crystals, n_threads=n_threads)
    from surrogates.featurizers.composition import composition_features

    return composition_features(crystals)


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
