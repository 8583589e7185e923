from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Element, Lattice, Structure

from matdisco.crystal import Crystal, Label
from matdisco.data import layout, store
from matdisco.data.dataset import Dataset
from matdisco.data.packed import PackedCrystal
from matdisco.errors import DataError

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SPECIES = st.one_of(
    st.sampled_from(["H", "D", "Fe", "O", "U", "Fe3+", "O2-", "Fe2+,spin=5", "X0+"]),
    st.just({"Fe3+": 0.25, "Ca": 0.5}),
    st.just({"Na": 1 / 3}),
)
LABELS = st.builds(
    Label,
    value=NUMBERS | st.integers(-9, 9),
    unit=st.sampled_from(["eV", "GPa", ""]),
    method=TEXT,
    sigma=st.none() | st.floats(0, 1e9) | st.just(1),
)
SOURCES = st.dictionaries(
    TEXT, st.none() | st.booleans() | st.integers() | NUMBERS | TEXT, max_size=3
)
KEYS = st.sampled_from(["band_gap", "energy", "id", "band_gap_method", "", "source"])


@st.composite
def crystals(draw: st.DrawFn, name: str) -> Crystal:
    n = draw(st.integers(1, 4))
    cell = np.diag(draw(st.lists(st.floats(1, 30), min_size=3, max_size=3)))
    cell[1, 0] = draw(st.floats(-3, 3))
    positions = draw(
        st.lists(
            st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=n, max_size=n
        )
    )
    species = draw(st.lists(SPECIES, min_size=n, max_size=n))
    return Crystal(
        name,
        Structure(Lattice(cell), species, positions),
        draw(st.dictionaries(KEYS, LABELS, max_size=4)),
        draw(SOURCES),
    )


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    names = draw(st.lists(TEXT, max_size=4, unique=True))
    return Dataset(draw(TEXT), tuple(draw(crystals(n)) for n in names), draw(SOURCES))


