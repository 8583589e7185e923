"""Several labels: a cheap fidelity helps, an unrelated label does no harm."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.data.shipped import opened, resolve
from matdisco.errors import SurrogateError
from surrogates.checkpoint import load
from surrogates.recipes import CoregionalRecipe, GaussianProcessRecipe
from surrogates.tabular.coregional import Coregional
from surrogates.tabular.transforms import NINETY
from surrogates.testing import toy_crystals

CRYSTALS = toy_crystals(120, seed=4)
RECIPE = CoregionalRecipe(auxiliary=("cheap",), threads=1)


def two_fidelities(n_dear: int) -> Dataset:
    """All have the cheap label, 2 · toy + 1 with an error; few the dear one."""
    draw = np.random.default_rng(0)
    made: list[Crystal] = []
    for i, c in enumerate(CRYSTALS[:90]):
        toy = c.value("toy")
        labels = {"cheap": Label(2 * toy + 1 + 0.02 * draw.normal(), "eV/atom")}
        if i < n_dear:
            labels["dear"] = Label(toy, "eV/atom")
        made.append(Crystal(c.id, c.structure, labels))
    return Dataset("fidelities", tuple(made))


def test_a_cheap_fidelity_helps(tmp_path: Path) -> None:
    data, new = two_fidelities(12), CRYSTALS[90:]
    truth = np.array([c.value("toy") for c in new])
    surrogate = Coregional(RECIPE)
    report = surrogate.fit(data, "dear")
    assert report.n_train == 12
    alone = GaussianProcessRecipe(threads=1).build(0)
    alone.fit(data, "dear")
    ours, theirs = surrogate.predict(new), alone.predict(new)
    assert np.abs(ours.mean - truth).mean() < 0.7 * np.abs(theirs.mean - truth).mean()
    assert surrogate.correlations["cheap"] > 0.9
    both = surrogate.predict_all(new)
    np.testing.assert_allclose(both["dear"].mean, ours.mean)
    cheap_error = np.abs(both["cheap"].mean - (2 * truth + 1)).mean()
    assert cheap_error < 3 * np.abs(ours.mean - truth).mean()
    surrogate.save(tmp_path / "two")
    loaded = load(tmp_path / "two").predict(new)
    np.testing.assert_array_equal(loaded.mean, ours.mean)
    np.testing.assert_array_equal(loaded.factors, ours.factors)


def predicted_without(surrogate: Coregional, row: int, out: list[int]) -> float:
    """Predict a label by the normal equations of all rows but ``out``."""
    process = surrogate._process
    rest = np.setdiff1d(np.arange(len(process.y)), out)
    covariance = process.lower @ process.lower.T
    z = (process.y - process.centre[process.output]) / process.scale[process.output]
    solved = np.linalg.solve(covariance[np.ix_(rest, rest)], z[rest])
    return float(process.centre[0] + process.scale[0] * covariance[row, rest] @ solved)


def test_what_is_left_out_keeps_no_label_of_its_crystal() -> None:
    data = two_fidelities(12)
    surrogate = Coregional(RECIPE)
    surrogate.fit(data, "dear")
    rows, labels, held = surrogate.held_out()
    for row in (0, 5):  # the cheap label of record i is observation 12 + i
        alone = predicted_without(surrogate, row, [row, 12 + row])
        assert rows[row] == row and labels[row] == data[row].value("dear")
        assert held.mean[row] == pytest.approx(alone, abs=1e-7)
        own = surrogate._left_out(0, surrogate._process.inverse(), whole=False)
        told = predicted_without(surrogate, row, [row])
        assert own.prediction.mean[row] == pytest.approx(told, abs=1e-7)


def test_new_crystals_and_those_with_a_cheap_label_are_both_covered(
    tmp_path: Path,
) -> None:
    data, new = two_fidelities(30), CRYSTALS[90:]
    surrogate = Coregional(RECIPE)
    report = surrogate.fit(data, "dear")
    known = data.crystals[30:]
    sigma, spread = [], []
    for crystals, originals in ((new, new), (known, CRYSTALS[30:90])):
        found = surrogate.predict(crystals)
        errors = np.array([c.value("toy") for c in originals]) - found.mean
        sigma.append(float(found.std.mean()))
        spread.append(float(np.sqrt(np.mean((errors / found.std) ** 2))))
    assert 0.6 < spread[0] < 1.6 and 0.6 < spread[1] < 1.6
    assert sigma[0] > 1.05 * sigma[1], "a cheap label tells something"
    assert report.metrics["sharpness"] == pytest.approx(sigma[0], rel=0.5)
    text = surrogate.describe()
    assert (text["records"], text["labels"]) == ("90", "120")
    surrogate.save(tmp_path / "two")
    again = load(tmp_path / "two").predict(known)
    np.testing.assert_array_equal(again.std, surrogate.predict(known).std)


def test_few_labels_of_the_target_still_cover_new_crystals() -> None:
    """12 of 90 records have the target's label; eight draws of crystals and labels."""
    covered: list[np.ndarray] = []
    told: list[np.ndarray] = []
    for seed in range(8):
        crystals = toy_crystals(190, seed=seed)
        draw = np.random.default_rng(seed)
        truth = np.array([c.value("toy") for c in crystals])
        made = []
        for i, (c, toy) in enumerate(zip(crystals[:90], truth, strict=False)):
            labels = {"cheap": Label(2 * toy + 1 + 0.02 * draw.normal(), "eV/atom")}
            labels |= {"dear": Label(toy, "eV/atom")} if i < 12 else {}
            made.append(Crystal(c.id, c.structure, labels))
        surrogate = Coregional(RECIPE)
        surrogate.fit(Dataset("few", tuple(made)), "dear")
        for rows, kept in ((slice(90, None), covered), (slice(12, 90), told)):
            found = surrogate.predict(crystals[rows])
            kept.append(np.abs(truth[rows] - found.mean) < NINETY * found.std)
    assert 0.85 < np.mean(covered) < 0.95, "0.83 when each label was scaled by itself"
    assert 0.85 < np.mean(told) < 0.95


