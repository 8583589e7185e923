"""A base that learnt one quantity is tuned for another."""

from pathlib import Path

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import TooFewRecords
from surrogates.base import HistoryRow
from surrogates.checkpoint import load
from surrogates.ensemble import NetworkEnsemble
from surrogates.ensemble_state import State
from surrogates.networks.recipes import CoGNRecipe, NetworkEnsembleRecipe
from surrogates.testing import toy_crystals
from tests.surrogates.test_ensemble import shelf

__all__ = ["shelf"]


def two_labels(n: int, seed: int) -> Dataset:
    """Return toy crystals that have a second label, far from the first and unlike it.

    ``packing`` is 500 plus ten times the volume per atom: no composition in it.
    """
    made: list[Crystal] = []
    for crystal in toy_crystals(n, seed=seed):
        volume = crystal.structure.volume / len(crystal.structure)
        packing = Label(500 + 10 * volume, "Å³/atom")
        made.append(crystal.with_labels({**crystal.labels, "packing": packing}))
    return Dataset("two", tuple(made))


NEW, TEST = two_labels(60, 2), two_labels(40, 3)


def ensemble(
    shelf: Path, folder: Path | None = None, **changes: object
) -> NetworkEnsemble:
    fields: dict[str, object] = {
        "network": CoGNRecipe(width=8, blocks=1), "members": 4, "epochs": 4,
        "finetune_epochs": 30, "finetune_learning_rate": 1e-2, "replay": 10,
        "neighbours": 6, "threads": 1, "batch_size": 16,
        "pretrain": str(shelf / "old.parquet"), "pretrain_target": "toy",
    }  # fmt: skip
    recipe = NetworkEnsembleRecipe(**{**fields, **changes})  # type: ignore[arg-type]
    return NetworkEnsemble(recipe, 0, folder)


def fitted(made: NetworkEnsemble, data: Dataset, target: str) -> State:
    made.fit(data, target)
    assert made.state is not None
    return made.state


def test_another_target_is_learnt_in_its_own_unit(shelf: Path, tmp_path: Path) -> None:
    made = ensemble(shelf)
    report = made.fit(NEW, "packing")
    truth, found = TEST.values("packing"), made.predict(TEST.crystals)
    spread = np.abs(truth - truth.mean()).mean()
    assert np.abs(truth - found.mean).mean() < 0.5 * spread, "the mean would do as well"
    assert report.metrics["mae"] < 0.7 * spread
    assert 0.75 < report.metrics["coverage_90"] <= 1
    state = made.state
    assert state is not None and state.target == "packing"
    assert state.centre == pytest.approx(NEW.values("packing").mean())
    assert state.spread == pytest.approx(NEW.values("packing").std())
    assert state.scale.n == len(NEW) + 5, "errors of the other quantity tell nothing"
    made.save(tmp_path / "c")
    np.testing.assert_array_equal(
        load(tmp_path / "c").predict(TEST.crystals).std, found.std
    )


def test_only_the_output_layer_starts_from_nothing(shelf: Path) -> None:
    slow = ensemble(shelf, finetune_learning_rate=1e-9, finetune_epochs=3)
    tuned = fitted(slow, NEW, "packing")
    base = slow._base
    assert base is not None and base.target == "toy"
    for name, weights in tuned.weights.items():
        near = np.allclose(weights, base.weights[name], atol=1e-5)
        assert near != name.startswith("head.out."), name


@pytest.mark.parametrize("left_out", [0.25, 0.5, 0.75])
def test_members_that_missed_a_record_judge_it(shelf: Path, left_out: float) -> None:
    made = ensemble(shelf, left_out=left_out, finetune_epochs=5)
    state = fitted(made, NEW, "packing")
    rows, labels, found = made.held_out()
    np.testing.assert_array_equal(labels, NEW.values("packing")[rows])
    assert len(rows) == len(NEW) and (found.std > 0).all()
    assert np.abs(found.mean - made.predict(NEW.crystals).mean).max() > 1e-6
    assert 0.1 < state.scale.k < 10


def test_too_few_records_are_refused_before_anything_is_learnt(shelf: Path) -> None:
    made, rows = ensemble(shelf), list[HistoryRow]()
    for few in (NEW[:0], NEW[:7]):
        with pytest.raises(
            TooFewRecords, match="with label packing, expected at least"
        ):
            made.fit(few, "packing", progress=rows.append)
    assert not rows
    assert fitted(made, NEW[:0], "toy").target == "toy", "the base is an answer there"


def test_one_base_serves_all_targets(shelf: Path, tmp_path: Path) -> None:
    rows: list[HistoryRow] = []
    first = ensemble(shelf, tmp_path, finetune_epochs=2)
    first.fit(NEW, "packing", progress=rows.append)
    assert [r["stage"] for r in rows].count("base") == 4
    rows.clear()
    again = ensemble(shelf, tmp_path, finetune_epochs=2)
    again.fit(NEW, "toy", progress=rows.append)
    assert {r["stage"] for r in rows} == {"round"}
    fresh = ensemble(shelf, finetune_epochs=2)
    fresh.fit(NEW, "toy")
    one, two = again.predict(TEST.crystals), fresh.predict(TEST.crystals)
    np.testing.assert_array_equal(one.mean, two.mean)


def test_naming_the_same_target_changes_nothing(shelf: Path) -> None:
    named = ensemble(shelf, finetune_epochs=3)
    silent = ensemble(shelf, finetune_epochs=3, pretrain_target=None)
    for made in (named, silent):
        made.fit(NEW, "toy")
    one, two = named.predict(TEST.crystals), silent.predict(TEST.crystals)
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.std, two.std)
