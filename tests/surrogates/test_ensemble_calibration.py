"""Network ensembles match sigma to errors left out as surrogates on features do."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from surrogates import ensemble_training
from surrogates.base import Prediction
from surrogates.calibration import (
    CalibrationName,
    IsotonicScale,
    Scale,
    Steps,
    z_scores,
)
from surrogates.checkpoint import Checkpoint, load, read, write
from surrogates.ensemble import NetworkEnsemble
from surrogates.ensemble_spread import moderated, stepped
from surrogates.networks.recipes import CoGNRecipe, NetworkEnsembleRecipe
from surrogates.tabular.recipes import OnFeatures
from surrogates.testing import toy_crystals

METALS, SALTS = ("Ti", "V", "Cr", "Mn"), ("Zr", "Nb", "Mo", "Hf")
KINDS = get_args(CalibrationName)


def crystals(n: int, seed: int = 0) -> list[Crystal]:
    """Return crystals of two chemistries; labels of one scatter ten times more."""
    draw, made = np.random.default_rng(seed), []
    spots = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])
    for i in range(n):
        group = SALTS if i % 2 else METALS
        a, b = draw.choice(4, size=2, replace=False)
        edge = float(draw.uniform(2.8, 3.2))
        value = edge + 0.1 * (a - b) + (1.0 if i % 2 else 0.1) * draw.normal()
        labels = {"y": Label(value, "eV/atom"), "z": Label(2 * value, "eV/atom")}
        made.append(
            Crystal.from_arrays(
                f"{seed}-{i}", edge * np.eye(3), [group[a], group[b]], spots,
                labels=labels,
            )
        )  # fmt: skip
    return made


def raw(made: list[Crystal]) -> tuple[np.ndarray, Prediction]:
    """Return labels, and what three members that know all but the noise might say."""
    draw = np.random.default_rng(9)
    y = np.array([c.value("y") for c in made])
    noise = np.where(np.arange(len(made)) % 2, 1.0, 0.1)
    factors = 0.05 * draw.normal(size=(3, len(made)))
    return y, Prediction(y + noise * draw.normal(size=len(made)), factors,
                         np.full(len(made), 0.3))  # fmt: skip


def fitted(data: Dataset, target: str = "y", **changes: object) -> NetworkEnsemble:
    fields: dict[str, object] = {
        "network": CoGNRecipe(width=8, blocks=1), "members": 4, "epochs": 3,
        "neighbours": 6, "threads": 1,
    }  # fmt: skip
    recipe = NetworkEnsembleRecipe(**{**fields, **changes})  # type: ignore[arg-type]
    made = NetworkEnsemble(recipe)
    made.fit(data, target)
    return made


def test_names_are_those_of_surrogates_on_features() -> None:
    for recipe in (OnFeatures, NetworkEnsembleRecipe):
        assert get_args(recipe.model_fields["calibration"].annotation) == KINDS


@pytest.mark.parametrize("ratio", [1.0, 0.7])
def test_scale_and_interval_have_closed_forms(ratio: float) -> None:
    made = crystals(60)
    y, said = raw(made)
    z = ratio * (y - said.mean) / said.std
    one, _, found = stepped("scale", said, y, made, Scale(2.0, 5.0), 0.0, ratio=ratio)
    k = np.sqrt((5 * 4.0 + (z**2).sum()) / 65)
    assert one.scale.k == pytest.approx(k) and not one.arrays()
    np.testing.assert_allclose(found.std, said.std * k / ratio)
    wide, _, _ = stepped("interval", said, y, made, Scale(1.0, 0.0), 0.0, ratio=ratio)
    at = int(np.ceil(61 * 0.9)) - 1
    assert wide.scale.k == pytest.approx(np.sort(np.abs(z))[at] / 1.6448536)


@pytest.mark.parametrize("ratio", [1.0, 0.7])
def test_isotonic_is_the_monotone_mean_of_squares(ratio: float) -> None:
    made = crystals(80)
    y, said = raw(made)
    steps, typical, found = stepped("isotonic", said, y, made, Scale(), 0.0,
                                    ratio=ratio)  # fmt: skip
    even = moderated(said, typical)
    plain = IsotonicScale.fit(y, even).apply(even)
    np.testing.assert_allclose(found.std, plain.std, rtol=1e-9)  # as wide, whatever
    new = steps.apply(even, made)  # all members err less
    np.testing.assert_allclose(new.std, ratio * plain.std, rtol=1e-9)
    order = np.argsort(even.std)
    assert (np.diff(new.std[order]) >= -1e-12).all()


def test_errors_tells_one_chemistry_from_the_other() -> None:
    made, new = crystals(200), crystals(100, seed=1)
    y, said = raw(made)
    steps, _, held = stepped("errors", said, y, made, Scale(3.0, 20.0), 0.0)
    assert steps.errors is not None
    assert steps.scale.k == pytest.approx(1.0, abs=0.15), "the base's 3 is in the model"
    _, more = raw(new)
    found = steps.apply(more, new)
    wild, calm = np.median(found.std[1::2]), np.median(found.std[::2])
    assert wild / calm > 4 and wild == pytest.approx(1.0, rel=0.4)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        assert np.mean(z_scores(y, held)[half] ** 2) == pytest.approx(1.0, abs=0.5)


@pytest.mark.parametrize(("kind", "n"), [("errors", 99), ("isotonic", 29)])
def test_few_records_get_one_factor_and_it_is_said(
    kind: CalibrationName, n: int
) -> None:
    made = crystals(n)
    y, said = raw(made)
    steps, _, found = stepped(kind, said, y, made, Scale(), 0.0)
    plain, _, same = stepped("scale", said, y, made, Scale(), 0.0)
    assert steps.scale == plain.scale and not steps.arrays()
    np.testing.assert_array_equal(found.std, same.std)
    (text,) = steps.words(kind, n).values()
    assert f"calibration {kind} needs {n + 1} records left out, there are {n}" in text
    assert not plain.words("scale", n)


@pytest.fixture
def few_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the judges alone calibrate."""
    monkeypatch.setattr(ensemble_training, "_FEW", 0)