def test_features_are_made_once_for_all_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    surrogate = Coregional(RECIPE)
    surrogate.fit(two_fidelities(12), "dear")
    asked: list[int] = []
    make = Coregional._features

    def counted(self: Coregional, crystals: Sequence[Crystal]) -> np.ndarray:
        asked.append(len(crystals))
        return make(self, crystals)

    monkeypatch.setattr(Coregional, "_features", counted)
    both = surrogate.predict_all(CRYSTALS[90:])
    assert asked == [30]
    np.testing.assert_array_equal(
        both["dear"].std, surrogate.predict(CRYSTALS[90:]).std
    )
    assert set(surrogate.predict_all([])) == {"dear", "cheap"}


def test_chemistry_without_any_label_has_a_wider_sigma() -> None:
    """As for one label; where another label knows the element it was seen."""
    energy, volume = "formation_energy_per_atom", "volume_per_atom"
    data = opened(resolve("shipped:intermetallics"))
    some = [c for c in data.crystals[::20] if "Cu" not in c.elements]
    new = [c for c in data.crystals[::20] if "Cu" in c.elements]
    known = [Crystal(c.id, c.structure, {volume: c.labels[volume]}) for c in new[::2]]
    recipe = CoregionalRecipe(auxiliary=(volume,), threads=1)
    without, knowing = Coregional(recipe), Coregional(recipe)
    without.fit(Dataset("without", tuple(some)), energy)
    knowing.fit(Dataset("knowing", (*some, *known)), energy)
    assert without.unseen is not None and knowing.unseen is not None
    assert without.unseen.factors(new).min() == without.unseen.factor > 1
    assert knowing.unseen.factors(new).max() == 1


def test_what_is_left_out_with_its_group_is_predicted_by_the_rest() -> None:
    surrogate = Coregional(RECIPE)
    surrogate.fit(two_fidelities(12), "dear")
    groups = [np.array([0, 3]), np.array([5])]
    left = surrogate._without(groups)
    for at, (row, out) in enumerate(
        ((0, [0, 3, 12, 15]), (3, [0, 3, 12, 15]), (5, [5, 17]))
    ):
        alone = predicted_without(surrogate, row, out)
        assert left.mean[at] == pytest.approx(alone, abs=1e-7)


def test_what_cannot_be_learnt_is_refused() -> None:
    data = two_fidelities(12)
    for recipe, target, message in (
        (RECIPE, "cheap", "the target itself"),
        (CoregionalRecipe(auxiliary=("cheap", "cheap")), "dear", "named twice"),
        (
            CoregionalRecipe(auxiliary=("missing",)),
            "dear",
            "0 records with label missing",
        ),
        (CoregionalRecipe(auxiliary=("cheap",), max_records=50), "dear", "102 labels"),
    ):
        with pytest.raises(SurrogateError, match=message):
            recipe.build(0).fit(data, target)
