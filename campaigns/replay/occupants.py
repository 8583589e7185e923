"""Occupants of sites, and cells, in numbers that a kernel can compare."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from campaigns.replay.pools import Pool
from surrogates.featurizers.charges import (
    charge,
    holes,
    oxidation_states,
    valence_electrons,
)
from surrogates.featurizers.elements import raw_table

Occupants = Sequence[Sequence[str]]


@cache
def element_row(symbol: str) -> tuple[float, ...]:
    """Return properties of an element: those of the table, and those of its ions.

    Highest, lowest and mean common oxidation state, mean ionic radius (Å), first
    ionisation energy (eV) and electron affinity (eV).
    """
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns on every missing value
        element = Element(symbol)
        states = oxidation_states(symbol)
        energies = element.ionization_energies or [math.nan]
        extra = [
            max(states), min(states), sum(states) / len(states),
            _number(element.average_ionic_radius), _number(energies[0]),
            _number(element.electron_affinity),
        ]  # fmt: skip
    values = (*raw_table()[element.Z], *extra)
    return tuple(v if math.isfinite(v) else 0.0 for v in values)


def occupant_tables(
    sites: Mapping[str, Sequence[tuple[str, ...]]],
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Return which occupant each candidate has on each site, and what they are.

    Returns:
        Codes, shape (n, sites), and per site a standardised table of its occupants:
        elemental properties where it has one position, counts of each element where
        it has several.
    """
    codes, tables = [], []
    for occupants in sites.values():
        kinds = sorted(set(occupants))
        number = {k: i for i, k in enumerate(kinds)}
        codes.append([number[o] for o in occupants])
        if len(kinds[0]) == 1:
            tables.append(_standard(np.array([element_row(k[0]) for k in kinds])))
        else:
            elements = sorted({e for k in kinds for e in k})
            counted = [[k.count(e) for e in elements] for k in kinds]
            tables.append(np.array(counted, dtype=float))
    return np.array(codes).T, tuple(tables)


def cell_table(pool: Pool) -> np.ndarray:
    """Return standardised properties of whole cells, shape (n, 6).

    The cell edge (Å); the smallest distance from charge balance that common oxidation
    states allow; electrons that close the shells of the anions; valence electrons left
    after that; the sum of ionic radii (Å); and the ratio of the first two sites' radii,
    which for a perovskite is what Goldschmidt's tolerance factor compares.
    """
    assert pool.cells is not None
    edges = pool.cells[1]
    cells = list(zip(*pool.sites.values(), strict=True))
    atoms = [Counter(e for site in row for e in site) for row in cells]
    balance = [round(charge(row) * row.total()) for row in atoms]
    taken = np.array([sum(n * holes(e) for e, n in row.items()) for row in atoms])
    given = [sum(n * valence_electrons(e) for e, n in row.items()) for row in atoms]
    radii = np.array([[np.mean([_radius(e) for e in s]) for s in row] for row in cells])
    ratio = radii[:, 0] / radii[:, min(1, radii.shape[1] - 1)]
    left = np.array(given) - taken
    return _standard(
        np.column_stack([edges, balance, taken, left, radii.sum(axis=1), ratio])
    )


@cache
def _radius(symbol: str) -> float:
    """Mean ionic radius, else atomic radius, Å."""
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns on every missing value
        element = Element(symbol)
        radius = _number(element.average_ionic_radius) or _number(element.atomic_radius)
    return radius if math.isfinite(radius) and radius > 0 else 1.0


def _standard(table: np.ndarray) -> np.ndarray:
    spread = table.std(axis=0)
    kept = table[:, spread > 1e-9]
    standard: np.ndarray = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    return standard


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
