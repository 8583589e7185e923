"""Every kind that trains goes on after a kill, and has the settings of a training."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.elements import SYMBOLS
from matdisco.errors import SurrogateError
from surrogates import ensemble, training
from surrogates.base import HistoryRow, Surrogate
from surrogates.networks.recipes import CoGNRecipe
from surrogates.recipes import (
    AnySurrogate,
    AutoRecipe,
    DeepKernelRecipe,
    LastLayerRecipe,
    NetworkEnsembleRecipe,
    RandomForestRecipe,
)
from surrogates.tabular import base
from surrogates.tabular.perceptrons import PerceptronTask
from surrogates.training_state import Resume

ROOT = Path(__file__).parents[2]


def salts(n: int) -> Dataset:
    """Return CsCl-like crystals of twelve metals: enough to leave elements out."""
    draw, metals = np.random.default_rng(0), SYMBOLS[20:32]
    made, spots = [], np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])
    for i in range(n):
        a, b = draw.choice(len(metals), size=2, replace=False)
        edge = float(draw.uniform(2.8, 3.2))
        label = {"toy": Label(0.1 * (a - b) + edge, "eV/atom")}
        made.append(
            Crystal.from_arrays(
                f"{i}", edge * np.eye(3), [metals[a], metals[b]], spots, labels=label
            )
        )
    return Dataset("salts", tuple(made))


DATA = salts(70)
NEW = DATA.crystals[:8]
KINDS: dict[str, AnySurrogate] = {
    "last_layer": LastLayerRecipe(width=8, folds=2, steps=250, threads=1),
    "deep_kernel": DeepKernelRecipe(
        inducing=8, width=8, latent=4, steps=40, passes=0, folds=2, batch_size=10,
        threads=1,
    ),
    "network_ensemble": NetworkEnsembleRecipe(
        network=CoGNRecipe(width=8, blocks=1), members=2, epochs=5, neighbours=6,
        batch_size=32, patience=1.0, threads=1,
    ),
}  # fmt: skip


def answer(surrogate: Surrogate) -> list[np.ndarray]:
    found = surrogate.predict(NEW)
    return [found.mean, found.factors, found.residual]


def fitted(kind: str, folder: Path | None, rows: list[HistoryRow]) -> Surrogate:
    surrogate = KINDS[kind].build(3, folder)
    report = surrogate.fit(DATA, "toy", progress=rows.append)
    main = [dict(r) for r in rows if r["stage"] == "fit"]
    assert [dict(r) for r in report.history] == main
    return surrogate


def count(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows by one with every step of a training."""
    steps, step = list[None](), training._step

    def counted(*arguments: object) -> float:
        steps.append(None)
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_step", counted)
    return steps


class Stop(BaseException):
    """Stands for a kill, which nothing may catch, without a process of its own."""


def stop() -> None:
    raise Stop


