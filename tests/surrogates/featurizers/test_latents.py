"""Latents of potentials and their cache on disk."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import MatdiscoError, SurrogateError
from surrogates.featurizers import pretrained
from surrogates.featurizers.latent_cache import cached_rows
from surrogates.featurizers.pretrained import (
    CHGNET_LAYERS_WIDTH,
    CHGNET_WIDTH,
    SEVENNET_WIDTH,
)
from surrogates.featurizers.table import features
from surrogates.recipes import GaussianProcessRecipe, ZeroShotRecipe
from surrogates.testing import toy_crystals, variants

CRYSTALS = toy_crystals(12)


class Counter:
    """A featurizer that says how often it was asked."""

    def __init__(self) -> None:
        self.computed = 0

    def __call__(self, crystals: list[Crystal]) -> np.ndarray:
        self.computed += len(crystals)
        return np.array([[c.n_atoms, c.structure.volume / 3] for c in crystals])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MATDISCO_CACHE", str(tmp_path))
    return tmp_path / "latents"


def ask(compute: Counter, crystals: list[Crystal], **recipe: object) -> np.ndarray:
    return cached_rows("toy", recipe, crystals, compute, width=2)


def test_each_structure_is_computed_once(folder: Path) -> None:
    compute = Counter()
    first = ask(compute, CRYSTALS[:8])
    assert compute.computed == 8
    again = ask(compute, [*CRYSTALS, CRYSTALS[0]])
    assert compute.computed == 12
    np.testing.assert_array_equal(again[:8], first)
    np.testing.assert_array_equal(again[12], first[0])
    ask(compute, CRYSTALS, version="2")
    assert compute.computed == 24, "another recipe is another cache"
    assert ask(compute, []).shape == (0, 2)


@pytest.mark.parametrize("damage", ["bytes", "row"])
def test_a_damaged_cache_is_computed_again(folder: Path, damage: str) -> None:
    compute = Counter()
    first = ask(compute, CRYSTALS)
    (file,) = folder.glob("*.sqlite")
    if damage == "bytes":
        file.write_bytes(b"not a database" * 100)
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE rows SET v = zeroblob(8)")
        connection.close()
    np.testing.assert_array_equal(ask(compute, CRYSTALS), first)
    assert compute.computed == 24
    ask(compute, CRYSTALS)
    assert compute.computed == 24, "the repaired cache works"


def test_an_unwritable_folder_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MATDISCO_CACHE", str(blocked))
    compute = Counter()
    first = ask(compute, CRYSTALS)
    np.testing.assert_array_equal(ask(compute, CRYSTALS), first)
    assert compute.computed == 12, "memory stands in for the disk"


def test_many_writers_at_once(folder: Path) -> None:
    computes = [Counter() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda c: ask(c, CRYSTALS), computes))
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])


def test_rows_that_are_not_finite_name_the_crystal(folder: Path) -> None:
    with pytest.raises(SurrogateError, match=f"{CRYSTALS[0].id}: toy features"):
        cached_rows(
            "toy", {}, CRYSTALS, lambda c: np.full((len(c), 2), np.nan), width=2
        )


@pytest.mark.parametrize(
    ("kind", "package", "width", "energy"),
    [  # eV/atom from the packages' own ASE calculators (chgnet 0.4.2, sevenn 0.13.0)
        ("chgnet", "chgnet", CHGNET_WIDTH, -3.73401),
        ("chgnet_layers", "chgnet", CHGNET_LAYERS_WIDTH, -3.73401),
        pytest.param(  # its import alone takes 10 s
            "sevennet", "sevenn", SEVENNET_WIDTH, -3.66813, marks=pytest.mark.slow
        ),
    ],
)
def test_latents_do_not_depend_on_how_a_crystal_is_written(
    kind: str, package: str, width: int, energy: float, folder: Path
) -> None:
    pytest.importorskip(package)
    crystal = CRYSTALS[3]
    rows = features(kind, [crystal, *variants(crystal).values()], n_threads=1)
    assert rows.shape == (6, width)
    np.testing.assert_allclose(rows[1:], rows[:1].repeat(5, axis=0), atol=2e-4)
    assert rows[0, -1] == pytest.approx(energy, abs=1e-4)


def test_the_last_layer_is_chgnets_own_crystal_feature() -> None:
    pytest.importorskip("chgnet")
    from surrogates.featurizers.pretrained import _chgnet_model

    model = _chgnet_model()
    found = features("chgnet", CRYSTALS[:2], n_threads=1)
    for row, crystal in zip(found, CRYSTALS[:2], strict=True):
        graph = model.graph_converter(crystal.structure)
        own = model.predict_graph(graph, task="e", return_crystal_feas=True)
        expected = own["crystal_fea"] / crystal.n_atoms
        np.testing.assert_allclose(row[:-1], expected, atol=1e-4)


@pytest.mark.parametrize("package", ["chgnet", "sevenn"])
@pytest.mark.parametrize("what", ["flat cell", "nearly flat cell", "not a number"])
def test_a_potential_is_not_asked_where_it_would_not_end(
    folder: Path, package: str, what: str
) -> None:
    """Refused before the weights are even loaded."""
    if find_spec(package) is None:
        pytest.skip(f"needs the package {package}")
    kind = {"chgnet": "chgnet_layers", "sevenn": "sevennet"}[package]
    cell, spots = np.eye(3) * 4.0, np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    if what == "not a number":
        spots[1, 2] = np.nan
    else:
        cell[2] = 0.5 * (cell[0] + cell[1])
        cell[2, 2] = 0.01 * (what == "nearly flat cell")
    crystal = Crystal.from_arrays("odd", cell, [29, 79], spots)
    with pytest.raises(MatdiscoError, match=r"odd.*(flat|not a number)"):
        features(kind, [crystal], n_threads=1)


def pair(gap: float, cell: float = 4.0) -> Crystal:
    """Two aluminium atoms, ``gap`` Å apart, in a cube."""
    spots = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, gap / cell]])
    return Crystal.from_arrays("pair-9", np.eye(3) * cell, ["Al", "Al"], spots)


@pytest.mark.parametrize(
    ("kind", "package", "width"),
    [
        ("chgnet", "chgnet", CHGNET_LAYERS_WIDTH),
        ("sevennet", "sevenn", SEVENNET_WIDTH),
    ],
)
def test_overlapping_atoms_are_refused_even_where_a_row_is_kept(
    kind: str, package: str, width: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions kept what the potential made up of them."""
    if find_spec(package) is None:
        pytest.skip(f"needs the package {package}")
    energy = -1.0

    def potential(crystals: list[Crystal], n_threads: int) -> np.ndarray:
        return np.full((len(crystals), width), energy)

    monkeypatch.setattr(pretrained, f"_{kind}", potential)
    with monkeypatch.context() as before:
        before.setattr(pretrained, "require_apart", lambda name, crystals: None)
        assert len(features(kind, [pair(0.004)])) == 1
        assert len(features(kind, [pair(0.7)])) == 1
    with pytest.raises(SurrogateError, match=r"pair-9: atoms 0 and 1 are 0\.004 Å"):
        features(kind, [CRYSTALS[0], pair(0.004)])
    with pytest.raises(
        SurrogateError,
        match=r"pair-9: atoms 0 \(Al\) and 1 \(Al\) are 0\.700 Å.* 0\.29 .*least 0\.5",
    ):
        features(kind, [CRYSTALS[0], pair(0.7)])
    energy = -5858.0  # of SevenNet-0 at 0.5 Å
    with pytest.raises(SurrogateError, match=r"pair-9: .* -5\.86e\+03 eV.* 1\.600 Å"):
        features(kind, [pair(1.6)])


@pytest.mark.parametrize(
    "recipe",
    [
        GaussianProcessRecipe(trend="chgnet", threads=1),
        ZeroShotRecipe(threads=1),
        GaussianProcessRecipe(features="chgnet", threads=1),
    ],
    ids=["trend", "zero shot", "features"],
)
def test_no_surrogate_asks_a_potential_about_fused_atoms(
    recipe: GaussianProcessRecipe | ZeroShotRecipe,
) -> None:
    pytest.importorskip("chgnet")
    rows = tuple(
        c.with_labels({"x": Label(c.value("toy"), "eV/atom")}) for c in CRYSTALS[:5]
    )
    surrogate = recipe.build(0)
    surrogate.fit(Dataset("pairs", rows), "x")
    with pytest.raises(SurrogateError, match=r"pair-9: atoms 0 .* 0\.600 Å apart"):
        surrogate.predict([pair(2.6, 5.0), pair(0.6, 5.0)])


def test_a_crystal_without_neighbours_is_told_what_to_do(folder: Path) -> None:
    pytest.importorskip("chgnet")
    with pytest.raises(SurrogateError, match=r"pair-9: .* composition features"):
        features("chgnet", [pair(7.0, 14.0)], n_threads=1)