@pytest.mark.usefixtures("few_judges")
@pytest.mark.parametrize("kind", KINDS)
def test_means_stay_and_a_checkpoint_is_the_same(
    kind: CalibrationName, tmp_path: Path
) -> None:
    data, new = Dataset("two", tuple(crystals(240))), crystals(20, seed=2)
    plain = fitted(data, held_out=0.5, auxiliary=("z",))
    made = fitted(data, held_out=0.5, auxiliary=("z",), calibration=kind)
    one, two = plain.predict(new), made.predict(new)
    np.testing.assert_array_equal(one.mean, two.mean)
    assert np.array_equal(one.std, two.std) == (kind == "scale")
    made.save(tmp_path / "c")
    again = load(tmp_path / "c")
    assert isinstance(again, NetworkEnsemble)
    for a, b in zip(
        made.predict_all(new).values(), again.predict_all(new).values(), strict=True
    ):
        np.testing.assert_array_equal(a.mean, b.mean)
        np.testing.assert_array_equal(a.factors, b.factors)
        np.testing.assert_array_equal(a.residual, b.residual)
    assert again.describe() == made.describe()
    _, labels, held = made.held_out()
    assert float(np.mean(z_scores(labels, held) ** 2)) == pytest.approx(1.0, abs=0.35)
    state = made.state
    assert state is not None
    assert (set(state.steps) == {"y", "z"}) == (kind in ("errors", "isotonic"))
    if kind == "errors":
        assert "times" in made.describe()["uncertainty_by_chemistry"]
        wild, calm = np.median(two.std[1::2]), np.median(two.std[::2])
        assert wild > 1.5 * calm
        # the very records that calibrated are scored by trees that missed them
        assert state.metrics["nll"] < plain.state.metrics["nll"]  # type: ignore[union-attr]


def test_a_tuned_base_is_calibrated_by_its_recipe(tmp_path: Path) -> None:
    Dataset("old", tuple(toy_crystals(40, seed=1))).save(tmp_path / "old.parquet")
    new = Dataset("new", tuple(toy_crystals(40, seed=2)))
    base: dict[str, object] = {
        "pretrain": str(tmp_path / "old.parquet"), "finetune_epochs": 2, "replay": 5,
    }  # fmt: skip
    plain = fitted(new, "toy", **base)
    curve = fitted(new, "toy", calibration="isotonic", **base)
    one, two = plain.predict(new.crystals), curve.predict(new.crystals)
    np.testing.assert_array_equal(one.mean, two.mean)
    assert np.abs(one.std - two.std).max() > 1e-6
    assert plain._base is not None and curve._base is not None
    assert plain._base.base == curve._base.base, "one base serves both"
    none = fitted(new[:0], "toy", calibration="isotonic", **base)
    assert none.state is not None and not none.state.steps
    assert "uncertainty_calibration" not in none.describe()


