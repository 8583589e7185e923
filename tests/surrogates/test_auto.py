"""Auto chooses by likelihood on folds left out, and says why."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates import auto
from surrogates.auto import Auto
from surrogates.auto_folds import fold_numbers, folds_of, names_of
from surrogates.base import HistoryRow
from surrogates.checkpoint import load, read
from surrogates.featurizers import table
from surrogates.networks.kinds import PaiNNRecipe
from surrogates.recipes import (
    AutoRecipe,
    CoregionalRecipe,
    GaussianProcessRecipe,
    NetworkEnsembleRecipe,
    RandomForestRecipe,
    ZeroShotRecipe,
)
from surrogates.tabular.gaussian_process import GaussianProcess
from surrogates.testing import toy_crystals

GP = GaussianProcessRecipe(threads=1)
FOREST = RandomForestRecipe(trees=20, threads=1)


class Nothing:
    """An embedding that tells crystals apart by nothing."""

    name, version, width = "nothing", "1", 1

    def __call__(self, crystals: Sequence[Crystal]) -> np.ndarray:
        return np.ones((len(crystals), 1))


class Mute:
    """A surrogate that keeps nothing of what it left out."""

    def fit(self, *_: Any, **__: Any) -> Any: ...
    def predict(self, _: Any) -> Any: ...
    def save(self, _: Any) -> None: ...
    def describe(self) -> dict[str, str]:
        return {"surrogate": "a mute one"}


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


def test_of_many_records_some_folds_judge_and_features_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being done is told before it is done."""
    asked: list[int] = []
    plain = table.KINDS["composition"]

    def counted(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
        asked.append(len(crystals))
        return plain(crystals, n_threads)

    monkeypatch.setattr(table, "KINDS", {**table.KINDS, "composition": counted})
    monkeypatch.setattr(auto, "_JUDGED", 3 * 60)
    rows: list[HistoryRow] = []
    surrogate = Auto(AutoRecipe(candidates=(GP, FOREST), folds=5))
    data = linear_in_fractions()
    report = surrogate.fit(data, "toy", progress=rows.append)
    assert sum(asked) == 60, "each crystal once, for two candidates and all folds"
    assert surrogate.folds == (3, 5)
    assert surrogate.why().endswith("; judged on 3 of 5 folds")
    scored = [r for r in report.history if "nll" in r]
    assert len(scored) == 2 * 3
    first = str(rows[0]["stage"])
    assert first.startswith("compare gaussian_process on composition: learn 4")
    assert str(rows[2 * 2 * 3]["stage"]).startswith("fit ")
    surrogate.predict(data.crystals)
    assert sum(asked) == 120, "nothing is kept once it is fitted"
    surrogate.save(tmp_path / "auto")
    assert load(tmp_path / "auto").describe() == surrogate.describe()


def test_folds_keep_chemical_systems_whole() -> None:
    data = linear_in_fractions()
    folds, whole = fold_numbers(data, 2, seed=0)
    assert np.bincount(folds).min() > 10 and whole
    for system in {c.chemical_system for c in data.crystals}:
        rows = [i for i, c in enumerate(data.crystals) if c.chemical_system == system]
        assert len(set(folds[rows].tolist())) == 1


def test_a_candidate_that_fails_is_passed_over() -> None:
    broken = GaussianProcessRecipe(max_records=3, threads=1)
    auto = Auto(AutoRecipe(candidates=(broken, GP), folds=2))
    auto.fit(linear_in_fractions(), "toy")
    assert "not fitted: 60 records, but max_records is 3" in auto.why()
    with pytest.raises(SurrogateError, match="no candidate could be fitted"):
        Auto(AutoRecipe(candidates=(broken,))).fit(linear_in_fractions(), "toy")
    with pytest.raises(SurrogateError, match="9 records"):
        Auto(AutoRecipe()).fit(linear_in_fractions()[:9], "toy")


def test_a_limit_counts_for_all_records_not_for_the_folds() -> None:
    # 30 records in a fold would pass it, all 60 do not: the forest is left
    tight = GaussianProcessRecipe(max_records=59, threads=1)
    auto = Auto(AutoRecipe(candidates=(tight, FOREST), folds=2))
    assert auto.fit(linear_in_fractions(), "toy").n_train == 60
    assert auto.why().startswith("chosen: random_forest")
    assert "nll" not in auto.scores[0], "no time is spent on what will be refused"


def test_the_next_best_learns_where_the_winner_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    learnt = GaussianProcess.fit

    def moody(self: GaussianProcess, dataset: Dataset, *rest: Any, **more: Any) -> Any:
        if len(dataset) == 60:
            raise SurrogateError("not today; perhaps tomorrow")
        return learnt(self, dataset, *rest, **more)

    monkeypatch.setattr(GaussianProcess, "fit", moody)
    fractions = GaussianProcessRecipe(features="fractions", threads=1)
    auto = Auto(AutoRecipe(candidates=(fractions, FOREST), folds=2))
    auto.fit(linear_in_fractions(), "toy")
    assert auto.scores[0]["nll"] < auto.scores[1]["nll"]
    chosen, other = auto.why().split("; ")
    assert chosen.startswith("chosen: random_forest") and "fitted" not in chosen
    assert "but not fitted: on all records: not today, perhaps tomorrow" in other
    auto.save(tmp_path / "auto")
    loaded = load(tmp_path / "auto")
    assert isinstance(loaded, Auto) and loaded.why() == auto.why()


def test_every_score_of_every_fold_is_in_the_history() -> None:
    shown: list[Any] = []
    auto = Auto(AutoRecipe(candidates=(GP, FOREST), folds=3))
    report = auto.fit(linear_in_fractions(), "toy", progress=shown.append)
    scored = [row for row in shown if "nll" in row]
    assert len(report.history) == 6 and list(report.history) == scored[:6]
    mine = [float(r["nll"]) for r in report.history if "forest" in str(r["stage"])]
    assert np.mean(mine) == pytest.approx(auto.scores[1]["nll"])


def test_records_with_auxiliary_labels_alone_are_learnt_but_never_judge(
    tmp_path: Path,
) -> None:
    records = linear_in_fractions()
    cheap = [c.with_labels({"cheap": c.labels["toy"]}) for c in records]
    bare = [replace(c, labels={"cheap": c.labels["cheap"]}) for c in cheap[:30]]
    data = Dataset("two", (*bare, *cheap[30:]))
    several = CoregionalRecipe(auxiliary=("cheap",), features="fractions", threads=1)
    auto = Auto(AutoRecipe(candidates=(several,), folds=2))
    auto.fit(data, "toy")
    auto.save(tmp_path / "auto")
    assert len(read(tmp_path / "auto").arrays["labels"]) == 90, "30 of toy, 60 of cheap"
    part, others = data[30:], data[:30]
    folds = folds_of(part, others, 2, seed=0)
    assert sum(len(f.test) for f in folds) == 30
    assert any("toy" not in c.labels for f in folds for c in f.learn)
    for fold in folds:
        tested = {c.chemical_system for c in fold.test}
        assert tested.isdisjoint(c.chemical_system for c in fold.learn)
    one = Dataset("one system", tuple(c for c in records if len(c.elements) == 1))
    few = folds_of(one, Dataset("none", ()), 5, seed=0)
    assert [len(f.learn) + len(f.test) for f in few] == [len(one)] * 5


def test_intervals_rest_on_what_the_winner_left_out() -> None:
    auto = Auto(AutoRecipe(candidates=(GP, FOREST), folds=2))
    with pytest.raises(SurrogateError, match="not fitted yet"):
        auto.held_out()
    auto.fit(linear_in_fractions(), "toy")
    rows, labels, held = auto.held_out()
    assert len(rows) == len(labels) == len(held) == 60
    auto.chosen = Mute()
    with pytest.raises(SurrogateError, match="a mute one keeps no predictions"):
        auto.held_out()


def test_names_tell_candidates_apart() -> None:
    for n in (0, 5000):
        names = names_of(AutoRecipe().options(n, card=lambda: True))
        assert len(set(names)) == len(names)
    assert names_of([GP, GP.model_copy(update={"threads": 2})])[1].endswith("(2)")
    network = NetworkEnsembleRecipe(network=PaiNNRecipe(width=16), members=3)
    trend = GaussianProcessRecipe(trend="chgnet", kernel="additive")
    assert names_of([network, trend]) == [
        "network_ensemble of painn, network.width 16, members 3",
        "gaussian_process on composition, kernel additive, trend chgnet",
    ]


def test_default_candidates_and_what_they_need() -> None:
    assert len(AutoRecipe().options()) >= 3
    kinds = {o.kind for o in AutoRecipe().options(4001)}
    assert {"last_layer", "deep_kernel", "random_forest"} == kinds
    with_card = {o.kind for o in AutoRecipe().options(4001, card=lambda: True)}
    assert with_card - kinds == {"network_ensemble"}
    recipe = AutoRecipe(candidates=(ZeroShotRecipe(), GP))
    assert recipe.packages == (("chgnet", "chgnet"),)
    assert "the best of" in Auto(recipe).describe()["surrogate"]
