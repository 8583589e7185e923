"""Feature tables of a pool: made once, kept in memory, indexed by row afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from campaigns.replay.learner_recipes import Features
from campaigns.replay.pools import Pool
from matdisco.errors import ConfigError
from surrogates import featurizers
from surrogates.featurizers.charges import charge_table
from surrogates.featurizers.elements import raw_table

if TYPE_CHECKING:
    from pymatgen.core import Composition


def table(pool: Pool, names: Sequence[Features]) -> np.ndarray:
    """Return the named tables side by side, shape (n, d).

    Raises:
        ConfigError: the pool has nothing that a feature can be made of.
    """
    return np.column_stack([_cached(pool, name) for name in names])


def available(pool: Pool, name: Features) -> bool:
    """Say whether the pool has what a feature is made of."""
    if name == "columns":
        return bool(pool.columns.shape[1])
    if name in ("composition", "charges"):
        return bool(pool.has_structures or pool.formulas)
    if name == "sites":
        return bool(pool.sites)
    return pool.has_structures


def _cached(pool: Pool, name: Features) -> np.ndarray:
    """Return a table, from the pool's cache where it is there."""
    return kept(pool, name, lambda: _one(pool, name))


def kept(pool: Pool, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return a table by name from the pool's cache; make and keep it where missing.

    Its file is named after the pool and the code that makes tables: a replay that goes
    on after an update takes none that would be another one now.
    """
    if pool.cache is None:
        return make()
    path = pool.cache / f"{name}-{pool.content_hash[:16]}-{_code()[:8]}.npy"
    try:
        found: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, made)
        part.replace(path)
        return made
    return found


@cache
def _code() -> str:
    """Return a digest of the files that make tables."""
    folder = Path(featurizers.__file__).parent
    sources = [Path(__file__), *sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()


def _one(pool: Pool, name: Features) -> np.ndarray:
    if not available(pool, name):
        needs = {"columns": "columns", "sites": "structure: sites"}
        raise ConfigError(
            f"features {name!r}: the pool has nothing to make them of; give "
            f"pool.{needs.get(name, 'structure')}"
        )
    if name == "columns":
        return pool.columns
    if name == "sites":
        return site_table(pool)
    if name == "composition" and not pool.has_structures:
        return formula_table(pool.formulas)
    if name == "charges" and not pool.has_structures:
        return charge_table([c.get_el_amt_dict() for c in _compositions(pool)])
    from surrogates.featurizers.table import features

    made: np.ndarray = features(name, pool.crystals, n_threads=1)
    return made


def _compositions(pool: Pool) -> list[Composition]:
    from pymatgen.core import Composition

    if pool.has_structures:
        return [c.composition for c in pool.crystals]
    return [Composition(f) for f in pool.formulas]


def fractions(pool: Pool) -> np.ndarray:
    """Return atomic fractions over all elements of the pool, shape (n, elements)."""
    from matdisco import thermo

    parts = _compositions(pool)
    elements = sorted({e.symbol for c in parts for e in c.elements})
    return thermo.fractions(parts, elements)


def site_table(pool: Pool) -> np.ndarray:
    """Return elemental properties site by site and the cell edge, shape (n, d).

    A site of several positions gives mean, least and greatest of each property.
    """
    assert pool.cells is not None
    parts = [pool.cells[1][:, None]]
    for occupants in pool.sites.values():
        rows = site_elements(occupants)  # (n, positions, properties)
        parts.append(rows.mean(axis=1))
        if rows.shape[1] > 1:
            parts += [rows.min(axis=1), rows.max(axis=1)]
    return np.column_stack(parts)


def site_elements(occupants: Sequence[Sequence[str]]) -> np.ndarray:
    """Return elemental properties of each occupant, (n, positions, properties)."""
    from pymatgen.core import Element

    numbers = np.array([[Element(s).Z for s in row] for row in occupants])
    rows: np.ndarray = raw_table()[numbers]
    return rows


def formula_table(formulas: Sequence[str]) -> np.ndarray:
    """Return composition features from formulas alone, also fractional ones.

    Amount-weighted mean and deviation, least, greatest and range of each elemental
    property, as :mod:`surrogates.featurizers.composition` does from sites, then the
    atomic fractions of the elements that occur in at least ten formulas.
    """
    from pymatgen.core import Composition

    parts = [Composition(f) for f in formulas]
    rows = []
    for part in parts:
        sites = raw_table()[[e.Z for e in part.elements]]
        weights = np.array([part.get_atomic_fraction(e) for e in part.elements])
        mean = weights @ sites
        spread = np.sqrt(np.maximum(weights @ sites**2 - mean**2, 0.0))
        low, high = sites.min(axis=0), sites.max(axis=0)
        rows.append(np.concatenate([mean, spread, low, high, high - low]))
    elements = sorted({e.symbol for p in parts for e in p.elements})
    shares = np.array([[p.get_atomic_fraction(e) for e in elements] for p in parts])
    common = (shares > 0).sum(axis=0) >= 10
    return np.column_stack([np.array(rows), shares[:, common]])