@given(dataset=datasets())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_round_trip_keeps_everything_the_hash_sees(
    dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = store.write(dataset, tmp_path_factory.mktemp("store") / "a.parquet")
    back = store.read(path)
    assert back.content_hash == dataset.content_hash
    assert back.name == dataset.name
    assert back.card == dataset.card
    for a, b in zip(dataset, back, strict=True):
        assert a.labels == b.labels
        assert a.source == b.source
        assert np.array_equal(a.structure.frac_coords, b.structure.frac_coords)
        assert np.array_equal(a.structure.lattice.matrix, b.structure.lattice.matrix)
        assert [s.species for s in a.structure] == [s.species for s in b.structure]


@given(dataset=datasets())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_large_set_read_as_arrays_is_the_same(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dataset.save(tmp_path / "set.parquet")
    monkeypatch.setattr(layout, "MANY", 1)
    monkeypatch.setattr(layout, "_BATCH", 2)
    again = Dataset.open(path)
    for crystal in again:
        plain = all(
            s.is_ordered and isinstance(s.specie, Element) for s in crystal.structure
        )
        assert isinstance(crystal, PackedCrystal) == plain
    assert again.content_hash == dataset.content_hash
    for mine, its in zip(dataset, again, strict=True):
        assert its.structure.composition.almost_equals(mine.structure.composition)
        assert its.to_dict() == mine.to_dict()


def small(n: int = 3) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(
        "small",
        tuple(
            Crystal(
                f"r{i}",
                Structure(
                    Lattice(rng.normal(size=(3, 3)) + 4 * np.eye(3)),
                    list(rng.choice(["Al", "Ni", "Ti", "O"], k)),
                    rng.random((k, 3)),
                ),
                {"energy_per_atom": Label(float(rng.normal()), "eV/atom", "PBE")},
                {"file": "a.json", "record": i},
            )
            for i, k in enumerate(rng.integers(2, 7, n))
        ),
        {"licence": "CC0-1.0"},
    )


def test_columns_follow_optimade(tmp_path: Path) -> None:
    disordered = Crystal(
        "d", Structure(Lattice.cubic(3), [{"Fe": 0.5, "Ca": 0.5}], [[0] * 3])
    )
    path = store.write(Dataset("x", (*small(1), disordered)), tmp_path / "x.parquet")
    first, second = pq.read_table(path).to_pylist()
    assert first["nsites"] == len(first["species_at_sites"])
    assert np.shape(first["lattice_vectors"]) == (3, 3)
    assert np.shape(first["fractional_site_positions"]) == (first["nsites"], 3)
    assert first["elements"] == sorted(first["elements"])
    assert first["species"] is None
    (species,) = json.loads(second["species"])
    assert second["species_at_sites"] == [species["name"]]
    assert dict(
        zip(species["chemical_symbols"], species["concentration"], strict=True)
    ) == {
        "Fe": 0.5,
        "Ca": 0.5,
    }
    assert second["chemical_formula_reduced"] is None


def test_reduced_formula_is_alphabetical(tmp_path: Path) -> None:
    rutile = Structure(
        Lattice.cubic(5),
        ["Ti"] * 2 + ["O"] * 4,
        np.random.default_rng(0).random((6, 3)),
    )
    path = store.write(Dataset("x", (Crystal("a", rutile),)), tmp_path / "x.parquet")
    assert pq.read_table(path)["chemical_formula_reduced"].to_pylist() == ["O2Ti"]


def test_a_method_that_varies_gets_its_own_column(tmp_path: Path) -> None:
    a, b = small(2)
    b = b.with_labels({"energy_per_atom": Label(1.0, "eV/atom", "HSE06", 0.1)})
    path = store.write(Dataset("x", (a, b)), tmp_path / "x.parquet")
    table = pq.read_table(path)
    assert table["energy_per_atom_method"].to_pylist() == ["PBE", "HSE06"]
    assert table["energy_per_atom_sigma"].to_pylist() == [None, 0.1]
    note = json.loads(table.schema.field("energy_per_atom").metadata[b"matdisco"])
    assert note == {"label": "energy_per_atom", "unit": "eV/atom"}


def test_a_folder_gets_data_parquet(tmp_path: Path) -> None:
    path = store.write(small(), tmp_path / "set")
    assert path == tmp_path / "set" / "data.parquet"
    assert store.read(tmp_path / "set") == store.read(path)
    assert [p.name for p in path.parent.iterdir()] == ["data.parquet"]


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    a = store.write(small(), tmp_path / "a.parquet").read_bytes()
    assert store.write(small(), tmp_path / "b.parquet").read_bytes() == a


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_without_meaning_are_refused_by_name(
    value: float, tmp_path: Path
) -> None:
    bad = small(1)[0].with_labels({"band_gap": Label(value, "eV")})
    with pytest.raises(DataError, match="record 'r0'"):
        store.write(Dataset("x", (bad,)), tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())


def test_a_crash_while_writing_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.write(small(), tmp_path / "a.parquet")

    def crash(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        store.write(small(2), path)
    monkeypatch.undo()
    assert len(store.read(path)) == 3
    assert len(list(tmp_path.iterdir())) == 1


def test_any_changed_or_missing_byte_is_noticed(tmp_path: Path) -> None:
    path = store.write(small(), tmp_path / "a.parquet")
    good, want = path.read_bytes(), store.read(path)
    rng = np.random.default_rng(1)
    unnoticed = 0
    for where in rng.integers(4, len(good) - 8, 150):
        data = bytearray(good)
        data[where] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        try:
            unnoticed += store.read(path).content_hash != want.content_hash
        except DataError as error:
            assert "a.parquet" in str(error)
    assert not unnoticed  # a flip may hit padding or a statistic, never the content
    for end in rng.integers(0, len(good), 40):
        path.write_bytes(good[:end])
        with pytest.raises(DataError, match=r"a\.parquet"):
            store.read(path)


def test_other_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such dataset file"):
        store.read(tmp_path / "nothing.parquet")
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    with pytest.raises(DataError, match="not a dataset that matdisco wrote"):
        store.read(foreign)
    foreign.write_text("id,formula\n")
    with pytest.raises(DataError, match="no Parquet file"):
        store.read(foreign)


def test_an_edited_label_is_noticed(tmp_path: Path) -> None:
    path = store.write(small(), tmp_path / "a.parquet")
    table = pq.read_table(path)
    i = table.schema.names.index("energy_per_atom")
    edited = table.set_column(i, table.schema.field(i), pa.array([0.0, 0.0, 0.0]))
    pq.write_table(edited, path)
    with pytest.raises(DataError, match="records do not match the stored hash"):
        store.read(path)


def test_an_edited_card_is_noticed(tmp_path: Path) -> None:
    path = store.write(small(), tmp_path / "a.parquet")
    table = pq.read_table(path)
    head = table.schema.metadata[b"matdisco"].replace(b"CC0-1.0", b"CC-BY-4")
    pq.write_table(table.replace_schema_metadata({b"matdisco": head}), path)
    with pytest.raises(DataError, match="card do not match"):
        store.read(path)


def test_records_are_small(tmp_path: Path) -> None:
    dataset = small(500)
    path = store.write(dataset, tmp_path / "a.parquet")
    assert path.stat().st_size < 500 * 175 + 10_000  # bytes; 10 kB whatever the number
    assert store.read(path).content_hash == dataset.content_hash
