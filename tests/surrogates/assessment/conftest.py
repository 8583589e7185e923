"""Real records, and small real surrogates fitted on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from assessed import FOREST, TARGET

from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from surrogates.recipes import GaussianProcessRecipe


@pytest.fixture(scope="session")
def records() -> Dataset:
    """300 relaxed Al-Ni-Ti crystals, no two of one structure."""
    from matdisco.data.duplicates import group_duplicates

    data = Dataset.open(resolve("shipped:al-ni-ti"))
    data = data.take(np.flatnonzero(np.isfinite(data.values(TARGET))))
    data = data.take(np.random.default_rng(0).permutation(len(data))[:420])
    groups = group_duplicates(data.crystals)
    return data.take([g[0] for g in groups][:300])


@pytest.fixture(scope="session")
def train(records: Dataset) -> Dataset:
    return records[:200]


@pytest.fixture(scope="session")
def test(records: Dataset) -> Dataset:
    return records[200:]


@pytest.fixture(scope="session")
def forest(train: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forest") / "forest"
    surrogate = FOREST.build(0)
    surrogate.fit(train, TARGET)
    surrogate.save(folder)
    return folder


@pytest.fixture(scope="session")
def process(train: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("process") / "process"
    surrogate = GaussianProcessRecipe().build(0)
    surrogate.fit(train, TARGET)
    surrogate.save(folder)
    return folder
