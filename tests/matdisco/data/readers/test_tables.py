"""Tables with a column map: units are stated, or there is no label."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from matdisco.data import readers
from matdisco.data.readers import ColumnMap, Limits, RawRecord
from matdisco.data.readers.cells import Cell, read_cell
from matdisco.errors import ConfigError
from matdisco.recipe_file import load

from . import samples

HERE = Limits(isolate=False)
MAP = """
id: sample
structure: cif
missing: ["", n.a., -999]
labels:
  bulk_modulus: {column: K, unit: kbar, method: PBE, sigma_column: dK}
  band_gap: {column: gap, unit_column: unit}
"""


def columns(tmp_path: Path, text: str = MAP) -> ColumnMap:
    path = tmp_path / "columns.yaml"
    path.write_text(text)
    return load(ColumnMap, path)


def read(path: Path, mapped: ColumnMap | None) -> list[RawRecord]:
    return list(readers.read(path, columns=mapped, limits=HERE))


HEADER = ["sample", "K", "dK", "gap", "unit", "cif"]
ROWS = [
    ["a", "1500", "20", "4500", "meV", samples.CIF],
    ["b", "-999", "", "4.5", "", samples.CIF],
    ["c", "n.a.", "", "3.2 eV", "", samples.POSCAR],
    ["d", "tall", "", "", "eV", samples.CIF],
]


def csv_text(delimiter: str = ",") -> str:
    import csv

    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([HEADER, *ROWS])
    return out.getvalue()


def check(records: list[RawRecord]) -> None:
    a, b, c, d = records
    assert all(r.crystal is not None and r.crystal.formula == "MgO" for r in records)
    assert [r.crystal.source["name"] for r in records if r.crystal] == list("abcd")
    modulus = a.labels["bulk_modulus"]
    assert (modulus.value, modulus.unit) == (pytest.approx(150.0), "GPa")
    assert (modulus.sigma, modulus.method) == (pytest.approx(2.0), "PBE")
    assert a.labels["band_gap"].value == pytest.approx(4.5)
    assert b.labels == {}
    found = [[f.rule for f in r.findings if f.severity != "note"] for r in records]
    assert found == [[], ["unit-unstated"], [], ["value-not-a-number"]]
    assert list(c.labels) == ["band_gap"]
    assert c.labels["band_gap"].value == pytest.approx(3.2)
    assert d.labels == {}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_text_tables(delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / "no_suffix"
    path.write_text("# measured on a Tuesday\n" + csv_text(delimiter))
    check(read(path, columns(tmp_path)))


def test_json_lines_and_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    dicts = [dict(zip(HEADER, r, strict=True)) for r in ROWS]
    path = tmp_path / "a"
    path.write_text("\n".join(map(json.dumps, dicts)))
    check(read(path, columns(tmp_path)))
    path.write_text(json.dumps(dicts))
    check(read(path, columns(tmp_path)))
    pq.write_table(pa.Table.from_pylist(dicts), path)
    check(read(path, columns(tmp_path)))


def test_xlsx_without_a_library(tmp_path: Path) -> None:
    from xml.sax.saxutils import escape

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"

    def cell(text: str, at: str) -> str:
        return f'<c r="{at}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'

    body = ""
    for i, row in enumerate([HEADER, *ROWS], 1):
        cells = [cell(v, f"{c}{i}") for c, v in zip("ABCDEF", row, strict=True)]
        body += f'<row r="{i}">{"".join(cells)}</row>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
        )
    path = tmp_path / "book"
    path.write_bytes(out.getvalue())
    records = read(path, columns(tmp_path))
    assert {r.format for r in records} == {"xlsx"}
    check(records)


def test_decimal_commas_and_latin1(tmp_path: Path) -> None:
    mapped = columns(
        tmp_path,
        "id: Probe\nformula: Kristall\ndecimal: ','\n"
        "labels: {bulk_modulus: {column: 'K [kbar]', unit: kbar}}\n",
    )
    path = tmp_path / "a"
    text = "Probe;Kristall;K [kbar];Prüfer\nB1;MgO;1.500,50;Müller\nB2;CaO;30,1;M\n"
    path.write_bytes(text.encode("latin-1"))
    first, second = read(path, mapped)
    assert first.labels["bulk_modulus"].value == pytest.approx(150.05)
    assert second.labels["bulk_modulus"].value == pytest.approx(3.01)
    assert first.fields["Prüfer"] == "Müller"
    assert first.crystal is None
    assert "no-structure" in [f.rule for f in first.findings]


def test_a_table_that_nobody_described_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("name,gap\nMgO,4.5\nCaO,3.6\n")
    for record in read(path, None):
        assert not record.labels
        assert [f.rule for f in record.findings] == ["no-column-map", "no-structure"]
        assert set(record.fields) == {"name", "gap"}


def test_column_maps_are_strict(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean structure"):
        columns(tmp_path, "structur: cif\n")
    with pytest.raises(ConfigError, match="not valid YAML: line 1"):
        columns(tmp_path, "a: [")
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
        load(ColumnMap, tmp_path / "absent.yaml")


def test_rows_may_name_files_beside_the_table(tmp_path: Path) -> None:
    mapped = columns(tmp_path, "id: name\nfile: name\nfile_pattern: 'cifs/{}.cif'\n")
    (tmp_path / "cifs").mkdir()
    (tmp_path / "cifs" / "a.cif").write_text(samples.CIF)
    (tmp_path.parent / "out.cif").write_text(samples.CIF)
    path = tmp_path / "t.csv"
    path.write_text("name,x\na,1\nb,2\n../../out,3\n")
    good, absent, outside = read(path, mapped)
    assert good.crystal is not None
    assert good.crystal.formula == "MgO"
    assert [r.findings[-1].rule for r in (absent, outside)] == [
        "no-structure",
        "path-escape",
    ]


def test_limits_are_no_values(tmp_path: Path) -> None:
    mapped = columns(tmp_path, "labels: {band_gap: {column: gap, unit: eV}}")
    path = tmp_path / "t.csv"
    path.write_text("name,gap\nMgO,>4.5\nCaO,3.6\n")
    limit, value = read(path, mapped)
    assert not limit.labels
    finding = next(f for f in limit.findings if f.rule == "censored")
    assert finding.severity == "mend"
    assert limit.fields["censored"]["band_gap"] == {
        "limit": ">", "value": 4.5, "unit": "eV", "method": "",
    }  # fmt: skip
    assert value.labels["band_gap"].value == 3.6


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("1.23(4)", Cell(1.23, 0.04)),
        ("1.23(45)E-5", Cell(1.23e-5, 4.5e-6)),
        ("-120(3)", Cell(-120.0, 3.0)),
        ("2.5 ± 0.3", Cell(2.5, 0.3)),
        ("2.5+/-0.3", Cell(2.5, 0.3)),
        ("<1E-10", Cell(1e-10, limit="<")),
        (">= 4.5", Cell(4.5, limit=">")),
        ("about 3", Cell(text="about 3")),
        ("(4)", Cell(text="(4)")),
        ("n.a.", None),
        (True, None),
        (float("nan"), None),
    ],
)
def test_cells(text: object, cell: Cell | None) -> None:
    found = read_cell(text, ColumnMap())
    if cell is None or cell.value is None:
        assert found == cell
        return
    assert found is not None
    assert found.value == pytest.approx(cell.value)
    assert found.sigma == (None if cell.sigma is None else pytest.approx(cell.sigma))
    assert found.limit == cell.limit


def test_written_uncertainties_become_sigma(tmp_path: Path) -> None:
    mapped = columns(tmp_path, "labels: {bulk_modulus: {column: K, unit: kbar}}")
    path = tmp_path / "t.csv"
    path.write_text("name,K\nMgO,1600(20)\n")
    (row,) = read(path, mapped)
    label = row.labels["bulk_modulus"]
    assert (label.value, label.sigma) == (pytest.approx(160.0), pytest.approx(2.0))


def test_numbers_written_as_text_are_numbers(tmp_path: Path) -> None:
    atoms = {"lattice_mat": [[3, 0, 0], [0, 3, 0], [0, 0, 3]], "elements": ["Po"],
             "coords": [[0, 0, 0]]}  # fmt: skip
    entry = {"jid": "JVASP-1", "atoms": atoms, "ehull": "0.012",
             "optb88vdw_bandgap": "na", "density": "9.2"}  # fmt: skip
    path = tmp_path / "jdft_3d.json"
    path.write_text(json.dumps([entry]))
    (record,) = readers.read(path, limits=HERE)
    assert record.labels["energy_above_hull"].value == 0.012
    assert "band_gap" not in record.labels
    assert [f.rule for f in record.findings] == ["unit-unstated"]  # of the density
