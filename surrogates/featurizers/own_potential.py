"""A potential of your own, wherever CHGNet or SevenNet may stand: ``module:name``.

``name`` is an ASE calculator, or a class or function without arguments that makes one;
or an :class:`~surrogates.featurizers.table.Embedding` whose last column is the energy,
eV/atom, which is asked about many crystals at once. Energies are kept on disk under the
potential's ``version`` where it has one, else under the hash of the file that makes it.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from surrogates.featurizers.latent_cache import cached_rows
from surrogates.featurizers.plausible import require_apart, require_plausible
from surrogates.featurizers.table import Embedding

CUTOFF = 5.0
"""Å within which neighbours of an element's simple crystals are kept where a potential
has no ``cutoff``: that of most pair and many-body potentials is longer."""


@dataclass(frozen=True, eq=False)
class OwnPotential:
    """What stands behind ``module:name``; made by :func:`own_potential`."""

    place: str
    """``module:name``."""
    fingerprint: str
    """Its version, or the hash of the file that makes it."""
    cutoff: float
    """Å beyond which it is taken to see no neighbour."""
    ask: Callable[[Sequence[Crystal]], np.ndarray]
    """Crystals → eV/atom, shape (n,)."""

    def energies(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Return eV/atom, shape (n,); each structure is computed once.

        Raises:
            SurrogateError: fused atoms, the potential failed, or answered what is no
                number or no energy of a crystal; names the crystal.
        """
        require_apart(self.place, crystals)
        recipe = {"potential": self.place, "version": self.fingerprint}
        rows = cached_rows("own-potential", recipe, crystals, self._column, width=1)
        return rows[:, 0]

    def _column(self, crystals: list[Crystal]) -> np.ndarray:
        found = np.asarray(self.ask(crystals), dtype=float)
        require_plausible(self.place, crystals, found)
        return found[:, None]


@cache
def own_potential(place: str) -> OwnPotential:
    """Import ``module:name`` and return the potential it stands for.

    Raises:
        SurrogateError: it cannot be imported or made, or is no potential.
    """
    module, _, name = place.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # a module may fail in any way when it is imported
        raise SurrogateError(
            f"potential {place!r}: cannot import it ({error}); is its folder on "
            "PYTHONPATH?"
        ) from error
    made = found
    if isinstance(found, type) or not _is_potential(found):
        try:
            made = found()
        except Exception as error:
            raise SurrogateError(
                f"potential {place!r}: expected an ASE calculator, or a class or "
                f"function without arguments that makes one; calling it failed "
                f"({type(error).__name__}: {error})"
            ) from error
    if not _is_potential(made):
        raise SurrogateError(
            f"potential {place!r}: expected an ASE calculator, or an embedding whose "
            f"last column is an energy in eV/atom, got {type(made).__name__}"
        )
    ask = _embedded(place, made) if isinstance(made, Embedding) else _asked(place, made)
    cutoff = float(getattr(made, "cutoff", CUTOFF))
    return OwnPotential(place, _fingerprint(place, made), cutoff, ask)


def _is_potential(thing: object) -> bool:
    calculates = callable(getattr(thing, "get_potential_energy", None))
    return calculates or isinstance(thing, Embedding)


def _fingerprint(place: str, made: object) -> str:
    """Return the version, or the hash of the files of its class and of its module."""
    version = getattr(made, "version", None)
    if isinstance(version, str) and version:
        return version
    module = import_module(place.partition(":")[0])
    sources = dict.fromkeys((module, inspect.getmodule(type(made))))
    files = [f for s in sources if (f := getattr(s, "__file__", None)) is not None]
    if not files:  # typed at a prompt: nothing tells when it changes
        raise SurrogateError(
            f"potential {place!r}: it is in no file; give it an attribute version, "
            "under which its energies are kept"
        )
    whole = hashlib.sha256()
    for file in files:
        whole.update(Path(file).read_bytes())
    return whole.hexdigest()


def _asked(place: str, calculator: Any) -> Callable[[Sequence[Crystal]], np.ndarray]:
    def ask(crystals: Sequence[Crystal]) -> np.ndarray:
        found = np.zeros(len(crystals))
        for k, crystal in enumerate(crystals):
            atoms = crystal.to_atoms()
            atoms.calc = calculator
            try:
                energy = float(atoms.get_potential_energy())
            except Exception as error:  # it may raise whatever it likes
                raise _failed(place, f"crystal {crystal.id}", error) from error
            found[k] = energy / len(atoms)
        return found

    return ask


def _embedded(place: str, rows: Embedding) -> Callable[[Sequence[Crystal]], np.ndarray]:
    def ask(crystals: Sequence[Crystal]) -> np.ndarray:
        try:
            found = np.asarray(rows(crystals), dtype=float)
        except Exception as error:
            first = f"crystal {crystals[0].id} and {len(crystals) - 1} more"
            raise _failed(place, first, error) from error
        if found.shape != (len(crystals), rows.width):
            raise SurrogateError(
                f"potential {place!r}: expected rows of shape "
                f"({len(crystals)}, {rows.width}), got {found.shape}"
            )
        last: np.ndarray = found[:, -1]
        return last

    return ask


def _failed(place: str, what: str, error: Exception) -> SurrogateError:
    said = " ".join(str(error).split())[:200]
    return SurrogateError(
        f"{what}: potential {place!r} failed ({type(error).__name__}: {said}); does it "
        "know these elements and cells of this size?"
    )
