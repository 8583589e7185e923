"""Every network and every surrogate passes the shipped conformance suite."""

from pathlib import Path

import pytest

from surrogates.base import Surrogate
from surrogates.networks.recipes import (
    AnyNetwork,
    CGCNNRecipe,
    CoGNRecipe,
    NetworkEnsembleRecipe,
)
from surrogates.recipes import AnySurrogate, GaussianProcessRecipe, RandomForestRecipe
from surrogates.testing import check_network, check_surrogate

NETWORKS = [CoGNRecipe(width=12, blocks=2), CGCNNRecipe(width=12, blocks=2)]
SURROGATES = [
    *(
        NetworkEnsembleRecipe(members=3, epochs=3, network=n, threads=1)
        for n in NETWORKS
    ),
    GaussianProcessRecipe(threads=1),
    RandomForestRecipe(trees=20, threads=1),
]


@pytest.mark.parametrize("neighbours", [8, None])
@pytest.mark.parametrize("recipe", NETWORKS, ids=lambda r: r.kind)
def test_network(recipe: AnyNetwork, neighbours: int | None) -> None:
    check_network(recipe, neighbours=neighbours)


@pytest.mark.parametrize(
    "recipe", SURROGATES, ids=["cogn", "cgcnn", "gaussian_process", "random_forest"]
)
def test_surrogate(recipe: AnySurrogate, tmp_path: Path) -> None:
    def build(seed: int) -> Surrogate:
        return recipe.build(seed, tmp_path / "base")

    check_surrogate(build, tmp_path)


def test_gaussian_process_on_latents(tmp_path: Path) -> None:
    pytest.importorskip("chgnet")
    recipe = GaussianProcessRecipe(features="chgnet", threads=1)
    check_surrogate(recipe.build, tmp_path, tolerance=1e-3)
