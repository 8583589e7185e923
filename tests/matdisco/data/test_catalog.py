from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from matdisco.data.catalog import catalog, load, lookup
from matdisco.data.catalog.tables import load_tables, tables_card, write_tables
from matdisco.errors import DataError
from tests.matdisco.data.builders import crystal, perovskite, rocksalt


def test_every_set_says_where_and_under_which_licence() -> None:
    for name, public in catalog().items():
        assert public.url.startswith("https://"), name
        assert public.licence, name
        assert public.citation, name
        assert all(f.names for f in public.files), name
        assert public.files or "`matdisco" in public.read_by, name


def test_a_set_without_structures_says_what_reads_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no crystal structures.*matdisco replay"):
        load("pvlab_bo", tmp_path)
    with pytest.raises(DataError, match="matdisco surrogate assess"):
        load("matbench", tmp_path)


HEADER = "CsPbI,FAPbI,MAPbI,Instability index\n"


def test_a_set_of_tables_is_written_as_plain_csv_with_a_card(tmp_path: Path) -> None:
    text = f"\ufeff{HEADER}0,1,0,480185\n0,1,0,480187\n0.5,0.5,0,12\n"
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "Perovskite_dataset.csv").write_text(text, "utf-8")
    key, public = lookup("pv_lab")
    tables = load_tables(key, public, tmp_path / "in")
    csv, card = write_tables(key, public, tables, tmp_path / "out")
    assert csv.read_text("utf-8").startswith("CsPbI,")
    pd.testing.assert_frame_equal(pd.read_csv(csv), tables[0].rows)
    said = card.read_text("utf-8")
    assert "3 rows.\n2 distinct designs." in said
    assert "differs from the recorded 9e9c5c2c69890" in said
    assert "| Instability index | colour change" in said
    assert "| 3 | 12 | 480187 |" in said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{HEADER}0,1,0,\n", r"'Instability index', line 2: expected a number"),
        (f"{HEADER}0,1,0,1\n0,x,0,2\n", r"'FAPbI', line 3: .* found 'x'"),
        ("CsPbI,FAPbI\n0,1\n", "MAPbI, Instability index missing"),
        ("", "expected a table, found No columns"),
    ],
)
def test_a_damaged_table_is_answered_with_its_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "Perovskite_dataset.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=complaint):
        load_tables("pvlab_bo", lookup("pvlab_bo")[1], path)


