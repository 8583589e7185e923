"""Local environments against known crystals; fractions; a user's own embedding."""

from collections.abc import Sequence

import numpy as np
import pytest

from matdisco.crystal import Crystal
from matdisco.errors import ConfigError, SurrogateError
from surrogates.featurizers.environments import NAMES, environment_features, layer_gap
from surrogates.featurizers.table import features
from surrogates.recipes import GaussianProcessRecipe
from surrogates.testing import toy_crystals, variants

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
SALT = Crystal.from_arrays("NaCl", 5.64 * FCC, ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


def test_rocksalt_has_six_bonds_of_known_length() -> None:
    row = dict(zip(NAMES, environment_features([SALT])[0], strict=True))
    # Hoppe weights of the 12 second neighbours, at 1.41 times the distance, are 0.001
    assert row["mean_coordination"] == pytest.approx(6.0, abs=0.05)
    assert row["mean_bond_length"] == pytest.approx(2.82, abs=0.005)
    assert row["min_shortest_bond"] == pytest.approx(2.82)
    stiffness = np.sqrt(1 / 22.98977 + 1 / 35.453)
    assert row["mean_stiffness"] == pytest.approx(stiffness, rel=3e-3)
    assert row["mean_difference_electronegativity"] == pytest.approx(2.23, abs=0.03)
    assert row["density"] == pytest.approx((22.98977 + 35.453) / (5.64**3 / 4))


def test_layers_are_seen_from_every_cell() -> None:
    graphite = Crystal.from_arrays(
        "C", [[2.46, 0, 0], [-1.23, 2.1304, 0], [0, 0, 6.71]], ["C"] * 4,
        [[0, 0, 0.25], [0, 0, 0.75], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
    )  # fmt: skip
    assert layer_gap(graphite) == pytest.approx(6.71 / 2)
    for name, other in variants(graphite).items():
        assert layer_gap(other) == pytest.approx(6.71 / 2, abs=1e-6), name


def test_rows_do_not_depend_on_how_a_cell_is_written() -> None:
    for crystal in toy_crystals(6):
        rows = environment_features([crystal, *variants(crystal).values()])
        assert np.isfinite(rows).all()
        np.testing.assert_allclose(rows[1:], rows[:1].repeat(5, axis=0), atol=1e-5)


def test_fractions() -> None:
    row = features("fractions", [SALT])[0]
    assert row[10] == row[16] == 0.5 and row.sum() == pytest.approx(1.0)


class Volume:
    """A user's embedding: one column."""

    name = "volume"
    version = "1"
    width = 1

    def __call__(self, crystals: Sequence[Crystal]) -> np.ndarray:
        return np.array([[c.structure.volume / c.n_atoms] for c in crystals])


class Broken:
    name = "broken"


def test_your_own_embedding() -> None:
    place = f"{__name__}:Volume"
    both = features(f"fractions+{place}", [SALT])
    assert both[0, -1] == pytest.approx(SALT.structure.volume / 2)
    assert GaussianProcessRecipe(features=place).packages == ()
    for wrong, message in (
        (f"{__name__}:Broken", "expected an object with name"),
        (f"{__name__}:Missing", "cannot import it"),
        ("no_such_module:X", "cannot import it"),
        ("json:dumps", "calling it failed"),
    ):
        with pytest.raises(SurrogateError, match=message):
            features(wrong, [SALT])


def test_unknown_features_are_refused_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="did you mean chgnet"):
        GaussianProcessRecipe.from_mapping({"features": "chgnt"}, source="a.yaml")
    recipe = GaussianProcessRecipe(features="chgnet+sevennet", trend="chgnet")
    assert recipe.packages == (("chgnet", "chgnet"), ("sevenn", "sevennet"))
