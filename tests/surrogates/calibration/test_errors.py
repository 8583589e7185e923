"""The error model: found where errors depend on chemistry, else refused."""

from pathlib import Path

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from surrogates import load, metrics
from surrogates.base import Prediction
from surrogates.calibration import ErrorModel, chemistry_table
from surrogates.tabular.gaussian_process import GaussianProcess
from surrogates.tabular.recipes import GaussianProcessRecipe
from tests.matdisco.data.builders import rocksalt

METALS = ("Mg", "Ca", "Sr", "Ba", "Fe", "Ni", "Co", "Mn")
LOUD = ("Fe", "Ni", "Co", "Mn")
"""Elements whose labels scatter four times as much."""


def crystals(n: int, seed: int) -> list[Crystal]:
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        metal = METALS[rng.integers(len(METALS))]
        a = 4.0 + 0.6 * rng.random()
        value = a + rng.normal() * (0.4 if metal in LOUD else 0.1)
        out.append(Crystal(f"c{i}", rocksalt(metal, edge=a), {"x": Label(value, "eV")}))
    return out


def test_errors_that_depend_on_the_chemistry_are_learnt(tmp_path: Path) -> None:
    train, test = crystals(300, 0), crystals(300, 1)
    truth = np.array([c.labels["x"].value for c in test])
    found = {}
    for how in ("errors", "scale"):
        recipe = GaussianProcessRecipe(calibration=how)
        surrogate = GaussianProcess(recipe)
        report = surrogate.fit(Dataset("toy", tuple(train)), "x")
        p = surrogate.predict(test)
        found[how] = metrics.evaluate(truth, p)
        assert report.metrics["coverage_90"] == pytest.approx(
            found[how]["coverage_90"], abs=0.08
        )  # what it says of itself, by trees that missed each record
        if how == "errors":
            loud = np.array([bool(set(LOUD) & set(c.elements)) for c in test])
            ratio = np.median(p.std[loud]) / np.median(p.std[~loud])
            assert 2.5 < ratio < 5.5  # 4 was planted
            surrogate.save(tmp_path / "kept")
            again = load(tmp_path / "kept").predict(test)
            np.testing.assert_array_equal(again.std, p.std)
            np.testing.assert_array_equal(again.factors, p.factors)
            assert "uncertainty_by_chemistry" in surrogate.describe()
    assert found["errors"]["nll"] < found["scale"]["nll"] - 0.1
    assert found["errors"]["mae"] == found["scale"]["mae"]


def test_errors_alike_everywhere_keep_one_factor() -> None:
    rng = np.random.default_rng(0)
    table = chemistry_table(crystals(200, 2))
    raw = Prediction(np.zeros(200), np.zeros((0, 200)), np.ones(200))
    kept = [ErrorModel.fit(table, rng.normal(size=200), raw) for _ in range(5)]
    assert kept.count(None) >= 4
    assert ErrorModel.fit(table[:50], rng.normal(size=50), raw.take(range(50))) is None


def test_a_crystal_without_composition_features_gets_the_typical_factor() -> None:
    train = crystals(200, 3)
    table = chemistry_table(train)
    loud = np.array([bool(set(LOUD) & set(c.elements)) for c in train])
    raw = Prediction(np.zeros(200), np.zeros((0, 200)), np.ones(200))
    model = ErrorModel.fit(
        table, np.random.default_rng(1).normal(size=200) * np.where(loud, 4, 1), raw
    )
    assert model is not None
    mixed = rocksalt("Mg")
    mixed.replace(0, {"Mg": 0.5, "Ca": 0.5})
    one = Crystal("mixed", mixed)
    asked = chemistry_table([train[0], one])
    assert np.isnan(asked[1]).all() and np.isfinite(asked[0]).all()
    factors = model.factors(asked, raw.take([0, 1]))
    assert factors[1] == pytest.approx(np.sqrt(model.squares.mean()))
