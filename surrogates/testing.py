"""Conformance tests for networks and surrogates: physics is the test.

A new network is done when :func:`check_network` passes, a new surrogate when
:func:`check_surrogate` does. All raise AssertionError with what differed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import Prediction, Surrogate
from surrogates.checkpoint import load
from surrogates.graphs import pack
from surrogates.networks.base import CrystalNetwork
from surrogates.networks.kinds import AnyNetwork, GraphForm
from surrogates.networks.learning import evaluate

SINGLE = 2e-5
"""Largest difference that float32 sums in another order may make, for outputs of
order 1."""
SMOOTH = 2e-3
"""Largest change of an output of order 1 while an atom moves by 1e-4 Å."""
_CUTOFF = 4.5  # Å


def toy_crystals(n: int = 24, seed: int = 0) -> list[Crystal]:
    """Return small distorted binary crystals of Al, Ni, Cu and Ti with one label.

    The label ``toy`` is a smooth function of volume and composition, eV/atom.
    """
    draw = np.random.default_rng(seed)
    elements = ["Al", "Ni", "Cu", "Ti"]
    made = []
    for i in range(n):
        a, b = draw.choice(4, size=2, replace=False)
        n_atoms = int(draw.integers(1, 5))
        edge = 2.9 * n_atoms ** (1 / 3) * draw.uniform(0.95, 1.1)
        cell = edge * (np.eye(3) + 0.08 * draw.standard_normal((3, 3)))
        spots = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0, 0.5, 0.5]])
        fractional = spots[:n_atoms] + 0.02 * draw.standard_normal((n_atoms, 3))
        species: list[str] = [
            elements[a] if k % 2 == 0 else elements[b] for k in range(n_atoms)
        ]
        volume = abs(np.linalg.det(cell)) / n_atoms
        value = 0.02 * (volume - 25.0) + 0.3 * (a - 1.5) - 0.1 * (n_atoms > 1) * b
        label = Label(float(value), "eV/atom", "toy")
        made.append(
            Crystal.from_arrays(
                f"toy-{i}", cell, species, fractional, labels={"toy": label}
            )
        )
    return made


def variants(crystal: Crystal, seed: int = 0) -> dict[str, Crystal]:
    """Return the same crystal, written differently: name of the change → crystal."""
    draw = np.random.default_rng(seed)
    cell = np.array(crystal.structure.lattice.matrix)
    spots = np.array(crystal.structure.frac_coords)
    numbers = crystal.atomic_numbers
    q, r = np.linalg.qr(draw.standard_normal((3, 3)))
    rotation = q * np.sign(np.diag(r))
    order = draw.permutation(len(numbers))
    shear = np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]])  # unimodular
    double = [2, 1, 2]
    shifts = np.array([[i, 0, k] for i in range(2) for k in range(2)])
    tiled = (spots[None] + shifts[:, None]).reshape(-1, 3) / double

    def make(
        name: str, cell: np.ndarray, numbers: np.ndarray, spots: np.ndarray
    ) -> Crystal:
        return Crystal.from_arrays(
            f"{crystal.id} ({name})", cell, numbers.tolist(), spots
        )

    return {
        "rotation": make("rotation", cell @ rotation.T, numbers, spots),
        "translation": make("translation", cell, numbers, spots + draw.random(3)),
        "permutation": make("permutation", cell, numbers[order], spots[order]),
        "cell choice": make(
            "cell choice", shear @ cell, numbers, spots @ np.linalg.inv(shear)
        ),
        "supercell": make(
            "supercell", cell * np.array(double)[:, None], np.tile(numbers, 4), tiled
        ),
    }


def check_network(
    recipe: AnyNetwork, *, neighbours: int | None = 8, form: GraphForm | None = None
) -> None:
    """Check invariances, batching, smoothness and reproducible weights.

    Args:
        recipe: of the network.
        neighbours: as in :func:`surrogates.graphs.pack`.
        form: as there; None takes the network's own.
    """

    def build(seed: int) -> CrystalNetwork:
        return recipe.build(
            members=3, cutoff=_CUTOFF, bonds=8.0,
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip

    def outputs(
        crystals: Sequence[Crystal], network: CrystalNetwork | None = None
    ) -> np.ndarray:
        graphs = pack(
            crystals, neighbours=neighbours, cutoff=_CUTOFF,
            form=form or recipe.forms[0],
        )  # fmt: skip
        both = evaluate(network or first, graphs, 3)
        return np.stack(both)[..., 0]  # (2, members, n)

    crystals, first, twin = toy_crystals(6), build(0), build(1)
    together = outputs(crystals)
    assert np.array_equal(together, outputs(crystals, build(0))), "two builds differ"
    assert not np.allclose(together, outputs(crystals, twin)), "the seed is ignored"
    assert np.ptp(together[0], axis=0).max() > 1e-3, "members are all the same"
    twin.load_state_dict(first.state_dict())
    assert np.array_equal(together, outputs(crystals, twin)), (
        "a network with the weights of another predicts something else"
    )
    for i, crystal in enumerate(crystals):
        alone = outputs([crystal])[..., 0]
        _close(alone, together[..., i], SINGLE, f"{crystal.id}: batch and single")
        for name, same in variants(crystal).items():
            _close(alone, outputs([same])[..., 0], SINGLE, f"{crystal.id}: {name}")
    _check_smooth(outputs)


def _check_smooth(outputs: Callable[[Sequence[Crystal]], np.ndarray]) -> None:
    """Pull a layer through every cutoff; no output may jump.

    A coarse walk finds the three steps where the outputs bend most; each is cut
    three times into eighths around its largest change. A slope shrinks with the step, a
    jump does not.
    """
    spots = np.array([[0, 0, 0], [0.5, 0.5, 0.45]])

    def walk(heights: np.ndarray) -> np.ndarray:
        slabs = [
            Crystal.from_arrays("slab", np.diag([2.8, 2.9, h]), ["Al", "Ni"], spots)
            for h in heights.ravel()
        ]
        values = outputs(slabs)
        return values.reshape(-1, *heights.shape)  # (outputs, ...)

    heights = np.linspace(3.0, 7.0, 81)
    steps = np.diff(walk(heights))
    bend = np.abs(np.diff(steps)).max(axis=0)
    low, width = heights[np.argsort(bend)[-3:] + 1], heights[1] - heights[0]
    low = np.concatenate([low, low - width])  # a bend is between two steps
    for _ in range(3):
        finer = low[:, None] + width * np.linspace(0, 1, 9)
        change = np.abs(np.diff(walk(finer))).max(axis=0)  # (steps, 8)
        low = finer[np.arange(len(low)), change.argmax(axis=1)]
        width /= 8
    worst = int(change.max(axis=1).argmax())
    _close(float(change.max()), 0.0, SMOOTH, f"smooth at {low[worst]:.4f} Å")


def check_surrogate(
    factory: Callable[[int], Surrogate],
    folder: Path,
    *,
    target: str = "toy",
    tolerance: float = 5 * SINGLE,
) -> None:
    """Check determinism, invariance, joint covariance and the checkpoint.

    Args:
        factory: seed → unfitted surrogate.
        folder: an empty folder to write into.
        target: a label of :func:`toy_crystals`.
        tolerance: largest difference between two ways to write one crystal.
    """
    crystals = toy_crystals(40)
    data = Dataset("toy", tuple(crystals[:30]))
    surrogate = factory(0)
    assert isinstance(surrogate, Surrogate), "does not have the Surrogate methods"
    report = surrogate.fit(data, target)
    assert report.n_train > 0 and report.seconds >= 0
    first = surrogate.predict(crystals)
    _check_joint(first)
    again = factory(0)
    again.fit(data, target)
    _same(first, again.predict(crystals), "two fits with one seed")
    surrogate.fit(data[:20], target)
    surrogate.fit(data, target)
    _same(first, surrogate.predict(crystals), "a refit after other data")
    surrogate.save(folder / "saved")
    _same(first, load(folder / "saved").predict(crystals), "the loaded checkpoint")
    scale = float(np.ptp(data.values(target)))
    for i, crystal in enumerate(crystals[:4]):
        named = variants(crystal)
        found = surrogate.predict(list(named.values()))
        for k, name in enumerate(named):
            _close(
                found.mean[k], first.mean[i], tolerance * max(scale, 1.0),
                f"{crystal.id}: {name}",
            )  # fmt: skip
    assert len(surrogate.predict([])) == 0, "no crystals should give no predictions"
    fresh = factory(1)
    for refused in (
        lambda: fresh.predict(crystals),
        lambda: fresh.fit(data[:0], target),
    ):
        try:
            refused()
        except SurrogateError:
            continue
        raise AssertionError("unfitted use, or no records, is not refused")
    assert all(isinstance(v, str) for v in surrogate.describe().values())


def _check_joint(prediction: Prediction) -> None:
    assert (prediction.std > 0).all(), "a standard deviation is zero"
    diagonal = np.sqrt(np.diag(prediction.covariance))
    _close(diagonal, prediction.std, 1e-9, "std and covariance")
    least = np.linalg.eigvalsh(prediction.covariance).min()
    assert least > -1e-9, f"covariance is not positive ({least=})"


def _same(a: Prediction, b: Prediction, what: str) -> None:
    for name in ("mean", "factors", "residual"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), (
            f"{what}: {name} differs in bits"
        )


def _close(
    a: np.ndarray | float, b: np.ndarray | float, tolerance: float, what: str
) -> None:
    gap = float(np.max(np.abs(np.asarray(a) - np.asarray(b))))
    assert gap <= tolerance, (
        f"{what}: {gap:.2e} apart, expected at most {tolerance:.0e}"
    )
