"""Several labels: a cheap fidelity helps, an unrelated label does no harm."""

from pathlib import Path

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.checkpoint import load
from surrogates.recipes import CoregionalRecipe, GaussianProcessRecipe
from surrogates.tabular.coregional import Coregional
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


def test_leave_one_out_is_leaving_one_out() -> None:
    data = two_fidelities(12)
    surrogate = Coregional(RECIPE)
    surrogate.fit(data, "dear")
    rows, labels, held = surrogate.held_out()
    rest = np.arange(1, len(surrogate._y))
    covariance = surrogate._lower @ surrogate._lower.T
    z = surrogate._standard_labels()
    alone = covariance[0, rest] @ np.linalg.solve(
        covariance[np.ix_(rest, rest)], z[rest]
    )
    expected = surrogate._centre[0] + surrogate._spread[0] * alone
    assert rows[0] == 0 and labels[0] == pytest.approx(data[0].value("dear"))
    assert held.mean[0] == pytest.approx(expected, abs=1e-7)


def test_what_cannot_be_learnt_is_refused() -> None:
    data = two_fidelities(12)
    for recipe, target, message in (
        (RECIPE, "cheap", "the target itself"),
        (
            CoregionalRecipe(auxiliary=("missing",)),
            "dear",
            "0 records with label missing",
        ),
        (CoregionalRecipe(auxiliary=("cheap",), max_records=50), "dear", "102 labels"),
    ):
        with pytest.raises(SurrogateError, match=message):
            recipe.build(0).fit(data, target)