def test_no_table_at_all_says_what_to_download(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Download AgNP_dataset.csv, .* --from FOLDER"):
        load_tables("pvlab_bo", lookup("pvlab_bo")[1], tmp_path)


def test_every_shared_table_is_read(shared: Callable[[str], Path]) -> None:
    pools = load_tables("pvlab_bo", lookup("pvlab_bo")[1], shared("pvlab_bo"))
    assert [len(t.rows) for t in pools] == [3295, 100, 1800, 233, 139]
    assert all("(verified)" in t.source["sha256"] for t in pools)
    tasks = load_tables("matbench", lookup("matbench")[1], shared("matbench"))
    assert len(tasks) == 10 + 7 + 1
    card = tables_card("matbench", lookup("matbench")[1], tasks)
    assert "| composition |  | 1,265 |  |  |" in card  # text has no least


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    assert lookup("perov-5")[0] == "matbench_perovskites"
    with pytest.raises(DataError, match="did you mean matbench_phonons"):
        lookup("matbench_phonon")


def test_without_files_it_says_what_to_download(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Download .* matdisco data get obelix --from"):
        load("obelix", None)
    with pytest.raises(DataError, match="found none of its files"):
        load("obelix", tmp_path)


def test_a_table_of_structures(tmp_path: Path) -> None:
    s = perovskite()
    pd.DataFrame(
        {
            "mbid": ["p1", "p2"],
            "e_form": [0.1, None],
            "A": ["Sr", "Sr"],
            "lattice": [s.lattice.matrix.ravel()] * 2,
            "species": [[x.specie.symbol for x in s]] * 2,
            "frac_coords": [s.frac_coords.ravel()] * 2,
        }
    ).to_parquet(tmp_path / "data.parquet")
    data = load("perov-5", tmp_path)
    assert data.ids == ("p1", "p2")
    assert data[0].labels["e_form"].unit == "eV"
    assert not data[1].labels
    assert data[0].source["A"] == "Sr"
    assert len(data[0].source["lineage"][0]["byte_hash"]) == 64
    assert "differs from the recorded" in data.card["sources"][0]["sha256"]


def test_matbench_json(tmp_path: Path) -> None:
    body = {
        "index": [0],
        "columns": ["structure", "last phdos peak"],
        "data": [[rocksalt().as_dict(), 321.5]],
    }
    path = tmp_path / "matbench_phonons.json.gz"
    path.write_bytes(gzip.compress(json.dumps(body).encode()))
    data = load("phonons", path)
    assert data.ids == ("mb-phonons-0001",)
    assert data[0].value("last_phdos_peak") == 321.5


def test_jarvis_json(tmp_path: Path) -> None:
    s = rocksalt()
    atoms = {
        "lattice_mat": s.lattice.matrix.tolist(),
        "elements": [x.specie.symbol for x in s],
        "coords": s.frac_coords.tolist(),
        "cartesian": False,
    }
    row = {"jid": "JVASP-1", "atoms": atoms, "ehull": 0.0, "optb88vdw_bandgap": "na"}
    (tmp_path / "jdft_3d.json").write_text(json.dumps([row]))
    data = load("jarvis_dft_3d", tmp_path)
    assert data.ids == ("JVASP-1",)
    assert set(data[0].labels) == {"energy_above_hull"}


def test_optimade_parquet(tmp_path: Path) -> None:
    s = rocksalt()
    pd.DataFrame(
        {
            "immutable_id": ["x-1"],
            "lattice_vectors": [s.lattice.matrix.tolist()],
            "species_at_sites": [[x.specie.symbol for x in s]],
            "cartesian_site_positions": [s.cart_coords.tolist()],
            "energy": [-48.0],
            "functional": ["pbe"],
        }
    ).to_parquet(tmp_path / "part-0.parquet")
    data = load("lemat_bulk", tmp_path)
    assert data[0].labels["energy"].method == "pbe"
    assert data[0].formula == "MgO"


def test_cif_tables_and_frames(tmp_path: Path) -> None:
    cif = crystal(rocksalt()).to_cif()
    columns = {"material_id": ["m1", "m2"], "cif": [cif, None], "band_gap": [4.5, 1.0]}
    pd.DataFrame(columns).to_csv(tmp_path / "val.csv")
    assert load("mp20", tmp_path).ids == ("m1",)
    atoms = Atoms("Mo2", [[0, 0, 0], [1.6, 1.6, 1.6]], cell=[3.2] * 3, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-21.0, forces=[[0, 0, 0.1]] * 2)
    write(tmp_path / "Mo.extxyz.gz", [atoms, atoms], format="extxyz")
    data = load("mlearn", tmp_path)
    assert data.ids == ("Mo-0000", "Mo-0001")
    assert data[0].value("energy_per_atom") == -10.5


SHARED_SETS = {
    "matbench_perovskites": ("perovskites", 18928),
    "matbench_phonons": ("phonons", 1265),
    "dielectric": ("dielectric_constant", 1056),
    "elastic": ("elastic_tensor_2015", 1181),
    "jarvis": ("jarvis_exfoliation", 812),
    "mp20": ("mp20_biternary", 14258),
    "obelix": ("obelix", 321),
    "mlearn": ("mlearn", 979),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED_SETS)
def test_shared_sets_load_by_name(name: str, shared: Callable[[str], Path]) -> None:
    folder, count = SHARED_SETS[name]
    data = load(name, shared(folder))
    assert len(data) == count
    assert all("(verified)" in s["sha256"] for s in data.card["sources"])