def test_a_checkpoint_from_before_has_one_factor(tmp_path: Path) -> None:
    data = Dataset("two", tuple(crystals(40)))
    now = fitted(data)
    now.save(tmp_path / "now")
    whole = read(tmp_path / "now")
    state = {k: v for k, v in whole.state.items() if k != "kind"}
    recipe = {k: v for k, v in whole.recipe.items() if k not in ("calibration", "clip")}
    write(tmp_path / "before", Checkpoint(recipe, state, whole.arrays))
    before = load(tmp_path / "before").predict(data.crystals)
    np.testing.assert_array_equal(before.std, now.predict(data.crystals).std)
    assert now.recipe.digest() == NetworkEnsembleRecipe(**recipe).digest()
    assert Steps.restored(Scale(2.0, 3.0), {}).scale.k == 2.0


def test_a_curve_is_read_where_its_judges_stood() -> None:
    """Half of four members are drawn further towards the typical spread than all."""
    draw = np.random.default_rng(3)
    n, typical = 4000, 0.04
    own = np.sqrt(typical / 3) * draw.normal(size=(4, n))
    four = Prediction(np.zeros(n), own, np.full(n, 1e-3))
    two = Prediction(np.zeros(n), own[:2] * np.sqrt(1.5), np.full(n, 1e-3))
    least = moderated(two, typical).std.min()
    assert moderated(four, typical).std.min() < 0.9 * least
    assert moderated(four, typical, judging=2).std.min() > 0.99 * least
    same = moderated(four, typical, judging=4)
    np.testing.assert_array_equal(same.std, moderated(four, typical).std)


def flat(value: float, seed: int = 0) -> Dataset:
    """Return 60 records whose label is ``value`` and whose ``z`` varies."""
    label = {"y": Label(value, "eV/atom")}
    rows = [c.with_labels({**c.labels, **label}) for c in crystals(60, seed)]
    return Dataset("flat", tuple(rows))


@pytest.mark.parametrize("kind", ["scale", "errors"])
@pytest.mark.parametrize("value", [0.1, 0.0])  # the mean of 0.1s is not 0.1
def test_equal_labels_leave_their_own_size(
    value: float, kind: str, tmp_path: Path
) -> None:
    """As for surrogates on features: sigma falls with the root of the labels."""
    made, new = fitted(flat(value), calibration=kind), crystals(40, seed=1)
    found = made.predict(new)
    size = value or 1.0
    rms = np.sqrt(np.mean(found.std**2))
    assert rms == pytest.approx(size * np.sqrt(5 / 65), rel=0.3)
    np.testing.assert_allclose(found.mean, value, atol=0.1 * size)
    said = made.describe()
    assert "all 60 labels are" in said["uncertainty_scale"]
    assert "uncertainty_calibration" not in said
    made.save(tmp_path / "flat")
    again = load(tmp_path / "flat")
    np.testing.assert_array_equal(again.predict(new).std, found.std)
    assert again.describe() == said


def test_a_label_that_does_not_vary_says_so_alone(tmp_path: Path) -> None:
    data = flat(0.1)
    both = fitted(data, "z", auxiliary=("y",)).predict_all(data.crystals)
    assert np.sqrt(np.mean(both["y"].std ** 2)) == pytest.approx(
        0.1 * np.sqrt(5 / 65), rel=0.3
    )
    assert both["z"].std.mean() > 0.3
    data.save(tmp_path / "old.parquet")
    tuned = fitted(
        flat(0.1, seed=2), "y",
        pretrain=str(tmp_path / "old.parquet"), pretrain_target="z", finetune_epochs=1,
    )  # fmt: skip
    std = tuned.predict(data.crystals).std
    assert np.sqrt(np.mean(std**2)) == pytest.approx(0.1 * np.sqrt(5 / 65), rel=0.5)
