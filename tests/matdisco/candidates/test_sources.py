"""Every candidate source passes the shipped conformance test, and tells the truth."""

from __future__ import annotations

import zipfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pymatgen.core import Element, Lattice, Structure

from matdisco.candidates.base import counts_of
from matdisco.candidates.files import FileCandidates, ReadCandidates
from matdisco.candidates.orderings import OrderingCandidates
from matdisco.candidates.prototypes import PrototypeCandidates
from matdisco.candidates.random_symmetric import RandomSymmetricCandidates
from matdisco.candidates.streaming import PoolWriter
from matdisco.candidates.substitution import SubstitutionCandidates
from matdisco.candidates.union import UnionCandidates
from matdisco.candidates.volume import starting_volume
from matdisco.candidates.where import Where
from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import ConfigError, DataError
from matdisco.testing import check_candidates


def rocksalt(a: float, one: str, other: str) -> Structure:
    cell = a / 2 * (1 - np.eye(3))
    return Structure(Lattice(cell), [one, other], [[0, 0, 0], [0.5, 0.5, 0.5]])


def perovskite() -> Structure:
    spots = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(3.91), ["Sr", "Ti", "O", "O", "O"], spots)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("known")
    energy = {"energy_per_atom": Label(-1.0, "eV/atom", "made up")}
    crystals = (
        Crystal("mgo", rocksalt(4.21, "Mg", "O"), energy),
        Crystal("sto", perovskite(), energy),
    )
    return Dataset("known", crystals).save(folder / "known.parquet")


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """What generative tools leave: a zip of CIF files, and one extxyz."""
    folder = tmp_path_factory.mktemp("generated")
    crystals = [Crystal("a", rocksalt(4.2, "Mg", "O")), Crystal("b", perovskite())]
    with zipfile.ZipFile(folder / "generated_crystals_cif.zip", "w") as archive:
        for i, crystal in enumerate(crystals):
            archive.writestr(f"gen_{i}.cif", crystal.to_cif())
    from ase.io import write

    write(folder / "generated_crystals.extxyz", [c.to_atoms() for c in crystals])
    return folder


def test_prototypes_with_conditions():
    where = Where(must_contain=("O",), formulas=("AB3",), balanced=True)
    recipe = PrototypeCandidates(
        elements=("Al", "Ti", "O", "Na"), components=(2, 3), max_atoms=8,
        volume="bonds", where=where,
    )  # fmt: skip
    made = check_candidates(recipe, limit=60)
    assert recipe.estimate().exact
    free = recipe.model_copy(update={"where": None})
    kept = [c.id for c in free.stream() if where.allows(counts_of(c))]
    assert kept == [c.id for c in made]
    assert 0 < len(kept) < free.estimate().count / 4


def test_datasets_files_and_unions(known, generated):
    check_candidates(FileCandidates(path=str(known)), overlaps=False)
    archive = ReadCandidates(path=str(generated / "generated_crystals_cif.zip"))
    frames = ReadCandidates(
        path=str(generated / "generated_crystals.extxyz"), volume="bonds"
    )
    # reading starts a guarded process each time: the zip is streamed once only
    for recipe, made in (
        (archive, list(archive.stream())),
        (frames, check_candidates(frames)),
    ):
        assert [c.formula for c in made] == ["MgO", "SrTiO3"]
        assert recipe.estimate().count == 2 and recipe.estimate().mean_atoms == 3.5
    union = UnionCandidates(
        parts=(
            FileCandidates(path=str(known)),
            PrototypeCandidates(elements=("Mg", "O"), max_atoms=2),
        ),
        where=Where(elements=("Mg", "O")),
    )
    assert {c.formula for c in check_candidates(union)} >= {"MgO", "Mg"}


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "good.cif").write_text(Crystal("a", perovskite()).to_cif())
    (tmp_path / "bad.cif").write_text("data_x\n_cell_length_a nonsense\n")
    with pytest.raises(ConfigError, match=r"bad\.cif cannot be read.*skip_unreadable"):
        list(ReadCandidates(path=str(tmp_path)).stream())
    lenient = ReadCandidates(path=str(tmp_path), skip_unreadable=True)
    assert len(list(lenient.stream())) == 1


