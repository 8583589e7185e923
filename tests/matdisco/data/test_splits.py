from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.data.duplicates import group_duplicates
from matdisco.data.splits import SplitRecipe, load_split, prototype, save_split
from matdisco.errors import ConfigError, DataError
from tests.matdisco.data.builders import (
    crystal,
    disguised,
    fluorite,
    perovskite,
    rocksalt,
    wurtzite,
)

KINDS = ["random", "formula", "chemical_system", "prototype", "space_group", "cluster",
         "time", "element"]  # fmt: skip


def _many() -> Dataset:
    """32 crystals of four prototypes, each third one with a disguised near-copy."""
    rng = np.random.default_rng(0)
    found: list[Crystal] = []
    for i, metal in enumerate(["Mg", "Ca", "Sr", "Ba", "Fe", "Ni"]):
        for j, make in enumerate((rocksalt, fluorite, wurtzite, perovskite)):
            structure = make(metal)
            date = {"date": f"20{i:02d}-0{j + 1}-01"}
            one = replace(crystal(structure, f"{metal}-{j}"), source=date)
            found.append(one)
            if (i + j) % 3 == 0:
                copy = disguised(structure, rng)
                copy.scale_lattice(copy.volume * 1.02)
                found.append(replace(one, id=f"{one.id}-copy", structure=copy))
    return Dataset("many", tuple(found))


MANY = _many()


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_complete_and_near_copies_never_straddle(kind: str) -> None:
    elements = ("Ba",) if kind == "element" else ()
    recipe = SplitRecipe(kind=kind, elements=elements, clusters=6)  # type: ignore[arg-type]
    parts = recipe.build(MANY)
    rows = np.concatenate(list(parts.values()))
    assert sorted(rows) == list(range(len(MANY)))
    home = {int(i): name for name, part in parts.items() for i in part}
    for group in group_duplicates(MANY.crystals, "similar"):
        assert len({home[i] for i in group}) == 1
    again = recipe.build(MANY)
    assert all((parts[k] == again[k]).all() for k in parts)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("formula", lambda c: c.formula),
        ("chemical_system", lambda c: c.chemical_system),
        ("prototype", prototype),
    ],
)
def test_groups_stay_whole(kind: str, key) -> None:  # type: ignore[no-untyped-def]
    parts = SplitRecipe(kind=kind).build(MANY)  # type: ignore[arg-type]
    seen = [{key(MANY[int(i)]) for i in rows} for rows in parts.values()]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_shares_are_met_where_groups_are_small() -> None:
    parts = SplitRecipe(kind="formula").build(MANY)
    shares = {k: len(v) / len(MANY) for k, v in parts.items()}
    assert shares == pytest.approx(
        {"train": 0.8, "validation": 0.1, "test": 0.1}, abs=0.1
    )


@settings(max_examples=5, deadline=None)
@given(st.integers(2, 6), st.integers(0, 99))
def test_folds_are_even(folds: int, seed: int) -> None:
    sizes = [len(v) for v in SplitRecipe(folds=folds, seed=seed).build(MANY).values()]
    assert len(sizes) == folds
    assert max(sizes) - min(sizes) <= 3


def test_time_tests_on_the_newest() -> None:
    parts = SplitRecipe(kind="time").build(MANY)
    newest = [max(str(MANY[int(i)].source["date"]) for i in v) for v in parts.values()]
    assert newest == sorted(newest)
    with pytest.raises(DataError, match="have no date"):
        SplitRecipe(kind="time").build(
            Dataset("x", (crystal(rocksalt(), "a"), crystal(wurtzite(), "b")))
        )


def test_element_leaves_it_out_of_training() -> None:
    parts = SplitRecipe(kind="element", elements=("Ba",)).build(MANY)
    assert all("Ba" in MANY[int(i)].elements for i in parts["test"])
    assert not any("Ba" in MANY[int(i)].elements for i in parts["train"])


def test_clusters_of_given_latents_stay_whole() -> None:
    latents = np.array([[float(len(c.structure)), 0.0] for c in MANY])
    recipe = SplitRecipe(kind="cluster", clusters=3, guard=None)
    parts = recipe.build(MANY, latents=latents)
    sizes = [{len(MANY[int(i)].structure) for i in rows} for rows in parts.values()]
    assert sum(map(len, sizes)) == len(set.union(*sizes))
    with pytest.raises(DataError, match=r"expected latents of shape .* got \(5, 2\)"):
        recipe.build(MANY, latents=latents[:5])


def test_a_stored_split_belongs_to_its_data(tmp_path: Path) -> None:
    recipe = SplitRecipe()
    save_split(tmp_path, "mine", MANY, recipe, recipe.build(MANY))
    parts = load_split(tmp_path, "mine", MANY)
    assert sum(map(len, parts.values())) == len(MANY)
    with pytest.raises(DataError, match="no split 'yours'; known: mine"):
        load_split(tmp_path, "yours", MANY)
    with pytest.raises(DataError, match="was made for content"):
        load_split(tmp_path, "mine", MANY[:5])


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"parts": {"a": 0.5}}, "add up to 1"),
        ({"kind": "element"}, "needs elements"),
        ({"folds": 1}, "at least 2"),
        ({"kind": "prototyp"}, "did you mean prototype"),
    ],
)
def test_bad_recipes_are_refused(block: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SplitRecipe.from_mapping(block, source="t")
