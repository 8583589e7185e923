"""What each network sees, graph forms that agree, several targets, precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.checkpoint import load
from surrogates.ensemble import NetworkEnsemble
from surrogates.graphs import pack
from surrogates.losses import LOSSES
from surrogates.neighbors import NeighborLists
from surrogates.networks.base import CrystalNetwork
from surrogates.networks.kinds import (
    ALIGNNRecipe,
    AnyNetwork,
    CGCNNRecipe,
    CoGNRecipe,
    PaiNNRecipe,
)
from surrogates.networks.learning import evaluate
from surrogates.networks.recipes import NetworkEnsembleRecipe
from surrogates.networks.segments import GraphBatch
from surrogates.testing import check_network, toy_crystals

NETWORKS: list[AnyNetwork] = [
    CoGNRecipe(width=12, blocks=2),
    CGCNNRecipe(width=12, blocks=2),
    PaiNNRecipe(width=12, blocks=2),
    ALIGNNRecipe(width=12, blocks=1, plain_blocks=1),
]
every_network = pytest.mark.parametrize("recipe", NETWORKS, ids=lambda r: r.kind)


def built(recipe: AnyNetwork, cutoff: float = 4.5) -> CrystalNetwork:
    return recipe.build(
        members=2, cutoff=cutoff, bonds=8.0, generator=torch.Generator().manual_seed(0)
    )


def symmetric() -> dict[str, tuple[Crystal, int]]:
    """Crystals and how many atoms their asymmetric units have."""
    halves = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    fcc = np.array([[0, 0, 0], *halves])
    body = np.array([[0.5, 0.5, 0.5], [0, 0, 0], *halves])
    hexagonal = np.array([[2.66, 0, 0], [-1.33, 2.3036, 0], [0, 0, 4.95]])
    x = 0.3048
    rutile = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [x, x, 0], [-x, -x, 0],
                       [0.5 + x, 0.5 - x, 0.5], [0.5 - x, 0.5 + x, 0.5]])  # fmt: skip
    made = {
        "fcc": (3.6 * np.eye(3), ["Cu"] * 4, fcc, 1),
        "L1_2": (3.7 * np.eye(3), ["Au", "Cu", "Cu", "Cu"], fcc, 2),
        "perovskite": (3.9 * np.eye(3), ["Ti", "Ba", "O", "O", "O"], body, 3),
        "hcp": (hexagonal, ["Zn"] * 2, np.array([[1 / 3, 2 / 3, 0.25],
                                                 [2 / 3, 1 / 3, 0.75]]), 1),
        "rutile": (np.diag([4.59, 4.59, 2.96]), ["Ti"] * 2 + ["O"] * 4, rutile, 2),
    }  # fmt: skip
    return {
        name: (Crystal.from_arrays(name, cell, species, spots), n)
        for name, (cell, species, spots, n) in made.items()
    }


@every_network
def test_every_form_of_graph_gives_the_same_answer(recipe: AnyNetwork) -> None:
    crystals = [c for c, _ in symmetric().values()] + toy_crystals(3)
    network = built(recipe)
    answers = [
        np.stack(
            evaluate(network, pack(crystals, neighbours=12, cutoff=4.5, form=form), 2)
        )
        for form in recipe.forms
    ]
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], atol=2e-5)


def test_the_asymmetric_unit_holds_one_atom_of_each_orbit() -> None:
    crystals = symmetric()
    graphs = pack(
        [c for c, _ in crystals.values()], neighbours=12, cutoff=4.5,
        form="asymmetric_unit",
    )  # fmt: skip
    assert np.diff(graphs.node_offsets).tolist() == [n for _, n in crystals.values()]
    shares = np.add.reduceat(graphs.share, graphs.node_offsets[:-1])
    np.testing.assert_allclose(shares, 1.0, atol=1e-6)
    assert graphs.vector is not None
    np.testing.assert_allclose(
        np.linalg.norm(graphs.vector, axis=1), graphs.distance, atol=1e-5
    )
    for k in range(len(graphs)):  # a batch needs them sorted
        one = graphs.take([k])
        assert (np.diff(one.target) >= 0).all()
        assert one.target.max() < len(one.numbers) > one.source.max()


@every_network
def test_only_networks_that_read_angles_tell_bent_molecules_apart(
    recipe: AnyNetwork,
) -> None:
    def molecule(degrees: float) -> Crystal:
        """Water-like, bonds of 2 Å; the cutoff leaves out the far pair."""
        a = np.deg2rad(degrees)
        ends = [[0, 0, 0], [2, 0, 0], [2 * np.cos(a), 2 * np.sin(a), 0]]
        return Crystal.from_arrays(
            "bent", 30 * np.eye(3), ["O", "H", "H"], np.array(ends) / 30 + 0.3
        )

    graphs = pack([molecule(100), molecule(150)], neighbours=None, cutoff=2.5,
                  form=recipe.forms[0])  # fmt: skip
    mean, _ = evaluate(built(recipe, cutoff=2.5), graphs, 2)
    apart = np.abs(mean[:, 0] - mean[:, 1]).max()
    assert (apart > 1e-5) if recipe.kind in ("painn", "alignn") else (apart < 1e-6)


@every_network
def test_a_hard_cutoff_is_caught(
    recipe: AnyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = property(lambda lists: np.ones(len(lists.distances)))
    monkeypatch.setattr(NeighborLists, "weights", whole)
    with pytest.raises(AssertionError, match="smooth at"):
        check_network(recipe, neighbours=None)


def test_graphs_that_lose_what_a_network_reads_are_refused() -> None:
    with pytest.raises(ValidationError, match="lose what a painn network reads"):
        NetworkEnsembleRecipe(network=PaiNNRecipe(), graphs="merged")
    merged = pack(toy_crystals(2), neighbours=6, cutoff=4.5)
    with pytest.raises(SurrogateError, match="needs bond vectors"):
        built(NETWORKS[2])(GraphBatch.of(merged, 2))


@every_network
def test_bfloat16_products_stay_close_and_sums_are_float32(recipe: AnyNetwork) -> None:
    """What a CUDA card would do, here on the CPU, forward and backward."""
    network = built(recipe)
    batch = GraphBatch.of(
        pack(toy_crystals(4), neighbours=8, cutoff=4.5, form=recipe.forms[0]), 2
    )
    exact, _ = network(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = network(batch)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().max() < 0.05
    rough.float().square().sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.dtype == torch.float32, name
            assert parameter.grad.isfinite().all(), name


# ---- ensembles

DATA = tuple(toy_crystals(40))


def ensemble(**changes: object) -> NetworkEnsemble:
    fields: dict[str, object] = {
        "network": CoGNRecipe(width=8, blocks=1), "members": 3, "epochs": 3,
        "neighbours": 6, "threads": 1,
    }  # fmt: skip
    return NetworkEnsemble(NetworkEnsembleRecipe(**{**fields, **changes}))  # type: ignore[arg-type]


def test_on_a_cpu_precision_and_device_change_nothing() -> None:
    one, two = ensemble(device="cpu"), ensemble(precision="bfloat16")
    for each in (one, two):
        each.fit(Dataset("toy", DATA), "toy")
    if not torch.cuda.is_available():
        assert np.array_equal(one.predict(DATA).mean, two.predict(DATA).mean)
        with pytest.raises(SurrogateError, match="sees no CUDA card"):
            ensemble(device="cuda").fit(Dataset("toy", DATA), "toy")
    assert one.recipe.digest() == ensemble().recipe.digest()


def with_other(factor: float = 2.0, known: int = 3) -> Dataset:
    """A second label on two of three records; a third of them lack the first."""
    made = []
    for i, crystal in enumerate(DATA):
        labels = dict(crystal.labels)
        if i % known:
            labels["other"] = Label(factor * crystal.value("toy") + 1.0, "eV")
        if i % 7 == 1:
            del labels["toy"]
        made.append(Crystal(crystal.id, crystal.structure, labels))
    return Dataset("both", tuple(made))


def test_several_targets_share_one_network(tmp_path: Path) -> None:
    data = with_other()
    several = ensemble(auxiliary=("other",), epochs=40, average=0.5, learning_rate=0.02)
    report = several.fit(data, "toy")
    usable = sum(bool(c.labels) for c in data.crystals)
    assert report.n_train + report.n_held_out == usable
    assert usable > sum("toy" in c.labels for c in data.crystals)
    both = several.predict_all(DATA)
    assert list(both) == ["toy", "other"]
    assert np.array_equal(both["toy"].mean, several.predict(DATA).mean)
    truth = np.array([c.value("toy") for c in DATA])
    for name, scale, shift in (("toy", 1.0, 0.0), ("other", 2.0, 1.0)):
        error = np.abs(both[name].mean - (scale * truth + shift))
        assert error.mean() < 0.7 * scale * np.abs(truth - truth.mean()).mean(), name
    several.save(tmp_path / "s")
    again = load(tmp_path / "s")
    assert isinstance(again, NetworkEnsemble)
    for name, found in again.predict_all(DATA).items():
        assert np.array_equal(found.mean, both[name].mean)
        assert np.array_equal(found.std, both[name].std)


def test_a_missing_label_teaches_nothing() -> None:
    for loss in LOSSES.values():
        mean = torch.zeros(2, 3, 2, requires_grad=True)
        log_variance = torch.zeros(2, 3, 2, requires_grad=True)
        weights = torch.ones(2, 3, 2)
        weights[..., 1] = 0.0
        loss(mean, log_variance, torch.ones(3, 2), weights).backward()
        assert mean.grad is not None and log_variance.grad is not None
        assert (mean.grad[..., 0] != 0).all() and (mean.grad[..., 1] == 0).all()
        assert (log_variance.grad[..., 1] == 0).all()


def test_wrong_auxiliary_labels_are_refused() -> None:
    with pytest.raises(SurrogateError, match="toy is the target itself"):
        ensemble(auxiliary=("toy",)).fit(with_other(), "toy")
    with pytest.raises(SurrogateError, match="0 records with label absent"):
        ensemble(auxiliary=("absent",)).fit(with_other(), "toy")
    with pytest.raises(ValidationError, match="auxiliary labels are learnt from"):
        NetworkEnsembleRecipe(auxiliary=("other",), pretrain="shipped:intermetallics")
