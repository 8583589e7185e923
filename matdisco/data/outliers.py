"""Find labels that do not fit their chemistry, and those that are off by a unit.

The expectation for each value is the median of its own composition where there are
enough records of it, else the out-of-bag prediction of a random forest on composition
statistics, or on these and the structure (Breiman, Machine Learning 45, 5 (2001);
features after Ward et al., npj Comput. Mater. 2, 16028 (2016)). Residuals are measured
in robust standard deviations.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pymatgen.core import Composition, Element, Structure

from matdisco.data.fingerprints import CENTRES, bare, profile
from matdisco.errors import DataError

_PROPERTIES = (
    "Z", "X", "row", "group", "mendeleev_no", "atomic_mass", "atomic_radius",
    "molar_volume", "melting_point", "thermal_conductivity",
)  # fmt: skip
_NEAR = 0.2  # of log10: a factor of 1.6 around a unit factor, ordinary scatter
ENOUGH = 60
"""Values below which a forest says nothing about outliers."""
_OF_ONE_COMPOSITION = 8  # records of one composition below which its median is unsure
_ROWS_PER_TREE = 4000  # keeps the forest near-linear in the number of records
_TREES = 100

FACTORS: dict[str, float] = {
    "kbar for GPa": 10.0,
    "GPa for kbar": 0.1,
    "hartree for eV": 1 / 27.211386,
    "rydberg for eV": 1 / 13.605693,
    "meV for eV": 1000.0,
    "eV for meV": 1e-3,
    "kJ/mol for eV": 96.4853,
    "kcal/mol for eV": 23.0605,
    "S/m for S/cm": 100.0,
}
"""How much too large a value is when one unit is written for another. CODATA 2018."""
_UNITS_OF = {
    "eV": ("hartree", "rydberg", "meV", "kJ/mol", "kcal/mol"),
    "eV/atom": ("hartree", "rydberg", "meV", "kJ/mol", "kcal/mol"),
    "GPa": ("kbar",),
    "kbar": ("GPa",),
    "meV": ("eV",),
    "S/cm": ("S/m",),
}


@dataclass(frozen=True, slots=True)
class Residual:
    """How far one value is from what its chemistry lets expect."""

    expected: float
    """In the label's unit."""
    sigmas: float
    """Residual in robust standard deviations, signed."""
    ratio: float
    """Value over expectation; nan where their signs differ."""
    log10_sigma: float
    """Robust sigma of log10(value/expectation); inf where there is none."""


def composition_features(compositions: Sequence[Composition]) -> np.ndarray:
    """Return mean, deviation, least and greatest of ten elemental properties.

    Returns:
        shape (n, 40), finite.
    """
    out = np.empty((len(compositions), 4 * len(_PROPERTIES)))
    for row, composition in enumerate(compositions):
        symbols = [e.symbol for e in composition.elements]
        weight = np.array([float(composition[e]) for e in composition.elements])
        weight /= weight.sum()
        table = np.array([_element(s) for s in symbols])  # (elements, properties)
        mean = weight @ table
        deviation = np.sqrt(weight @ (table - mean) ** 2)
        out[row] = np.concatenate([mean, deviation, table.min(0), table.max(0)])
    return out


def structure_features(structures: Sequence[Structure]) -> np.ndarray:
    """Return composition features, volume per atom and an element-blind pair profile.

    Returns:
        shape (n, 57), finite; profiles of degenerate cells are zero.
    """
    chemistry = composition_features([bare(s).composition for s in structures])
    out = np.zeros((len(structures), 1 + len(CENTRES)))
    for row, structure in enumerate(structures):
        out[row, 0] = structure.volume / len(structure)
        with contextlib.suppress(DataError):
            out[row, 1:] = profile(structure).reshape(-1, len(CENTRES)).sum(axis=0)
    return np.hstack([chemistry, out])


