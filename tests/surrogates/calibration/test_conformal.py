"""Conformal intervals cover what they promise, where they promise it."""

import numpy as np
import pytest

from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from surrogates.base import Prediction
from surrogates.calibration import (
    AdaptiveConformal,
    ConformalInterval,
    MondrianConformal,
    chemistry,
)


def flat(n: int) -> Prediction:
    return Prediction(np.zeros(n), np.zeros((0, n)), np.ones(n))


def inside(y: np.ndarray, ends: tuple[np.ndarray, np.ndarray]) -> float:
    return float(((y >= ends[0]) & (y <= ends[1])).mean())


def test_mondrian_covers_within_every_group() -> None:
    draw = np.random.default_rng(0)
    names = np.where(draw.random(8000) < 0.2, "rare", "common")
    y = draw.standard_t(3, 8000) * np.where(names == "rare", 5.0, 1.0)
    half = 4000
    fit, new = slice(0, half), slice(half, None)
    pooled = ConformalInterval.fit(y[fit], flat(half), 0.9)
    assert inside(y[new][names[new] == "rare"], _only(pooled, names, new)) < 0.7
    mondrian = MondrianConformal.fit(y[fit], flat(half), list(names[fit]), 0.9)
    for name in ("rare", "common"):
        rows = names[new] == name
        ends = mondrian.apply(flat(int(rows.sum())), [name] * int(rows.sum()))
        assert inside(y[new][rows], ends) == pytest.approx(0.9, abs=0.02)
    low, high = mondrian.apply(flat(1), ["never seen"])
    assert high[0] == pooled.width == -low[0]


def _only(
    pooled: ConformalInterval, names: np.ndarray, new: slice
) -> tuple[np.ndarray, np.ndarray]:
    return pooled.apply(flat(int((names[new] == "rare").sum())))


def test_small_groups_take_the_pooled_width() -> None:
    y = np.linspace(0, 1, 40)
    found = MondrianConformal.fit(y, flat(40), ["a"] * 37 + ["b"] * 3, 0.9)
    assert set(found.widths) == {"a"}
    with pytest.raises(SurrogateError, match="one group for each of 40"):
        MondrianConformal.fit(y, flat(40), ["a"], 0.9)


def test_adaptive_keeps_coverage_while_errors_grow() -> None:
    draw = np.random.default_rng(1)
    y = draw.normal(size=3000) * np.linspace(1.0, 4.0, 3000)
    start = draw.normal(size=200)
    fixed = ConformalInterval.fit(start, flat(200), 0.9)
    assert inside(y, fixed.apply(flat(3000))) < 0.7
    adaptive = AdaptiveConformal.fit(start, flat(200), 0.9)
    hits = []
    for value in y:
        one = np.array([value])
        hits.append(inside(one, adaptive.apply(flat(1))))
        adaptive = adaptive.updated(one, flat(1))
    assert np.mean(hits) == pytest.approx(0.9, abs=0.02)
    assert len(adaptive.scores) == 3200


def test_adaptive_starts_from_nothing() -> None:
    empty = AdaptiveConformal.fit(np.zeros(0), flat(0), 0.9)
    assert np.isinf(empty.width)
    frozen = AdaptiveConformal.fit(np.linspace(0, 1, 99), flat(99), 0.9, rate=0.0)
    split = ConformalInterval.fit(np.linspace(0, 1, 99), flat(99), 0.9)
    assert frozen.width == split.width


def test_chemistry_names_the_anions() -> None:
    def of(*species: str) -> str:
        n = len(species)
        spots = [[i / n, 0, 0] for i in range(n)]
        return chemistry([Crystal.from_arrays("x", 6 * np.eye(3), species, spots)])[0]

    assert of("Ba", "Ti", "O", "O", "O") == "oxide"
    assert of("Ba", "Ta", "O", "N") == "oxide-nitride"
    assert of("Na", "Cl") == "halide" and of("Al", "Ni") == "intermetallic"
