"""Auto chooses by likelihood on folds left out, and says why."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.auto import Auto
from surrogates.checkpoint import load
from surrogates.recipes import (
    AutoRecipe,
    GaussianProcessRecipe,
    RandomForestRecipe,
    ZeroShotRecipe,
)
from surrogates.testing import toy_crystals

GP = GaussianProcessRecipe(threads=1)
FOREST = RandomForestRecipe(trees=20, threads=1)


class Nothing:
    """An embedding that tells crystals apart by nothing."""

    name, version, width = "nothing", "1", 1

    def __call__(self, crystals: Sequence[Crystal]) -> np.ndarray:
        return np.ones((len(crystals), 1))


def linear_in_fractions() -> Dataset:
    """Labels that fractions explain completely."""
    weight = {"Al": 0.0, "Ni": 1.0, "Cu": 2.0, "Ti": 4.0}
    made = []
    for c in toy_crystals(60):
        value = sum(weight[s.specie.symbol] for s in c.structure) / c.n_atoms
        made.append(c.with_labels({"toy": Label(value, "eV/atom")}))
    return Dataset("linear", tuple(made))


def test_the_better_one_wins_and_the_reason_is_kept(tmp_path: Path) -> None:
    blind = GaussianProcessRecipe(features=f"{__name__}:Nothing", threads=1)
    fractions = GaussianProcessRecipe(features="fractions", threads=1)
    surrogate = Auto(AutoRecipe(candidates=(blind, fractions), folds=6))
    report = surrogate.fit(linear_in_fractions(), "toy")
    assert report.n_train == 60
    assert "gaussian process on fractions" in surrogate.describe()["surrogate"]
    assert surrogate.why().startswith("chosen: gaussian_process on fractions")
    surrogate.save(tmp_path / "auto")
    loaded = load(tmp_path / "auto")
    assert isinstance(loaded, Auto) and loaded.why() == surrogate.why()


def test_folds_keep_chemical_systems_whole() -> None:
    data = linear_in_fractions()
    auto = Auto(AutoRecipe(candidates=(GP,), folds=2))
    folds = auto._folds(data)
    assert np.bincount(folds).min() > 10
    for system in {c.chemical_system for c in data.crystals}:
        rows = [i for i, c in enumerate(data.crystals) if c.chemical_system == system]
        assert len(set(folds[rows].tolist())) == 1


def test_a_candidate_that_fails_is_passed_over() -> None:
    broken = GaussianProcessRecipe(max_records=3, threads=1)
    auto = Auto(AutoRecipe(candidates=(broken, GP), folds=2))
    auto.fit(linear_in_fractions(), "toy")
    assert "not fitted" in auto.why() and "max_records" in auto.why()
    with pytest.raises(SurrogateError, match="no candidate could be fitted"):
        Auto(AutoRecipe(candidates=(broken,))).fit(linear_in_fractions(), "toy")
    with pytest.raises(SurrogateError, match="9 records"):
        Auto(AutoRecipe()).fit(linear_in_fractions()[:9], "toy")


def test_default_candidates_and_what_they_need() -> None:
    assert len(AutoRecipe().options()) >= 3
    recipe = AutoRecipe(candidates=(ZeroShotRecipe(), GP))
    assert recipe.packages == (("chgnet", "chgnet"),)
    assert "the best of" in Auto(recipe).describe()["surrogate"]
