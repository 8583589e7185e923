"""Choose features by name and standardise them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from matdisco.recipe import nearest


@runtime_checkable
class Embedding(Protocol):
    """Your own features: give ``package.module:name`` as a feature name.

    ``name`` is an object with these members, or a class or function without arguments
    that makes one. Rows are kept on disk under ``name`` and ``version``.
    """

    name: str
    """Short; names the cache file."""
    version: str
    """Change it whenever the values change."""
    width: int
    """Columns."""

    def __call__(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Return rows of shape (n, width); the same for every way to write a cell."""
        ...


def _composition(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.composition import composition_features

    return composition_features(crystals)


def _fractions(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.composition import element_fractions

    return element_fractions(crystals)


def _charges(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.charges import charge_features

    return charge_features(crystals)


def _environments(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.environments import environment_features

    return environment_features(crystals)


def _sites(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.sites import site_features

    return site_features(crystals)


def _chgnet(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.pretrained import chgnet_features

    return chgnet_features(crystals, n_threads=n_threads)


def _chgnet_layers(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.pretrained import chgnet_layer_features

    return chgnet_layer_features(crystals, n_threads=n_threads)


def _sevennet(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    from surrogates.featurizers.pretrained import sevennet_features

    return sevennet_features(crystals, n_threads=n_threads)


def _formation(potential: str) -> Callable[[Sequence[Crystal], int], np.ndarray]:
    def energies(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
        from surrogates.featurizers.formation import formation_energies

        return formation_energies(potential, crystals, n_threads=n_threads)[:, None]

    return energies


KINDS: Mapping[str, Callable[[Sequence[Crystal], int], np.ndarray]] = {
    "composition": _composition,
    "fractions": _fractions,
    "charges": _charges,
    "sites": _sites,
    "environments": _environments,
    "chgnet": _chgnet,
    "chgnet_layers": _chgnet_layers,
    "chgnet_formation": _formation("chgnet"),
    "sevennet": _sevennet,
    "sevennet_formation": _formation("sevennet"),
}
"""Name → featurizer; names joined by ``+`` put their columns side by side."""


_LARGE = 5_000
"""Crystals in a tuple from which on their features are remembered, seconds of work."""
_POOL: dict[str, tuple[tuple[Crystal, ...], np.ndarray]] = {}
"""Name → the last large tuple and its features; holding it keeps its identity."""


_KEPT: dict[str, dict[int, tuple[Crystal, np.ndarray]]] | None = None
"""Name → id of a crystal → the crystal, which keeps its id, and its row."""


@contextlib.contextmanager
def kept_rows() -> Iterator[None]:
    """Keep the rows of every crystal in memory until it ends.

    For who asks again and again about parts of one dataset, as folds do: neighbours of
    15,142 perovskites take 26 s, and what is no potential's is not kept on disk.
    """
    global _KEPT
    before, _KEPT = _KEPT, {} if _KEPT is None else _KEPT
    try:
        yield
    finally:
        _KEPT = before


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
    return [_remembered(name, crystals, n_threads) for name in kind.split("+")]


def _remembered(name: str, crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    """Return the features of one name; those of a large pool are made once.

    A campaign predicts the same tuple of candidates in every round.
    """
    if _KEPT is not None and ":" not in name and len(crystals):
        rows = _KEPT.setdefault(name, {})
        new = [c for c in {id(c): c for c in crystals}.values() if id(c) not in rows]
        if new:
            made = _block(name, new, n_threads)
            rows.update({id(c): (c, r) for c, r in zip(new, made, strict=True)})
        return np.stack([rows[id(c)][1] for c in crystals])
    if not isinstance(crystals, tuple) or len(crystals) < _LARGE:
        return _block(name, crystals, n_threads)
    kept = _POOL.get(name)
    if kept is None or kept[0] is not crystals:
        made = _block(name, crystals, n_threads)
        made.setflags(write=False)
        kept = _POOL[name] = (crystals, made)
    return kept[1]


def _block(name: str, crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
    if ":" in name:
        from surrogates.featurizers.latent_cache import cached_rows

        own = embedding(name)
        recipe = {"place": name, "version": own.version}
        return cached_rows(own.name, recipe, crystals, own, width=own.width)
    if name not in KINDS:
        raise SurrogateError(
            f"unknown features {name!r}{nearest(name, list(KINDS))}; join several "
            "with '+'"
        )
    return KINDS[name](crystals, n_threads)


def embedding(place: str) -> Embedding:
    """Import ``package.module:name`` and return the embedding it stands for.

    Raises:
        SurrogateError: it cannot be imported, or lacks a member of the protocol.
    """
    module, _, name = place.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SurrogateError(
            f"features {place!r}: cannot import it ({error}); is its folder on "
            "PYTHONPATH?"
        ) from error
    made = found
    if _makes(found) or not isinstance(found, Embedding):
        try:
            made = found()
        except Exception as error:  # anything may stand there, such as json:dumps
            raise SurrogateError(
                f"features {place!r}: expected an embedding, or a class or function "
                f"without arguments that makes one; calling it failed ({error})"
            ) from error
    if not isinstance(made, Embedding):
        raise SurrogateError(
            f"features {place!r}: expected an object with name, version, width and "
            f"__call__(crystals), got {type(made).__name__}"
        )
    return made


def _makes(found: object) -> bool:
    """Say whether ``found`` is a class: it makes embeddings, it is none."""
    return isinstance(found, type)


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

    def as_typical(self, x: np.ndarray, first: int) -> Standardizer:
        """Return a copy that scales constant columns from ``first`` on as the others.

        Args:
            x: what the copy was made from, shape (n, d).
            first: where the columns of one kind start.
        """
        varies = np.ptp(x, axis=0) > 0
        varies[:first] = False
        std = self.std.copy()
        if varies.any():
            std[first:][~varies[first:]] = np.median(std[varies])
        return Standardizer(self.mean, std)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return standardised rows, shape (n, d)."""
        scaled: np.ndarray = (x - self.mean) / self.std
        return scaled
