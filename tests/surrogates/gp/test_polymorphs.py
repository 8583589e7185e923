"""Features that are equal for all structures of one formula: how sure to be."""

import numpy as np
import pytest

from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from surrogates.gp.exact import ExactGP
from surrogates.metrics import evaluate
from surrogates.tabular.recipes import GaussianProcessRecipe

ENERGY = "formation_energy_per_atom"


@pytest.fixture(scope="module")
def records() -> Dataset:
    return Dataset.open(resolve("shipped:intermetallics"))


PLAIN = {"features": "composition"}
SUM = {"features": "fractions+charges", "kernel": "additive"}


# without a prior of the noise rms z was 9, 50, 26 and 54, 39 on PLAIN: a new structure
# of a formula that was learnt was predicted with next to no uncertainty
@pytest.mark.parametrize(
    ("n", "draw", "recipe"),
    [
        (12, 6, PLAIN), (12, 8, PLAIN), (12, 11, PLAIN), (25, 8, PLAIN),
        (25, 11, PLAIN), (25, 8, SUM), (25, 11, SUM),
    ],
)  # fmt: skip
def test_a_new_polymorph_is_not_thought_known(
    records: Dataset, n: int, draw: int, recipe: dict[str, str]
) -> None:
    order = np.random.default_rng(draw).permutation(len(records))
    made = GaussianProcessRecipe.model_validate({**recipe, "threads": 1})
    surrogate = made.build(0)
    surrogate.fit(records.take(order[:n]), ENERGY)
    new = records.take(order[n : n + 300])
    found = surrogate.predict(new.crystals)
    scores = evaluate(new.values(ENERGY), found)
    z = (new.values(ENERGY) - found.mean) / found.std
    assert np.sqrt(np.mean(z**2)) < 2
    assert scores["coverage_90"] > 0.75


@pytest.mark.parametrize("spread", [1e-3, 0.3, 1.0])
def test_records_overrule_what_was_expected(spread: float) -> None:
    """Formulas that come twice say what their structures differ by."""
    draw = np.random.default_rng(0)
    x = np.repeat(draw.normal(size=(60, 3)), 2, axis=0)
    y = np.sin(x).sum(axis=1) + spread * draw.normal(size=len(x))
    found = np.sqrt(ExactGP.fit(x, y, blind=True).noise)
    # the grid of noises: a factor of 2.2 between variances, 1e-5 of the signal at least
    assert spread / 1.3 < found < 1.3 * spread + 0.01


def test_with_enough_records_it_changes_nothing(records: Dataset) -> None:
    order = np.random.default_rng(0).permutation(len(records))[:400]
    surrogate = GaussianProcessRecipe(threads=1).build(0)
    surrogate.fit(records.take(order), ENERGY)
    plain = ExactGP.fit(surrogate._raw, surrogate._y)  # type: ignore[attr-defined]
    assert surrogate.process.hyper == plain.hyper  # type: ignore[attr-defined]


def test_features_that_see_structure_have_no_such_prior(
    records: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, fit = [], ExactGP.fit

    def watched(*args: object, **kwargs: object) -> ExactGP:
        given.append(kwargs.get("blind"))
        return fit(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(ExactGP, "fit", watched)
    for features in ("composition", "fractions+charges", "composition+environments"):
        recipe = GaussianProcessRecipe(features=features, threads=1)
        recipe.build(0).fit(records.take(np.arange(12)), ENERGY)
    assert given == [True, True, False]
