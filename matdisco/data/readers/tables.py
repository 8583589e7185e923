"""CSV, TSV and the like, XLSX, and Parquet tables."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from matdisco.data.readers import rows
from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.text import decode, is_number, parse_xml

_DELIMITERS = (",", ";", "\t", "|")
_MOST_CELLS = 16_384  # as wide as a spreadsheet may be
_CELL_CHARS = 10_000_000  # a structure as text in one cell


def sniff_text(text: str, _: bytes) -> bool:
    """Lines that split into the same number of cells, under a header of names."""
    return _delimiter(text) is not None


def _delimiter(text: str) -> str | None:
    text = _without_comments(text)
    first = text.split("\n", 1)[0]
    for delimiter in _DELIMITERS:
        cells = next(csv.reader([first], delimiter=delimiter))
        if len(cells) < 2 or any(is_number(c.strip()) for c in cells):
            continue
        if not all(c.strip() and len(c) < 100 for c in cells):
            continue
        try:
            found = [r for r in islice(_rows(text, delimiter), 21) if r]
        except csv.Error:
            continue
        counts = [len(r) for r in found[1:]]
        if len(counts) > 1:
            counts.pop()  # may be cut off by the end of the head
        width = len(cells) + _extra(counts, cells)
        same = sum(n == width for n in counts)
        if len(set(cells)) == len(cells) and counts and same >= 0.7 * len(counts):
            return delimiter
    return None


def _extra(counts: list[int], cells: list[str]) -> int:
    """Return 1 where the header does not name the first column, a pandas index."""
    return int(bool(counts) and all(n == len(cells) + 1 for n in counts))


def _without_comments(text: str) -> str:
    """Drop blank and ``#`` lines in front of the header."""
    while text:
        first, _, rest = text.partition("\n")
        if first.strip() and not first.startswith("#"):
            return text
        text = rest
    return text


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_CELL_CHARS)
    yield from csv.reader(io.StringIO(text), delimiter=delimiter)