def begin(
    data: Dataset, kind: str, folder: Path, at: int, die: Callable[[], None]
) -> None:
    """Fit until a step, which ``die`` keeps from being made."""
    done, step = 0, training._step

    def counted(*arguments: object) -> float:
        nonlocal done
        done += 1
        if done == at:
            die()
        return step(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        for place in (ensemble, base):
            patch.setattr(place, "Resume", partial(Resume, seconds=0))
        patch.setattr(training, "_step", counted)
        KINDS[kind].build(3, folder).fit(data, "toy")


def killed(folder: Path) -> None:
    """Kill a process of its own that fits a deep kernel."""
    text = (
        "import os, signal, sys, test_resume as t\nfrom pathlib import Path\n"
        f"t.begin(t.DATA, 'deep_kernel', Path({str(folder)!r}), {SECOND}, "
        "lambda: os.kill(os.getpid(), signal.SIGKILL))"
    )
    path = os.pathsep.join((str(ROOT), str(Path(__file__).parent)))
    environment = {**os.environ, "PYTHONPATH": path}
    code = subprocess.run([sys.executable, "-c", text], env=environment).returncode
    assert code == -signal.SIGKILL


SECOND = 4 * 40 + 40 + 2
"""A step of the deep kernel in the second training after the four main ones."""


@pytest.mark.parametrize(
    ("kind", "step", "kept", "really"),
    [
        ("network_ensemble", 4, 2, False),
        ("last_layer", 210, 200, False),
        ("last_layer", 280, 250, False),
        ("deep_kernel", SECOND, SECOND - 2, True),
    ],
)
def test_killed_and_fitted_again_it_is_the_same(
    kind: str,
    step: int,
    kept: int,
    really: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the main training, or in one that tells of unseen chemistry after it."""
    if really:
        killed(tmp_path / "work")
    else:
        with pytest.raises(Stop):
            begin(DATA, kind, tmp_path / "work", step, stop)
    assert list((tmp_path / "work").glob(".fit/*/epoch-*"))

    steps = count(monkeypatch)
    whole_rows, rows = list[HistoryRow](), list[HistoryRow]()
    whole = answer(fitted(kind, None, whole_rows))
    all_steps = len(steps)
    surrogate = fitted(kind, tmp_path / "work", rows)
    taken = len(steps) - all_steps
    assert taken == all_steps - kept
    for a, b in zip(whole, answer(surrogate), strict=True):
        np.testing.assert_array_equal(a, b)
    assert list(map(dict, rows)) == list(map(dict, whole_rows))
    surrogate.save(tmp_path / "saved")
    assert not (tmp_path / "work" / ".fit").exists()


def brief(kind: str, **changes: object) -> AnySurrogate:
    """Return a recipe of a short training, which one factor calibrates."""
    steps = {"last_layer": 150, "deep_kernel": 30}[kind]
    plain = {**KINDS[kind].model_dump(), "steps": steps, "calibration": "scale"}
    return type(KINDS[kind])(**{**plain, **changes})


@cache
def plain_means(kind: str) -> np.ndarray:
    surrogate = brief(kind).build(0)
    surrogate.fit(DATA, "toy")
    return surrogate.predict(NEW).mean


@pytest.mark.parametrize("kind", ["last_layer", "deep_kernel"])
@pytest.mark.parametrize("n", [3, 4, 10])
def test_few_records_are_learnt(kind: str, n: int) -> None:
    surrogate = brief(kind).build(0)
    surrogate.fit(DATA[:n], "toy")
    found = surrogate.predict(NEW)
    assert np.isfinite(found.mean).all() and (found.std > 0).all()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        *[
            (kind, change)
            for kind in ("last_layer", "deep_kernel")
            for change in ({"average": 0.9}, {"weight_decay": 0.5}, {"clip": 1e-2})
        ],
        ("last_layer", {"schedule": "cosine"}),
        ("deep_kernel", {"schedule": "one_cycle"}),
    ],
)
def test_every_setting_of_a_training_counts(
    kind: str, change: Mapping[str, object]
) -> None:
    recipe = brief(kind, **change)
    assert recipe.digest() != brief(kind).digest()
    surrogate = recipe.build(0)
    surrogate.fit(DATA, "toy")
    assert np.abs(surrogate.predict(NEW).mean - plain_means(kind)).max() > 1e-6


def test_recipes_from_before_keep_their_hash() -> None:
    for recipe, new in (
        (LastLayerRecipe(), {"schedule", "average", "clip"}),
        (DeepKernelRecipe(), {"schedule", "average", "clip", "weight_decay"}),
        (NetworkEnsembleRecipe(), {"clip", "calibration"}),
    ):
        assert not new & set(recipe.deciding())
        given = type(recipe)(**{**recipe.model_dump(), "clip": 3.0})
        assert given.digest() != recipe.digest()


def test_diverging_is_a_sentence_of_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = PerceptronTask.loss

    def broken(self: PerceptronTask, batch: Tensor) -> Tensor:
        return loss(self, batch) * float("nan")

    monkeypatch.setattr(PerceptronTask, "loss", broken)
    with pytest.raises(SurrogateError, match="diverged in epoch 1"):
        KINDS["last_layer"].build(0).fit(DATA, "toy")


def test_a_comparison_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "Resume", partial(Resume, seconds=0))
    recipe = AutoRecipe(
        folds=2,
        candidates=(KINDS["last_layer"], RandomForestRecipe(trees=10, threads=1)),
    )
    steps, answers = count(monkeypatch), []
    for again in (False, True):
        surrogate = recipe.build(0, tmp_path / "work")
        surrogate.fit(DATA, "toy")
        answers.append(answer(surrogate))
        if again:
            assert not steps, "folds that were learnt are learnt again"
        steps.clear()
    for a, b in zip(*answers, strict=True):
        np.testing.assert_array_equal(a, b)
    surrogate.save(tmp_path / "saved")
    assert not (tmp_path / "work" / ".fit").exists()
