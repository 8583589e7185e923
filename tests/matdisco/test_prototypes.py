"""Prototype candidates: counted right, decorated right, scaled sensibly."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from matdisco.candidates.prototype_library import index
from matdisco.candidates.prototypes import PrototypeCandidates
from matdisco.candidates.streaming import PoolWriter
from matdisco.candidates.volume import atomic_volume, packing_fraction
from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import ConfigError


@pytest.mark.parametrize(
    "settings",
    [
        {"elements": ("Al", "Ni", "Ti")},
        {"elements": ("Cu", "Au"), "components": (2,), "max_atoms": 4},
        {"elements": ("Fe",), "components": (1,), "min_packing": 0.3},
        {
            "elements": ("Al", "Ni", "Ti", "Cu"),
            "never_only": ("Al", "Ni"),
            "max_atoms": 5,
        },
        {"elements": ("Al", "Ni", "Ti"), "sample": 17, "seed": 4},
    ],
)
def test_the_estimate_is_the_size_of_the_pool(settings):
    recipe = PrototypeCandidates(**settings)
    pool = recipe.build()
    assert recipe.estimate().count == len(pool)
    assert recipe.estimate().exact
    assert set(pool.elements) <= set(recipe.elements)
    assert max(c.n_atoms for c in pool) <= recipe.max_atoms


def test_same_recipe_same_pool_and_samples_are_nested():
    small = PrototypeCandidates(elements=("Al", "Ni"), sample=5, seed=1).build()
    again = PrototypeCandidates(elements=("Al", "Ni"), sample=5, seed=1).build()
    large = PrototypeCandidates(elements=("Al", "Ni"), sample=9, seed=1).build()
    assert small.content_hash == again.content_hash
    assert large.ids[:5] == small.ids


def test_a_pool_keeps_the_hash_that_ledgers_and_datasets_hold():
    pool = PrototypeCandidates(elements=("Al", "Ni"), max_atoms=4).build()
    whole = Dataset("whole", tuple(Crystal.from_dict(c.to_dict()) for c in pool))
    assert whole.content_hash == pool.content_hash
    assert pool.content_hash == (
        "1e73984efe8580cbea03901fd8d5b58420f91f1305641f869f61a442fddb8f97"
    )


def test_a_streamed_pool_is_the_file_that_the_whole_dataset_would_be(tmp_path):
    recipe = PrototypeCandidates(elements=("Al", "Ni"), max_atoms=4)
    whole = Dataset(
        "x", tuple(Crystal(c.id, c.structure, {}, c.source) for c in recipe.build())
    )
    whole.save(tmp_path / "whole.parquet")
    with PoolWriter(tmp_path / "pool.parquet", "x") as writer:
        for crystal in recipe.stream():
            writer.add(crystal)
        writer.finish()
    tables = [pq.read_table(tmp_path / f"{n}.parquet") for n in ("whole", "pool")]
    assert tables[0].equals(tables[1])
    assert Dataset.open(tmp_path / "pool.parquet").content_hash == whole.content_hash


def test_never_only_leaves_no_such_compound_but_keeps_the_elements():
    pool = PrototypeCandidates(
        elements=("Al", "Ni", "Ti", "Cu"), never_only=("Al", "Ni", "Ti"), max_atoms=4
    ).build()
    barred = {"Al", "Ni", "Ti"}
    assert not [c for c in pool if len(c.elements) > 1 and set(c.elements) <= barred]
    assert {c.elements[0] for c in pool if len(c.elements) == 1} == barred | {"Cu"}


def test_known_structures_are_in_the_pool():
    pool = {c.id: c for c in PrototypeCandidates(elements=("Al", "Ni", "Ti")).build()}
    b2 = pool["AlNi.AB_cP2_221_b_a"].structure
    assert b2.composition.reduced_formula == "AlNi"
    assert len(pool["AlNi3.AB3_cP4_221_a_c"].structure) == 4  # L1_2
    assert pool["Ti3Al.A3B_hP8_194_h_c"].formula == "Ti3Al"  # D0_19
    heuslers = [c for c in pool.values() if c.source["strukturbericht"] == "L2_1"]
    assert {c.formula for c in heuslers} == {"TiAlNi2", "TiAl2Ni", "Ti2AlNi"}


def test_candidates_of_one_formula_are_different_structures():
    pool = PrototypeCandidates(
        elements=("Al", "Ni"), components=(2,), max_atoms=4
    ).build()
    matcher = StructureMatcher(ltol=0.05, stol=0.05, angle_tol=1.0)
    blocks: dict[str, list] = {}
    for crystal in pool:
        blocks.setdefault(crystal.formula, []).append(crystal.structure)
    for block in blocks.values():
        for i, a in enumerate(block):
            assert not any(matcher.fit(a, b) for b in block[:i])


def test_volumes_are_near_zen_and_contacts_are_not_absurd():
    pool = PrototypeCandidates(elements=("Al", "Ni", "Ti")).build()
    ratio = [
        c.structure.volume / sum(atomic_volume(s.specie.symbol) for s in c.structure)
        for c in pool
    ]
    assert min(ratio) > 0.999
    assert np.median(ratio) == pytest.approx(1.0, abs=1e-6)
    assert max(ratio) < 4.0
    assert atomic_volume("Al") == pytest.approx(16.6, abs=0.1)  # Å³, a = 4.05 Å
    assert atomic_volume("Ni") == pytest.approx(10.94, abs=0.1)  # a = 3.52 Å


def test_packing_of_the_textbook_structures():
    table = {e["name"]: e["packing"] for e in index()["prototypes"]}
    assert table["A_cF4_225_a"] == pytest.approx(0.740, abs=1e-3)
    assert table["A_cI2_229_a"] == pytest.approx(0.680, abs=1e-3)
    assert table["A_cP1_221_a"] == pytest.approx(0.524, abs=1e-3)
    assert table["A_cF8_227_a"] == pytest.approx(0.340, abs=1e-3)
    fcc = PrototypeCandidates(
        elements=("Al",), components=(1,), prototypes=("A_cF4_225_a",)
    ).build()
    assert packing_fraction(fcc[0].structure) == pytest.approx(0.7405, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"elements": ["Al", "Xx"]}, "unknown element 'Xx'"),
        ({"elements": ["Al", "Al"]}, "given twice"),
        ({"elements": []}, "at least one element"),
        ({"elements": ["Al"], "components": [5]}, "from 1 to 4"),
        ({"elements": ["Al"], "prototypes": ["AB_cP2_221_a_b"]}, "did you mean"),
    ],
)
def test_wrong_recipes_are_sentences(settings, message):
    with pytest.raises(ConfigError, match=message):
        PrototypeCandidates.from_mapping(settings, source="x")


def test_empty_pool_is_refused():
    recipe = PrototypeCandidates(elements=("Al",), components=(2,))
    with pytest.raises(ConfigError, match="pool would be empty"):
        recipe.estimate()


@pytest.mark.slow
def test_the_index_is_what_make_index_computes():
    from matdisco.candidates.prototype_library import make_index

    assert make_index() == index()