def read_text(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield one entry per row."""
    columns = options.columns
    if columns and columns.encoding:
        text = blob.data.decode(columns.encoding, errors="replace")
    else:
        text = decode(blob.data)
    delimiter = (columns.delimiter if columns else None) or _delimiter(text)
    if delimiter is None:
        raise Unreadable("unreadable", "no delimiter separates the cells")
    table = _safely(_rows(_without_comments(text), delimiter))
    header = [c.strip() for c in next(table, [])]
    first = next(table, [])
    if len(first) == len(header) + 1:
        header = ["index", *header]
    yield from _entries(header, chain([first], table), blob, options)


def _safely(table: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from table
    except csv.Error as error:
        raise Unreadable("unreadable", f"the table breaks: {error}") from error


def _entries(
    header: list[str], table: Iterator[list[Any]], blob: Blob, options: Options
) -> Iterator[Entry]:
    if len(header) > _MOST_CELLS:
        raise Unreadable("size-limit", f"{len(header):,} columns")
    note: tuple[Finding, ...] = ()
    if options.columns is None:
        note = (
            Finding(
                "no-column-map",
                "note",
                "nobody said what the columns mean; give a column map with units",
            ),
        )
    for cells in table:
        if not any(str(c).strip() for c in cells):
            continue
        row = dict(zip(header, cells, strict=False))
        if len(cells) != len(header):
            message = f"{len(cells)} cells under {len(header)} headings"
            finding = Finding("count-mismatch", "reject", message)
            yield Entry(fields=row, findings=(*note, finding))
            continue
        found = rows.entry(row, blob, options)
        yield Entry(
            found.structure,
            found.labels,
            found.method,
            found.name,
            (*note, *found.findings),
            found.fields,
        )


# -- XLSX: a zip of XML, read without a library and without macros -----------------

_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def sniff_xlsx(_: str, data: bytes) -> bool:
    """Look for a zip whose first members are those of an Office document."""
    return data.startswith(b"PK\x03\x04") and (
        b"[Content_Types].xml" in data[:4096] or b"xl/" in data[:4096]
    )


def read_xlsx(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield one entry per row of the first sheet; its first row is the header."""
    try:
        with zipfile.ZipFile(io.BytesIO(blob.data)) as archive:
            names = archive.namelist()
            sheets = sorted(
                n for n in names if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", n)
            )
            if not sheets:
                raise Unreadable("unsupported", "an Office document without a sheet")
            shared = (
                _shared(archive, options) if "xl/sharedStrings.xml" in names else []
            )
            grid = list(_grid(_member(archive, sheets[0], options), shared))
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise Unreadable("unreadable", f"damaged XLSX: {error}") from error
    if len(grid) < 2:
        raise Unreadable("no-structure", "the sheet has no rows below its header")
    header = [str(c).strip() for c in grid[0]]
    width = len(header)
    padded = (r[:width] + [""] * (width - len(r)) for r in grid[1:])
    yield from _entries(header, padded, blob, options)


def _member(archive: zipfile.ZipFile, name: str, options: Options) -> bytes:
    limits = options.limits
    with archive.open(name) as file:
        data = file.read(limits.file_bytes + 1)
    packed = archive.getinfo(name).compress_size
    if len(data) > limits.file_bytes:
        raise Unreadable(
            "size-limit", f"{name} unpacks to more than {limits.file_bytes:,} bytes"
        )
    if len(data) > 1 << 24 and len(data) > limits.ratio * max(packed, 1):
        raise Unreadable(
            "ratio-limit",
            f"{name} unpacks to more than {limits.ratio:g} times its size",
        )
    return data


def _shared(archive: zipfile.ZipFile, options: Options) -> list[str]:
    root, _ = parse_xml(_member(archive, "xl/sharedStrings.xml", options))
    return ["".join(t.text or "" for t in s.iter(f"{_SHEET}t")) for s in root]


def _grid(data: bytes, shared: list[str]) -> Iterator[list[Any]]:
    root, _ = parse_xml(data)
    for row in root.iter(f"{_SHEET}row"):
        cells: list[Any] = []
        for cell in row.iter(f"{_SHEET}c"):
            at = _column(cell.get("r", ""), len(cells))
            if at > _MOST_CELLS:
                raise Unreadable("size-limit", f"a cell in column {at:,}")
            cells += [""] * (at - len(cells))
            cells[at:] = [_value(cell, shared)]
        yield cells


def _column(reference: str, default: int) -> int:
    letters = re.match(r"[A-Z]{1,3}", reference)
    if not letters:
        return default
    out = 0
    for letter in letters.group():
        out = out * 26 + ord(letter) - 64
    return out - 1


def _value(cell: Any, shared: list[str]) -> Any:
    kind, text = cell.get("t"), cell.findtext(f"{_SHEET}v") or ""
    if kind == "inlineStr":
        return "".join(t.text or "" for t in cell.iter(f"{_SHEET}t"))
    if kind == "s":
        at = int(text) if text.isdigit() else -1
        return shared[at] if 0 <= at < len(shared) else ""
    return float(text) if kind in (None, "n") and is_number(text) else text


# -- Parquet -----------------------------------------------------------------------


def sniff_parquet(_: str, data: bytes) -> bool:
    """Look for Parquet's signature."""
    return data.startswith(b"PAR1")


def read_parquet(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield one entry per row; a matdisco dataset keeps its labels and sources."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(
            pa.BufferReader(blob.data), page_checksum_verification=True
        ) as parquet:
            metadata = parquet.schema_arrow.metadata or {}
            if b"matdisco" in metadata:
                yield from _dataset(parquet.read())
                return
            for batch in parquet.iter_batches(500):
                for row in batch.to_pylist():
                    yield rows.entry(_opened(row), blob, options)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Unreadable(
            "unreadable", f"damaged Parquet: {str(error).splitlines()[0][:200]}"
        ) from error


def _opened(row: dict[str, Any]) -> dict[str, Any]:
    """Structures and species often travel as JSON text."""
    out = dict(row)
    for key in ("structure", "species", "atoms"):
        value = row.get(key)
        if isinstance(value, str) and value[:1] in "[{":
            try:
                out[key] = json.loads(value)
            except ValueError:
                continue
    return out


def _dataset(table: Any) -> Iterator[Entry]:
    from matdisco.data import layout

    for crystal in layout.crystals(table):
        yield Entry(
            crystal.structure,
            crystal.labels,
            crystal.source.get("method", {}),
            crystal.id,
            fields={"source": dict(crystal.source)},
        )


TEXT = Format("table", sniff_text, read_text)
XLSX = Format("xlsx", sniff_xlsx, read_xlsx)
PARQUET = Format("parquet", sniff_parquet, read_parquet)