def test_substitution_keeps_charge_balance_and_finds_known_salts(known):
    recipe = SubstitutionCandidates(
        parents=str(known), elements=("Ca", "Ba", "Zr", "Na", "O", "F", "Cl")
    )
    made = check_candidates(recipe)
    assert {"CaO", "NaF", "NaCl", "BaZrO3"} <= {c.formula for c in made}
    shares = [c.source["probability"] for c in made if c.source["parent"] == "mgo"]
    assert shares == sorted(shares, reverse=True) and min(shares) >= 1e-3
    best = [c.id for c in recipe.model_copy(update={"keep": 3}).stream()]
    ranked = sorted(made, key=lambda c: -c.source["probability"])[:3]
    assert set(best) == {c.id for c in ranked}


def test_orderings_are_those_of_hart_and_forcade():
    """Symmetry-distinct fcc binaries per cell size, Phys. Rev. B 77, 224115, table."""
    pytest.importorskip("icet")
    recipe = OrderingCandidates(lattice="fcc", elements=("Cu", "Au"), max_cells=6)
    sizes = Counter(c.n_atoms for c in recipe.stream())
    assert sizes == {1: 2, 2: 2, 3: 6, 4: 19, 5: 28, 6: 80}
    assert recipe.estimate().count >= 137
    small = recipe.model_copy(update={"max_cells": 3})
    check_candidates(small)
    gold = small.model_copy(update={"fractions": {"Au": (0.0, 0.4)}})
    assert all(counts_of(c).get("Au", 0) / c.n_atoms <= 0.4 for c in gold.stream())


def test_random_crystals_have_their_symmetry():
    pytest.importorskip("pyxtal")
    from matdisco.data.fingerprints import space_group

    recipe = RandomSymmetricCandidates(elements=("Ti", "O"), components=(2,), n=3)
    made = check_candidates(recipe)
    longer = recipe.model_copy(update={"n": 4})
    assert [c.id for c in longer.stream()][: len(made)] == [c.id for c in made]
    for crystal in made:
        assert space_group(crystal.structure, 0.05) >= crystal.source["space_group"]


@settings(max_examples=25, deadline=None)
@given(
    counts=st.dictionaries(
        st.sampled_from(["Li", "O", "Fe", "Cu", "S"]), st.integers(1, 6), min_size=1
    ),
    where=st.builds(
        Where,
        elements=st.sampled_from([None, ("Li", "O"), ("Fe", "O", "S", "Cu")]),
        must_contain=st.sampled_from([(), ("O",)]),
        never=st.sampled_from([(), ("Cu",)]),
        components=st.sampled_from([None, (2,), (1, 3)]),
        max_atoms=st.sampled_from([None, 5]),
        formulas=st.sampled_from([(), ("AB",), ("B2A", "ABC")]),
    ),
)
def test_where_means_what_it_says(counts, where):
    from pymatgen.core import Composition

    formula, mine = Composition(counts), set(counts)
    shapes = {Composition(f).anonymized_formula for f in where.formulas}
    expected = (
        (where.elements is None or mine <= set(where.elements))
        and set(where.must_contain) <= mine
        and not mine & set(where.never)
        and (where.components is None or len(mine) in where.components)
        and (where.max_atoms is None or sum(counts.values()) <= where.max_atoms)
        and (not shapes or formula.anonymized_formula in shapes)
    )
    assert where.allows(counts) == expected


def test_a_union_with_files_allows_the_elements_of_the_files(known):
    union = UnionCandidates(
        parts=(
            FileCandidates(path=str(known)),
            PrototypeCandidates(elements=("Cu", "Au"), max_atoms=2),
        )
    )
    limits = union.limits()
    assert limits({"Cu": 1, "Au": 3}) is None
    assert limits({"Mg": 2, "Sr": 1, "O": 1}) is None
    told = limits({"Mg": 1, "Cu": 1})
    assert told is not None
    assert "parts[0] elements: Cu besides Mg, O, Sr, Ti" in told
    assert "parts[1] elements: Mg besides Au, Cu" in told


def test_every_candidate_is_inside_the_limits_of_its_recipe():
    recipe = PrototypeCandidates(
        elements=("Al", "Ti", "O"), max_atoms=6, never_only=("Al", "Ti"),
        where=Where(fractions={"O": (0.3, 0.7)}, max_atoms=5),
    )  # fmt: skip
    limits = recipe.limits()
    assert all(limits(counts_of(c)) is None for c in recipe.stream())
    told = {
        limits({"Al": 1, "Ti": 3}),
        limits({"Al": 1, "O": 3}),
        limits({"Al": 3, "O": 3}),
    }
    assert told == {
        "never_only: only Al, Ti",
        "fractions: O is 0.75 of the atoms, allowed are 0.3 to 0.7",
        "max_atoms: 6 atoms, more than 5",
    }