def residuals(
    compositions: Sequence[Composition],
    values: np.ndarray,
    *,
    seed: int = 0,
    features: np.ndarray | None = None,
) -> list[Residual | None]:
    """Compare each value with its chemistry.

    Args:
        compositions: n of them.
        values: intensive quantities, shape (n,), finite.
        seed: of the forest.
        features: what the forest sees instead of composition statistics, shape (n, d).

    Returns:
        n residuals; None where there are too few records to say anything.
    """
    n = len(values)
    expected = np.full(n, np.nan)
    single: dict[str, list[int]] = defaultdict(list)
    for i, composition in enumerate(compositions):
        if features is None:
            single[composition.reduced_formula].append(i)
    for rows in single.values():
        if len(rows) >= _OF_ONE_COMPOSITION:
            expected[rows] = np.median(values[rows])
    rest = np.flatnonzero(np.isnan(expected))
    logarithmic = bool(
        (values > 0).all() and values.max() > 30 * np.median(values) / 10
    )
    if len(rest) >= ENOUGH:
        target = np.log(values[rest]) if logarithmic else values[rest]
        known_by = (
            composition_features([compositions[int(i)] for i in rest])
            if features is None
            else features[rest]
        )
        guess = _out_of_bag(known_by, target, seed)
        expected[rest] = np.exp(guess) if logarithmic else guess
    known = np.isfinite(expected)
    if not known.any():
        return [None] * n
    scale = _scale(values[known] - expected[known], tails=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(expected * values > 0, values / expected, np.nan)
        logs = np.log10(ratio)
    fit = known & np.isfinite(logs)
    log_scale = _scale(logs[fit]) if fit.sum() > 2 else np.inf
    log_wide = _scale(logs[fit], tails=True) if fit.sum() > 2 else np.inf
    return [
        Residual(
            float(expected[i]),
            float(logs[i] / log_wide)
            if logarithmic and np.isfinite(logs[i])
            else float((values[i] - expected[i]) / scale),
            float(ratio[i]),
            log_scale,
        )
        if known[i]
        else None
        for i in range(n)
    ]


def unit_slips(
    found: Sequence[Residual | None], units: Sequence[str], *, sigmas: float = 5.0
) -> list[str | None]:
    """Name, for each residual that it explains, the unit mistake; else None.

    A mistake makes an island: values near the factor, hardly any between it and the
    bulk. A broad distribution has a slope there instead, and says nothing.

    Args:
        found: of all values of one property.
        units: their units; only mistakes of their kind are considered.
        sigmas: how unlikely a residual must be without the mistake.
    """
    logs = np.array([np.log10(r.ratio) if r else np.nan for r in found])
    out: list[str | None] = [None] * len(found)
    for name, factor in FACTORS.items():
        step = float(np.log10(factor))
        for i in np.flatnonzero(np.abs(logs - step) < _NEAR):
            residual = found[int(i)]
            known = _UNITS_OF.get(units[int(i)], ())
            if residual is None or not name.startswith(known):
                continue
            spread = residual.log10_sigma
            # The factor must explain the value: what is left is ordinary scatter.
            left = abs(logs[i] - step)
            if abs(logs[i]) < sigmas * spread or left > max(3 * spread, 0.1):
                continue
            near = (np.abs(logs - step) < _NEAR).sum()
            share = logs / step
            between = ((share > 0.35) & (np.abs(logs - step) >= _NEAR)).sum()
            if between <= near // 2 and not _better(out[i], left, logs[i]):
                out[i] = name
    return out


def _better(name: str | None, left: float, log: float) -> bool:
    """Tell whether a name found before explains a value better."""
    return name is not None and abs(log - np.log10(FACTORS[name])) <= left


def _out_of_bag(features: np.ndarray, target: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        _TREES,
        min_samples_leaf=2,
        max_features=0.4,
        # Never more than two thirds: every row must be out of bag somewhere.
        max_samples=min(_ROWS_PER_TREE, max(2, (2 * len(target)) // 3)),
        oob_score=True,
        random_state=seed,
        n_jobs=1,
    )
    forest.fit(features, target)
    prediction: np.ndarray = forest.oob_prediction_
    return prediction


def _scale(residual: np.ndarray, *, tails: bool = False) -> float:
    """Return a robust standard deviation.

    1.4826 times the median absolute deviation is that of a normal core. With
    ``tails``, at least what the 95th percentile implies (1.96 for a normal one), so
    that a heavy tail, or a bulk at exactly zero as of metals' band gaps, does not
    turn a tenth of all values into outliers.
    """
    size = np.abs(residual - np.median(residual))
    core = 1.4826 * float(np.median(size))
    wide = float(np.percentile(size, 95)) / 1.96 if tails else 0.0
    return max(core, wide, 1e-9)


@lru_cache(maxsize=128)
def _element(symbol: str) -> tuple[float, ...]:
    element = Element(symbol)
    out = []
    for name in _PROPERTIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # helium has no electronegativity
            value = getattr(element, name, None)
        number = float(value) if value is not None else np.nan
        out.append(number if np.isfinite(number) else 0.0)
    return tuple(out)
