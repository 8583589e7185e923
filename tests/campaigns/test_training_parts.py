"""What a training learns and what judges it: no leak by a label of another method."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from campaigns.training import TrainingConfig, columns, train
from campaigns.training_parts import parts_of, unlike
from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.data.splits import SplitRecipe
from surrogates.audit import audit
from surrogates.base import HistoryRow
from surrogates.checkpoint import read
from surrogates.recipes import CoregionalRecipe
from surrogates.tabular import base
from surrogates.testing import toy_crystals
from surrogates.training_state import Resume

TARGET = "formation_energy_per_atom"


def test_records_with_auxiliary_labels_alone_are_learnt(tmp_path: Path) -> None:
    crystals = []
    for i, c in enumerate(toy_crystals(80, seed=2)):
        labels = {"cheap": c.labels["toy"]}
        if i < 40:
            labels[TARGET] = c.labels["toy"]
        crystals.append(replace(c, labels=labels))
    twin = replace(crystals[0], id="twin", labels={"cheap": Label(0.0, "eV/atom")})
    data = Dataset("two", (*crystals, twin))
    config = TrainingConfig(
        name="two",
        dataset=str(data.save(tmp_path / "two.parquet")),
        target=TARGET,
        surrogate=CoregionalRecipe(auxiliary=("cheap",), threads=1),
        split=SplitRecipe(kind="random", parts={"train": 0.7, "test": 0.3}),
    )
    parts = parts_of(config)
    assert len(parts.test) == 12 and parts.n_auxiliary + parts.n_apart == 41
    judged = Dataset("judged", parts.test.crystals)
    cheap = [c for c in parts.learn if TARGET not in c.labels]
    assert not audit(judged, [Dataset("cheap", tuple(cheap))]).leaks
    if "toy-0" in parts.test.ids:
        assert "twin" not in parts.learn.ids
    outcome = train(config, tmp_path / "out", parts=parts)
    assert f"{parts.n_auxiliary} records with auxiliary labels alone" in str(outcome)
    learnt = sum("cheap" in c.labels for c in parts.learn) + 28
    assert len(read(tmp_path / "out" / "checkpoint").arrays["labels"]) == learnt


@pytest.mark.parametrize(
    ("split", "left"),
    [
        (SplitRecipe(kind="random"), {"near", "new"}),
        (SplitRecipe(kind="random", guard=None), {"copy", "near", "new"}),
        (SplitRecipe(kind="formula"), {"near", "new"}),
        (SplitRecipe(kind="chemical_system"), {"new"}),
        (SplitRecipe(kind="prototype"), {"near"}),
        (SplitRecipe(kind="space_group"), {"near"}),
        (SplitRecipe(kind="cluster"), {"new"}),
        (SplitRecipe(kind="element", elements=("Al",)), {"new"}),
        (SplitRecipe(kind="time"), {"new"}),
    ],
    ids=lambda x: getattr(x, "kind", ""),
)
def test_no_cheap_label_tells_what_the_split_hides(
    split: SplitRecipe, left: set[str]
) -> None:
    def salt(name: str, a: str, b: str, date: str = "") -> Crystal:
        cell = 4.0 * np.eye(3)
        half = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])
        return Crystal.from_arrays(name, cell, [a, b], half, source={"date": date})

    test = Dataset("test", (salt("t", "Al", "Ni", "2025"),))
    learn = Dataset("learn", (salt("l", "Ti", "Cu"), salt("k", "Ti", "V")))
    at = np.array([[0.0, 0, 0], [0.5, 0.5, 0.2], [0, 0.5, 0.5]])
    near = Crystal.from_arrays(
        "near",
        np.diag([4.0, 4.0, 8.0]),
        ["Al", "Al", "Ni"],
        at,
        source={"date": "2026"},
    )
    copy, new = salt("copy", "Al", "Ni"), salt("new", "Ti", "Fe", "2024")
    more = Dataset("more", (copy, near, new))
    assert set(unlike(more, test, learn, split).ids) == left


def test_columns_of_a_history_do_not_depend_on_its_order() -> None:
    rows = [{"stage": "fit", "epoch": 1, "loss": 1.0, "best": 2.0}, {"extra": 1.0}]
    sorted_ = [dict(sorted(row.items())) for row in rows]  # as a resume reads them
    assert columns(rows) == columns(sorted_)
    assert columns(rows) == ["stage", "epoch", "best", "extra", "loss"]


@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "last_layer"},
        # tests/surrogates/test_resume.py stops its fit in the fast ones
        pytest.param({"kind": "deep_kernel", "inducing": 8}, marks=pytest.mark.slow),
    ],
)
def test_a_training_goes_on_and_leaves_the_same_files(
    kind: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "Resume", partial(Resume, seconds=0))
    crystals = [
        c.with_labels({TARGET: c.labels["toy"]}) for c in toy_crystals(60, seed=2)
    ]
    place = Dataset("toys", tuple(crystals)).save(tmp_path / "toys.parquet")
    config = TrainingConfig.from_mapping(
        {
            "name": "toy", "dataset": str(place), "target": TARGET,
            "surrogate": {**kind, "width": 8, "steps": 250, "threads": 1},
            "split": {"kind": "random", "parts": {"train": 0.7, "test": 0.3}},
        },
        source="test",
    )  # fmt: skip

    class Stop(Exception):
        pass

    def stop(row: HistoryRow) -> None:
        if row["epoch"] == 2:
            raise Stop

    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", progress=stop)
    assert list((tmp_path / "stopped" / "work").glob(".fit/*/epoch-000002"))
    for name in ("stopped", "whole"):
        train(config, tmp_path / name)
        assert not list((tmp_path / name / "work").glob(".*"))
    for file in ("history.csv", "test.csv", "metrics.json"):
        one, two = (tmp_path / name / file for name in ("stopped", "whole"))
        assert one.read_bytes() == two.read_bytes(), file
    assert len((tmp_path / "whole" / "history.csv").read_text().splitlines()) == 4