def test_an_empty_source_says_why(known):
    alloys = SubstitutionCandidates(
        parents="shipped:al-ni-ti", elements=("Cu", "Au", "Pd")
    )
    with pytest.raises(ConfigError, match=r"the 987 parents.*\d+ have no whole oxid"):
        alloys.estimate()
    rare = SubstitutionCandidates(parents=str(known), elements=("U", "Xe"))
    with pytest.raises(ConfigError, match=r"1 have no exchange into U, Xe.* as 0\.001"):
        rare.estimate()
    salts = SubstitutionCandidates(
        parents=str(known), elements=("Ca", "Na", "O", "F"),
        where=Where(formulas=("AB2",)),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"leaves out all.*where\.formulas: not of"):
        salts.build()
    with pytest.raises(ConfigError, match=r"where\.must_contain: no Pd \(120 of them"):
        PrototypeCandidates(
            elements=("Cu", "Au"), max_atoms=4, where=Where(must_contain=("Pd",))
        ).estimate()
    for ask in ("build", "estimate"):
        with pytest.raises(ConfigError, match=r"parts\[0\]: .*no whole oxidation"):
            getattr(UnionCandidates(parts=(alloys,)), ask)()


def sources(known):
    salts = SubstitutionCandidates(parents=str(known), elements=("Ca", "Na", "O", "F"))
    dataset = FileCandidates(path="shipped:al-ni-ti")
    return {
        "dataset": dataset,
        "files": ReadCandidates(path=str(known)),
        "substitution": salts,
        "kept": salts.model_copy(update={"keep": 1}),
        "orderings": OrderingCandidates(
            lattice="fcc", elements=("Cu", "Au"), max_cells=3
        ),
        "prototypes": PrototypeCandidates(elements=("Cu", "Au"), max_atoms=4),
        "sample": PrototypeCandidates(elements=("Cu", "Au"), max_atoms=4, sample=7),
        "union": UnionCandidates(parts=(dataset, salts)),
    }


@pytest.mark.parametrize("kind", sources("x"))
def test_where_is_answered_before_anything_is_built(known, kind):
    recipe = sources(known)[kind]
    made = [counts_of(c) for c in recipe.stream()]
    looked, complete = recipe.compositions()
    assert complete and [dict(c) for c in looked] == [dict(c) for c in made]
    barren = recipe.model_copy(update={"where": Where(must_contain=("Xe",))})
    with pytest.raises(ConfigError, match=r"would be empty: .*must_contain: no Xe"):
        barren.estimate()
    few = recipe.model_copy(update={"where": Where(components=(2,), max_atoms=4)})
    left = [counts_of(c) for c in few.stream()]
    if left:
        size = few.estimate()
        assert size.count == len(left)
        # of a sample it is the mean of all that it is drawn from
        atoms = float(np.mean([sum(c.values()) for c in left]))
        assert size.mean_atoms == pytest.approx(atoms, rel=0.05)


def test_where_that_cannot_be_answered_is_a_doubt(known, monkeypatch):
    monkeypatch.setattr("matdisco.candidates.substitution.PARENTS_TRIED", 1)
    salts = SubstitutionCandidates(
        parents=str(known), elements=("Ca", "Na", "O", "F"),
        where=Where(components=(3,)),
    )  # fmt: skip
    told = str(salts.estimate())
    assert "perhaps none: where leaves out the first" in told
    assert "components: 2 different elements, allowed are 3" in told
    told = str(salts.model_copy(update={"keep": 1}).estimate())
    assert "perhaps none: too many of substitution-" in told


def test_random_crystals_that_no_condition_allows_are_refused_at_once():
    recipe = RandomSymmetricCandidates(
        elements=("Li", "Na", "Cl"), n=5, tries=20,
        where=Where(fractions={"Li": (0.001, 0.002)}),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"would be empty: .*where\.fractions: Li is"):
        recipe.estimate()
    with pytest.raises(ValidationError, match="sets of elements to draw from, more"):
        RandomSymmetricCandidates(
            elements=tuple(Element.from_Z(z).symbol for z in range(1, 41)),
            components=(10,), max_atoms=20,
        )  # fmt: skip


