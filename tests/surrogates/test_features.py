"""Elemental table, composition features, Gaussian process, forest, late imports."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import DataError, SurrogateError
from surrogates.featurizers import table as tables
from surrogates.featurizers.composition import NAMES, composition_features
from surrogates.featurizers.elements import COLUMNS, raw_table, standard_table
from surrogates.pyfunc import _load_pyfunc
from surrogates.recipes import GaussianProcessRecipe, RandomForestRecipe
from surrogates.testing import toy_crystals

DATA = Dataset("toy", tuple(toy_crystals(60)))


def test_element_table_is_finite_and_knows_nickel() -> None:
    assert np.isfinite(raw_table()).all() and np.isfinite(standard_table()).all()
    nickel = dict(zip(COLUMNS, raw_table()[28], strict=True))
    assert nickel["group"] == 10 and nickel["valence_d"] == 8
    assert nickel["electronegativity"] == 1.91 and nickel["melting_point"] == 1728
    np.testing.assert_allclose(standard_table()[1:].std(axis=0), 1, rtol=1e-4)


def test_composition_features_are_site_averages() -> None:
    table = composition_features(DATA.crystals)
    assert table.shape == (60, len(NAMES)) and np.isfinite(table).all()
    crystal, row = DATA[5], dict(zip(NAMES, table[5], strict=True))
    assert row["mean_atomic_number"] == pytest.approx(crystal.atomic_numbers.mean())
    assert row["volume_per_atom"] == pytest.approx(
        crystal.structure.volume / crystal.n_atoms
    )


def test_too_little_or_too_much_is_refused() -> None:
    for recipe in (GaussianProcessRecipe(max_records=50), RandomForestRecipe(trees=10)):
        with pytest.raises(SurrogateError, match="1 record"):
            recipe.build(0).fit(DATA[:1], "toy")
        with pytest.raises(SurrogateError, match="not fitted"):
            recipe.build(0).predict(DATA.crystals)
    with pytest.raises(SurrogateError, match="max_records"):
        GaussianProcessRecipe(max_records=50).build(0).fit(DATA, "toy")


def test_constant_labels_are_survived() -> None:
    from matdisco.crystal import Label

    flat = Dataset(
        "flat",
        tuple(c.with_labels({"toy": Label(1.5, "eV/atom")}) for c in DATA.crystals),
    )
    for recipe in (GaussianProcessRecipe(), RandomForestRecipe(trees=10)):
        surrogate = recipe.build(0)
        surrogate.fit(flat, "toy")
        found = surrogate.predict(DATA.crystals)
        np.testing.assert_allclose(found.mean, 1.5, atol=1e-6)
        assert (found.std > 0).all()


def test_served_surrogate_reads_cif_and_json(tmp_path: Path) -> None:
    import json

    surrogate = GaussianProcessRecipe().build(0)
    surrogate.fit(DATA, "toy")
    surrogate.save(tmp_path / "s")
    served = _load_pyfunc(str(tmp_path / "s"))
    crystal = DATA[7]
    frame = pd.DataFrame(
        {"structure": [crystal.to_cif(), json.dumps(crystal.to_dict()["structure"])]},
        index=[10, 11],
    )
    table = served.predict(frame)
    assert list(table.columns) == ["mean", "std"] and list(table.index) == [10, 11]
    expected = surrogate.predict([crystal])
    np.testing.assert_allclose(table["mean"], expected.mean[0], atol=1e-4)
    with pytest.raises(DataError, match="row 0"):
        served.predict(pd.DataFrame({"structure": ["no structure"]}))
    with pytest.raises(DataError, match="column 'structure'"):
        served.predict(pd.DataFrame({"cif": ["x"]}))


def test_recipes_import_without_heavy_libraries() -> None:
    code = (
        "import sys, surrogates.recipes; "
        "print([m for m in ('torch', 'pymatgen', 'sklearn') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"


def test_features_of_a_large_pool_are_made_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "_LARGE", 4)
    made: list[int] = []
    plain = tables.KINDS["composition"]

    def counted(crystals: Sequence[Crystal], n_threads: int) -> np.ndarray:
        made.append(len(crystals))
        return plain(crystals, n_threads)

    monkeypatch.setitem(tables.KINDS, "composition", counted)
    pool, other = tuple(toy_crystals(5, seed=1)), tuple(toy_crystals(5, seed=2))
    first = tables.features("composition", pool)
    np.testing.assert_array_equal(tables.features("composition", pool), first)
    assert made == [5]
    assert not np.array_equal(tables.features("composition", other), first)
    np.testing.assert_array_equal(tables.features("composition", pool), first)
    assert made == [5, 5, 5]  # one pool is remembered
    tables.features("composition", list(pool))  # a list may change
    tables.features("composition", pool[:3])
    assert made == [5, 5, 5, 5, 3]
