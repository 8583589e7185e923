"""Every network and every surrogate passes the shipped conformance suite."""

from pathlib import Path

import pytest

from surrogates.base import Surrogate
from surrogates.networks.recipes import (
    ALIGNNRecipe,
    AnyNetwork,
    CGCNNRecipe,
    CoGNRecipe,
    NetworkEnsembleRecipe,
    PaiNNRecipe,
)
from surrogates.recipes import (
    AnySurrogate,
    AutoRecipe,
    DeepKernelRecipe,
    GaussianProcessRecipe,
    LastLayerRecipe,
    RandomForestRecipe,
    ZeroShotRecipe,
)
from surrogates.testing import check_network, check_surrogate

NETWORKS = [
    CoGNRecipe(width=12, blocks=2),
    CGCNNRecipe(width=12, blocks=2),
    PaiNNRecipe(width=12, blocks=2),
    ALIGNNRecipe(width=12, blocks=1, plain_blocks=1),
]
SURROGATES = [
    *(
        NetworkEnsembleRecipe(members=3, epochs=3, network=n, threads=1)
        for n in NETWORKS
    ),
    GaussianProcessRecipe(threads=1),
    GaussianProcessRecipe(
        threads=1, kernel="additive", features="composition+environments"
    ),
    RandomForestRecipe(trees=20, threads=1, calibration="isotonic"),
    LastLayerRecipe(width=16, folds=3, steps=60, threads=1, calibration="interval"),
    AutoRecipe(
        folds=2,
        candidates=(
            GaussianProcessRecipe(threads=1),
            RandomForestRecipe(trees=10, threads=1),
        ),
    ),
    DeepKernelRecipe(
        inducing=16, width=16, latent=4, folds=2, steps=20, passes=0, threads=1
    ),
]


@pytest.mark.parametrize("neighbours", [8, None])
@pytest.mark.parametrize("recipe", NETWORKS, ids=lambda r: r.kind)
def test_network(recipe: AnyNetwork, neighbours: int | None) -> None:
    check_network(recipe, neighbours=neighbours)


@pytest.mark.parametrize("recipe", SURROGATES, ids=lambda r: r.kind)
def test_surrogate(recipe: AnySurrogate, tmp_path: Path) -> None:
    def build(seed: int) -> Surrogate:
        return recipe.build(seed, tmp_path / "base")

    check_surrogate(build, tmp_path)


@pytest.mark.parametrize(
    "recipe",
    [
        GaussianProcessRecipe(features="chgnet", threads=1),
        GaussianProcessRecipe(trend="chgnet", threads=1),
        ZeroShotRecipe(threads=1),
    ],
    ids=["latents", "delta", "zero_shot"],
)
def test_surrogate_with_a_potential(recipe: AnySurrogate, tmp_path: Path) -> None:
    pytest.importorskip("chgnet")
    # CHGNet itself sums in float32, in another order for every way to write a cell
    check_surrogate(recipe.build, tmp_path, tolerance=1e-3)