def test_a_rare_composition_is_a_doubt_where_enough_are_drawn():
    rare = RandomSymmetricCandidates(
        elements=("Li", "Na", "Cl"), n=500, tries=100,
        where=Where(fractions={"Li": (0.001, 0.002)}),
    )  # fmt: skip
    assert "perhaps none: where leaves out the first 1,000" in str(rare.estimate())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"components": [0, 2]}, r"components: expected numbers .* got \[0, 2\]"),
        ({"components": []}, "from 1 up"),
        ({"elements": ["Es", "O"]}, "PyXtal has no radii of Es; expected elements up"),
        ({"tries": 10**9}, "tries: expected less than or equal to 10000"),
    ],
)
def test_random_crystals_that_cannot_be_drawn_are_refused(settings, message):
    given = {"elements": ["Li", "O"], **settings}
    with pytest.raises(ConfigError, match=message):
        RandomSymmetricCandidates.from_mapping(given, source="x")


def test_files_of_other_programs_are_sentences(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_text("no")
    for name in ("other", "broken"):
        path = str(tmp_path / f"{name}.parquet")
        with pytest.raises(ConfigError, match="is not a matdisco dataset"):
            SubstitutionCandidates(parents=path, elements=("Ca", "O")).estimate()
        with pytest.raises(ConfigError, match="is not a matdisco dataset"):
            ReadCandidates(path=path).estimate()
    assert ReadCandidates(path="shipped:al-ni-ti").estimate().count == 987
    (tmp_path / "text.cif").write_text("hello")
    lenient = ReadCandidates(path=str(tmp_path / "text.cif"), skip_unreadable=True)
    with pytest.raises(ConfigError, match=r"no structure in .* can be read; matdisco"):
        lenient.build()
    parents = SubstitutionCandidates(
        parents=str(tmp_path / "text.cif"), elements=("Ca", "O")
    )
    with pytest.raises(ConfigError, match=r"cannot be read") as error:
        parents.estimate()
    assert "skip_unreadable" not in str(error.value)  # it has no such key


def test_a_molecule_in_its_box_is_no_candidate(tmp_path):
    from ase.build import bulk, molecule
    from ase.io import write

    path = str(tmp_path / "made.extxyz")
    write(path, [bulk("Cu"), molecule("H2O")])
    with pytest.raises(ConfigError, match=r"record 1 .*without a periodic cell.*skip_"):
        ReadCandidates(path=path).build()
    lenient = ReadCandidates(path=path, skip_unreadable=True)
    assert [c.formula for c in lenient.stream()] == ["Cu"]


def test_wrong_conditions_are_told():
    with pytest.raises(ValidationError, match="letters with whole amounts"):
        Where(formulas=("ab",))
    with pytest.raises(ValidationError, match="the lower one first"):
        Where(fractions={"O": (0.7, 0.2)})
    with pytest.raises(ValidationError, match="either lattice"):
        OrderingCandidates(elements=("Cu", "Au"))


@pytest.mark.parametrize(
    ("one", "other", "a"),
    [("Mg", "O", 4.21), ("Na", "Cl", 5.64), ("Ti", "N", 4.24), ("Pb", "S", 5.94)],
)
def test_bond_volumes_are_near_experiment(one, other, a):
    structure = rocksalt(a, one, other)
    structure.scale_lattice(3 * structure.volume)
    ratio = starting_volume(structure, "bonds") / (a**3 / 4)
    assert abs(np.log(ratio)) < 0.3


def test_a_streamed_file_is_the_saved_one(tmp_path):
    recipe = PrototypeCandidates(elements=("Cu", "Au"), max_atoms=4)
    pool = recipe.build()
    with PoolWriter(tmp_path / "pool.parquet", pool.name) as writer:
        for crystal in recipe.stream():
            writer.add(crystal)
        with pytest.raises(DataError, match="more than once"):
            writer.add(crystal)
        path = writer.finish()
    assert Dataset.open(path).content_hash == pool.content_hash
    again = [c.to_dict() for c in Dataset.open(path)]
    assert again == [c.to_dict() for c in pool]
    assert list(tmp_path.iterdir()) == [path]
