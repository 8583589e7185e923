"""Every kind that trains goes on after a kill, and has the settings of a training."""

import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.elements import SYMBOLS
from matdisco.errors import SurrogateError
from surrogates import training
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
        inducing=8, width=8, latent=4, steps=120, batch_size=10, threads=1
    ),
    "network_ensemble": NetworkEnsembleRecipe(
        network=CoGNRecipe(width=8, blocks=1), members=2, epochs=5, neighbours=6,
        patience=1.0, threads=1,
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


@pytest.mark.parametrize(
    ("kind", "step"),
    [("network_ensemble", None), ("last_layer", None), ("deep_kernel", 120 + 35)],
)
def test_killed_and_fitted_again_it_is_the_same(
    kind: str, step: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the second epoch, or in the second training after the main one."""
    data = DATA.save(tmp_path / "data.parquet")
    script = """
        import os, signal
        from functools import partial
        from pathlib import Path
        import surrogates.ensemble, surrogates.tabular.base, surrogates.training as loop
        from matdisco.data.dataset import Dataset
        from surrogates.recipes import recipe_of
        from surrogates.training_state import Resume
        for place in (surrogates.ensemble, surrogates.tabular.base):
            place.Resume = partial(Resume, seconds=0)
        done, step = 0, loop._step
        def counted(*arguments):
            global done
            done += 1
            if done == {step}:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments)
        loop._step = counted
        def die(row):
            if row["epoch"] == {epoch}:
                os.kill(os.getpid(), signal.SIGKILL)
        surrogate = recipe_of({recipe!r}, "x").build(3, Path({folder!r}))
        surrogate.fit(Dataset.open({data!r}), "toy", progress=die)
    """
    text = textwrap.dedent(script).format(
        recipe=KINDS[kind].model_dump(mode="json"), folder=str(tmp_path / "work"),
        data=str(data),
        step=step, epoch=None if step else 2,
    )  # fmt: skip
    code = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}
    ).returncode
    assert code == -signal.SIGKILL
    assert list((tmp_path / "work").glob(".fit/*/epoch-*"))

    steps = count(monkeypatch)
    whole_rows, rows = list[HistoryRow](), list[HistoryRow]()
    whole = answer(fitted(kind, None, whole_rows))
    all_steps = len(steps)
    surrogate = fitted(kind, tmp_path / "work", rows)
    taken = len(steps) - all_steps
    assert taken < all_steps, "it began anew"
    if step:
        assert taken <= all_steps - step + 100, "what was finished was done again"
    for a, b in zip(whole, answer(surrogate), strict=True):
        np.testing.assert_array_equal(a, b)
    assert list(map(dict, rows)) == list(map(dict, whole_rows))
    surrogate.save(tmp_path / "saved")
    assert not (tmp_path / "work" / ".fit").exists()


@pytest.mark.parametrize("kind", ["last_layer", "deep_kernel"])
@pytest.mark.parametrize("n", [3, 4, 10])
def test_few_records_are_learnt(kind: str, n: int) -> None:
    surrogate = KINDS[kind].build(0)
    surrogate.fit(DATA[:n], "toy")
    found = surrogate.predict(NEW)
    assert np.isfinite(found.mean).all() and (found.std > 0).all()


@pytest.mark.parametrize("kind", ["last_layer", "deep_kernel"])
@pytest.mark.parametrize(
    "change", [{"average": 0.9}, {"schedule": None}, {"weight_decay": 0.5},
               {"clip": 1e-2}],
)  # fmt: skip
def test_every_setting_of_a_training_counts(
    kind: str, change: dict[str, object]
) -> None:
    plain = KINDS[kind].model_dump()
    other = {"one_cycle": "cosine", "cosine": "one_cycle"}[plain["schedule"]]
    changed = {k: other if v is None else v for k, v in change.items()}
    recipe = type(KINDS[kind])(**{**plain, **changed, "calibration": "scale"})
    first = type(KINDS[kind])(**{**plain, "calibration": "scale"})
    assert recipe.digest() != first.digest()
    both = []
    for one in (first, recipe):
        surrogate = one.build(0)
        surrogate.fit(DATA, "toy")
        both.append(surrogate.predict(NEW).mean)
    assert np.abs(both[0] - both[1]).max() > 1e-6


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
