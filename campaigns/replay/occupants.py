"""Occupants of sites, and cells, in numbers that a kernel can compare."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product

import numpy as np

from campaigns.replay.pools import Pool
from surrogates.featurizers.elements import COLUMNS, raw_table

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


@cache
def oxidation_states(symbol: str) -> tuple[int, ...]:
    """Return the common oxidation states, else all known ones, else zero."""
    from pymatgen.core import Element

    element = Element(symbol)
    return element.common_oxidation_states or element.oxidation_states or (0,)


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
    balance = [
        imbalance(tuple(sorted(e for site in row for e in site)))
        for row in zip(*pool.sites.values(), strict=True)
    ]
    cells = list(zip(*pool.sites.values(), strict=True))
    holes = np.array([sum(_holes(e) for s in row for e in s) for row in cells])
    electrons = np.array([sum(_electrons(e) for s in row for e in s) for row in cells])
    radii = np.array([[np.mean([_radius(e) for e in s]) for s in row] for row in cells])
    ratio = radii[:, 0] / radii[:, min(1, radii.shape[1] - 1)]
    return _standard(
        np.column_stack(
            [edges, balance, holes, electrons - holes, radii.sum(axis=1), ratio]
        )
    )


@cache
def _holes(symbol: str) -> int:
    """Electrons that an element of groups 15 to 17 takes up to close its shell."""
    from pymatgen.core import Element

    group = Element(symbol).group
    return 18 - group if group >= 15 else 0


@cache
def _electrons(symbol: str) -> float:
    """Valence electrons that a metal can give."""
    from pymatgen.core import Element

    if _holes(symbol):
        return 0.0
    columns = [COLUMNS.index(f"valence_{k}") for k in "spdf"]
    return float(raw_table()[Element(symbol).Z][columns].sum())


@cache
def _radius(symbol: str) -> float:
    """Mean ionic radius, else atomic radius, Å."""
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns on every missing value
        element = Element(symbol)
        radius = _number(element.average_ionic_radius) or _number(element.atomic_radius)
    return radius if math.isfinite(radius) and radius > 0 else 1.0


@cache
def imbalance(elements: tuple[str, ...]) -> int:
    """Return the smallest total charge of a cell, in elementary charges.

    Each element takes one of its common oxidation states on all its positions.

    >>> imbalance(("Sr", "Ti", "O", "O", "O"))
    0
    """
    kinds = sorted(set(elements))
    amounts = [elements.count(k) for k in kinds]
    return min(
        abs(sum(n * s for n, s in zip(amounts, states, strict=True)))
        for states in product(*(oxidation_states(k) for k in kinds))
    )


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
