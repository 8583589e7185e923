"""Odd and broken crystals and labels, for every kind: an answer or a sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import MatdiscoError
from surrogates.base import Surrogate
from surrogates.gp.linear import BayesianLinear
from surrogates.networks.recipes import (
    ALIGNNRecipe,
    CGCNNRecipe,
    CoGNRecipe,
    NetworkEnsembleRecipe,
    PaiNNRecipe,
)
from surrogates.recipes import (
    AnySurrogate,
    AutoRecipe,
    CoregionalRecipe,
    DeepKernelRecipe,
    GaussianProcessRecipe,
    LastLayerRecipe,
    RandomForestRecipe,
    ZeroShotRecipe,
)
from surrogates.testing import toy_crystals

NETWORKS = {
    r.kind: r
    for r in (
        CoGNRecipe(width=8, blocks=1),
        CGCNNRecipe(width=8, blocks=1),
        PaiNNRecipe(width=8, blocks=1),
        ALIGNNRecipe(width=8, blocks=1, plain_blocks=0),
    )
}
KINDS: dict[str, AnySurrogate] = {
    **{
        f"{name}, {k or 'all'} neighbours": NetworkEnsembleRecipe(
            members=2, epochs=1, network=network, neighbours=k, cutoff=4.0, threads=1
        )
        for name, network in NETWORKS.items()
        for k in (6, None)
    },
    "several targets": NetworkEnsembleRecipe(
        members=2, epochs=1, network=NETWORKS["cogn"], auxiliary=("other",), threads=1
    ),
    "gaussian_process": GaussianProcessRecipe(
        threads=1, features="composition+environments", kernel="additive"
    ),
    "coregional": CoregionalRecipe(auxiliary=("other",), threads=1),
    "random_forest": RandomForestRecipe(trees=10, threads=1),
    "last_layer": LastLayerRecipe(width=8, folds=2, steps=5, threads=1),
    "deep_kernel": DeepKernelRecipe(
        inducing=8, width=8, latent=4, folds=2, steps=5, passes=0, threads=1
    ),
    "auto": AutoRecipe(
        folds=2,
        candidates=(
            GaussianProcessRecipe(threads=1),
            RandomForestRecipe(trees=10, threads=1),
        ),
    ),
    "latents": GaussianProcessRecipe(threads=1, features="chgnet_layers"),
    "zero_shot": ZeroShotRecipe(threads=1),
}  # fmt: skip
POTENTIALS = ("latents", "zero_shot")
LATTICE = Lattice.cubic(3.0)


def label(crystal: Crystal, value: float) -> Crystal:
    return crystal.with_labels(
        {"toy": Label(value, "eV/atom"), "other": Label(2 * value, "eV")}
    )


GOOD = [label(c, c.value("toy")) for c in toy_crystals(14)]
DATA = Dataset("toy", tuple(GOOD))


def cubic(name: str, a: float, *species: str) -> Crystal:
    spots = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])[: len(species)]
    return Crystal.from_arrays(name, a * np.eye(3), list(species), spots)


def large() -> Crystal:
    """400 atoms, B2 with a little noise."""
    grid = np.array([[i, j, k] for i in range(8) for j in range(10) for k in range(5)])
    noise = np.random.default_rng(0).normal(0, 0.005, (400, 3))
    return Crystal.from_arrays(
        "large", np.diag([8, 10, 5]) * 2.6, ["Al", "Ni"] * 200,
        grid / [8, 10, 5] + noise,
    )  # fmt: skip


ODD: dict[str, Callable[[], Crystal]] = {
    "one atom": lambda: cubic("one", 2.6, "Al"),
    "400 atoms": large,
    "no neighbours": lambda: cubic("lonely", 20.0, "Al"),
}
BROKEN: dict[str, tuple[Crystal, str]] = {
    "disordered": (
        Crystal("mixed-1", Structure(LATTICE, [{"Al": 0.5, "Ni": 0.5}], [[0, 0, 0]])),
        "mixed-1: has disordered sites",
    ),
    "dummy": (
        Crystal("dummy-1", Structure(LATTICE, ["X"], [[0, 0, 0]])),
        "dummy-1: holds a species that is no element",
    ),
    "too heavy": (cubic("rf-1", 4.0, "Rf"), "rf-1: element with atomic number 104"),
    "position": (
        Crystal.from_arrays(
            "nan-1", 3 * np.eye(3), ["Al"], np.array([[0.0, np.nan, 0.0]])
        ),
        "nan-1: a cell vector or an atom's position is not a number",
    ),
    "no atoms": (Crystal("none-1", Structure(LATTICE, [], [])), "none-1: has no atoms"),
}


@cache
def fitted(name: str) -> Surrogate:
    if name in POTENTIALS:
        pytest.importorskip("chgnet")
    surrogate = KINDS[name].build(0)
    surrogate.fit(DATA, "toy")
    return surrogate


@pytest.mark.parametrize("name", KINDS)
def test_odd_crystals_get_an_answer(name: str) -> None:
    surrogate = fitted(name)
    with_odd = [GOOD[0], *(make() for make in ODD.values())]
    if name in POTENTIALS:  # CHGNet refuses isolated atoms
        with pytest.raises(MatdiscoError, match="lonely: CHGNet makes no graph"):
            surrogate.predict(with_odd)
        with_odd.pop()
    found = surrogate.predict(with_odd)
    assert np.isfinite(found.mean).all() and (found.std > 0).all()
    assert found.mean[0] == pytest.approx(
        surrogate.predict(GOOD[:1]).mean[0], abs=1e-5
    )  # fmt: skip
    assert len(surrogate.predict([])) == 0


@pytest.mark.parametrize("name", KINDS)
def test_broken_crystals_are_refused_by_name(name: str) -> None:
    surrogate = fitted(name)
    for crystal, sentence in BROKEN.values():
        with pytest.raises(MatdiscoError, match=sentence):
            surrogate.predict([GOOD[0], crystal])
    # an element that nobody learnt: networks and potentials refuse, the rest are unsure
    heavy = cubic("cf-1", 4.0, "Cf")
    if "neighbours" in name or name in ("several targets", *POTENTIALS):
        with pytest.raises(MatdiscoError, match=r"cf-1.*(Cf is in none|number 98)"):
            surrogate.predict([heavy])
    else:
        assert np.isfinite(surrogate.predict([heavy]).std).all()


@pytest.mark.parametrize("name", KINDS)
def test_labels_that_teach_nothing_are_refused(name: str) -> None:
    if name in POTENTIALS:
        pytest.importorskip("chgnet")
    wrong = label(GOOD[3], float("nan"))
    for data, sentence in (
        (Dataset("toy", (*GOOD[:3], wrong, *GOOD[4:])), f"{wrong.id}: label .* is nan"),
        (DATA[:0], "dataset toy: 0 records with label toy, expected at least"),
        (DATA[:1], "dataset toy: 1 record with label toy, expected at least"),
    ):
        with pytest.raises(MatdiscoError, match=sentence):
            KINDS[name].build(0).fit(data, "toy")


def test_an_element_without_a_reference_makes_zero_shot_unsure() -> None:
    """Six elements with references 1 eV apart; the seventh was never seen."""
    draw = np.random.default_rng(0)
    fractions = np.zeros((80, 7))
    for row in fractions:
        row[draw.choice(6, size=2, replace=False)] = 0.5
    energy = draw.normal(-5, 1, (80, 1))
    references = np.arange(6) - 2.5
    y = energy[:, 0] - fractions[:, :6] @ references + draw.normal(0, 0.02, 80)
    line = BayesianLinear.fit(np.concatenate([energy, fractions], axis=1), y, alike=1)
    asked = np.array([[-5, 0.5, 0.5, 0, 0, 0, 0, 0], [-5, 0.5, 0, 0, 0, 0, 0, 0.5]])
    known, unknown = np.linalg.norm(line.factors(asked), axis=0)
    assert known < 0.05
    # half of the atoms have a reference that is uncertain by about the others' spread
    assert 0.25 * references.std() < unknown < references.std()
