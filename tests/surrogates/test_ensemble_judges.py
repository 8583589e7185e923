"""Who calibrates networks from nothing: records left out, or missed by half of them."""

from collections.abc import Sequence

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.elements import SYMBOLS
from surrogates import ensemble_training
from surrogates.ensemble import NetworkEnsemble
from surrogates.networks.recipes import CoGNRecipe, NetworkEnsembleRecipe
from surrogates.pretraining import split_by_system

METALS = (*SYMBOLS[20:30], *SYMBOLS[38:48], *SYMBOLS[56:80])  # d and f


def pairs(n: int, metals: Sequence[str] = METALS) -> Dataset:
    """Return n CsCl-like crystals of up to 946 chemical systems."""
    draw = np.random.default_rng(0)
    made = []
    for i in range(n):
        a, b = draw.choice(len(metals), size=2, replace=False)
        edge = float(draw.uniform(2.8, 3.2))
        value = 0.1 * (a - b) + edge + 0.2 * draw.normal()
        label = {"y": Label(value, "eV/atom"), "z": Label(2 * value, "eV/atom")}
        made.append(
            Crystal.from_arrays(
                f"{i}", edge * np.eye(3), [metals[a], metals[b]],
                np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), labels=label,
            )
        )  # fmt: skip
    return Dataset("pairs", tuple(made))


DATA = pairs(120)


def fitted(data: Dataset = DATA, **changes: object) -> NetworkEnsemble:
    fields: dict[str, object] = {
        "network": CoGNRecipe(width=8, blocks=1), "members": 4, "epochs": 3,
        "neighbours": 6, "threads": 1,
    }  # fmt: skip
    recipe = NetworkEnsembleRecipe(**{**fields, **changes})  # type: ignore[arg-type]
    made = NetworkEnsemble(recipe)
    made.fit(data, "y")
    return made


def calibrated_by(ensemble: NetworkEnsemble) -> set[int]:
    return set(ensemble.held_out()[0].tolist())


def test_few_judges_leave_it_to_records_that_half_of_the_members_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = fitted()
    _, judge = split_by_system(DATA, more.recipe.held_out, 0)
    assert len(calibrated_by(more)) > len(judge)
    assert not calibrated_by(more) & set(judge.tolist()), "they chose the epoch"
    monkeypatch.setattr(ensemble_training, "_FEW", 0)
    fewer = fitted()
    assert calibrated_by(fewer) == set(judge.tolist())
    one, two = more.predict(DATA.crystals), fewer.predict(DATA.crystals)
    np.testing.assert_array_equal(one.mean, two.mean)
    assert more.state is not None and fewer.state is not None
    assert more.state.metrics["mae"] == fewer.state.metrics["mae"]
    assert more.state.scale.n == len(calibrated_by(more)) + 5
    assert more.state.scale.k != fewer.state.scale.k


def test_sigmas_of_half_of_the_members_are_no_smaller() -> None:
    ensemble = fitted()
    rows, labels, found = ensemble.held_out()
    state = ensemble.state
    assert state is not None
    raw = (labels - found.mean) / found.std * state.scale.k
    k2 = (5 + float((raw**2).sum())) / (5 + len(rows))
    assert np.sqrt(k2) == pytest.approx(state.scale.k, rel=1e-9)
    means, logs = ensemble._outputs([DATA[int(i)] for i in rows])
    all_of_them = state.joint(means, logs)
    assert np.abs(found.mean - all_of_them.mean).max() > 1e-3, "half says another mean"


@pytest.mark.parametrize(
    "changes",
    [
        {"diversity": "seed"},
        {"data": pairs(60, ("Al", "Ni", "Cu"))},
        {"data": pairs(120, METALS[:16])},  # systems of two records are common
    ],
)
def test_where_nothing_or_the_odd_was_missed_the_judges_calibrate(
    changes: dict[str, Dataset | str],
) -> None:
    ensemble = fitted(**changes)  # type: ignore[arg-type]
    data = changes.get("data", DATA)
    assert isinstance(data, Dataset)
    _, judge = split_by_system(data, ensemble.recipe.held_out, 0)
    assert calibrated_by(ensemble) == set(judge.tolist())


def test_rows_count_records_with_the_target() -> None:
    made = [
        Crystal(c.id, c.structure, c.labels if i % 4 else {"z": c.labels["z"]})
        for i, c in enumerate(DATA.crystals)
    ]
    data = Dataset("some lack y", tuple(made))
    ensemble = fitted(data, auxiliary=("z",))
    rows, labels, _ = ensemble.held_out()
    truth = [c.value("y") for c in data.crystals if "y" in c.labels]
    assert len(truth) < len(data) and len(rows) > 0
    np.testing.assert_array_equal(labels, np.array(truth)[rows])


def test_every_label_is_calibrated_by_the_same_records() -> None:
    ensemble = fitted(auxiliary=("z",), epochs=20)
    state = ensemble.state
    assert state is not None
    _, _, k, n, _ = state.others["z"]
    assert n == state.scale.n
    assert k == pytest.approx(state.scale.k, rel=0.5), "one is twice the other"
