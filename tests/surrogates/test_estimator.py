"""Surrogates with the conventions of scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

from matdisco.errors import ConfigError, SurrogateError
from surrogates.checkpoint import Checkpoint, load, write
from surrogates.estimator import CrystalRegressor
from surrogates.recipes import RandomForestRecipe
from surrogates.testing import toy_crystals

CRYSTALS = toy_crystals(40)
Y = np.array([c.value("toy") for c in CRYSTALS])


def test_conventions() -> None:
    regressor = CrystalRegressor({"kind": "random_forest", "trees": 20, "threads": 1})
    with pytest.raises(NotFittedError):
        regressor.predict(CRYSTALS)
    copy = clone(regressor)
    assert copy is not regressor and copy.get_params() == regressor.get_params()
    assert regressor.fit(CRYSTALS, Y) is regressor
    mean, std = regressor.predict(CRYSTALS, return_std=True)
    assert mean.shape == std.shape == (40,) and (std > 0).all()
    assert regressor.score(CRYSTALS, Y) > 0.5
    copy.set_params(seed=3).fit(CRYSTALS, Y)
    assert not np.array_equal(copy.predict(CRYSTALS), mean)


def test_structures_and_atoms_are_crystals_too() -> None:
    regressor = CrystalRegressor().fit([c.structure for c in CRYSTALS], Y)
    np.testing.assert_allclose(
        regressor.predict([c.to_atoms() for c in CRYSTALS]),
        regressor.predict(CRYSTALS), atol=1e-8,
    )  # fmt: skip
    with pytest.raises(SurrogateError, match="row 0: expected a Crystal"):
        regressor.predict(["NaCl"])
    with pytest.raises(SurrogateError, match="one label for each of 40"):
        regressor.fit(CRYSTALS, Y[:3])


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"kind": "gausian_process"}, "did you mean gaussian_process"),
        ({"kind": "random_forest", "tres": 3}, "surrogate.tres: unknown key"),
        ("gaussian_process", "expected a surrogate recipe, or its fields"),
        ({}, "expected a block with a 'kind:' key"),
    ],
)
def test_a_wrong_recipe_gets_a_sentence(recipe: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=r"^CrystalRegressor: ") as caught:
        CrystalRegressor(recipe).fit(CRYSTALS, Y)
    assert message in str(caught.value) and "pydantic" not in str(caught.value)


@pytest.mark.parametrize("y", [["a"] * 40, [[1.0], [2.0, 3.0]], [object()] * 40])
def test_labels_that_are_no_numbers_get_a_sentence(y: Any) -> None:
    with pytest.raises(SurrogateError, match="expected one number for each crystal"):
        CrystalRegressor().fit(CRYSTALS, y)


def test_a_checkpoint_of_an_unknown_kind_gets_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "new", Checkpoint({"kind": "oracle"}, {}, {}))
    with pytest.raises(SurrogateError, match="unknown kind 'oracle'") as caught:
        load(tmp_path / "new")
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "new")) and "version that wrote it" in said
    assert "validation error" not in said


def test_cross_validation_and_grid_search() -> None:
    scores = cross_val_score(
        CrystalRegressor(), CRYSTALS, Y, cv=4, scoring="neg_mean_absolute_error"
    )
    assert scores.shape == (4,) and (scores > -1.0).all()
    recipes = [RandomForestRecipe(trees=t, threads=1) for t in (10, 20)]
    search = GridSearchCV(CrystalRegressor(), {"recipe": recipes}, cv=2)
    assert search.fit(CRYSTALS, Y).best_params_["recipe"] in recipes
