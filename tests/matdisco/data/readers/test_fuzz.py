"""Whatever bytes come: a record or a reason, no traceback, no hang, no stray file.

The quick run belongs to every test run; ``-m slow`` reads 20,000 broken files.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import math
import random
import sqlite3
import tarfile
import time
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matdisco.data import readers
from matdisco.data.readers import RULES, Limits
from matdisco.recipe import digest

from . import samples

TOKENS = [
    b"1e308", b"-1e999", b"nan", b"inf", b"9" * 20, b"-1", b"0", b"0.0",
    b"1e-320", b"********", b"''", b"\x00", b"\xff\xfe", b"\n" * 50, b" " * 5000,
    b"../../../etc/passwd", b"Zz", b"&c;", b"<!DOCTYPE x [<!ENTITY a 'a'>]>", b"{",
    b"[[", b"\xc3\x28", b"loop_\n", b"data_\n", b"2147483648", b"1" * 400, b"(" * 3000,
    b"[" * 3000, b'{"a":' * 3000, b"<a>" * 3000, b"1,5", b"3*", b"1/0", b"100000*1.0",
]  # fmt: skip
LIMITS = Limits(seconds=10, file_bytes=1 << 24, unpacked_bytes=1 << 25)


@cache
def seeds() -> tuple[bytes, ...]:
    """Good files of every kind, text and binary."""
    texts = [text.encode() for text, _ in samples.SAMPLES.values()]
    texts += [samples.JARVIS.encode(), b"name,gap\nMgO,4.5\nCaO,3.6\nSrO,3\n"]
    binary = [_database(), _parquet(), _trajectory()]
    packed = [
        p(texts[i]) for i, p in enumerate((gzip.compress, bz2.compress, lzma.compress))
    ]
    return (*texts, *binary, *packed, _zip(texts[:4]), _tar(texts[:4]), b"", b"\n")


def _database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE TABLE systems (id INTEGER, unique_id TEXT, calculator TEXT,"
        "energy REAL, numbers BLOB, positions BLOB, cell BLOB, pbc INTEGER,"
        "key_value_pairs TEXT)"
    )
    numbers = np.array([12, 8], "<i4").tobytes()
    positions = np.array([[0, 0, 0], [2.1, 2.1, 2.1]]).tobytes()
    cell = (np.eye(3) * samples.A).tobytes()
    for i in range(3):
        row = (i, f"u{i}", "emt", -1.5, numbers, positions, cell, 7, "{}")
        connection.execute("INSERT INTO systems VALUES (?,?,?,?,?,?,?,?,?)", row)
    connection.commit()
    return connection.serialize()


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    attributes = json.loads(samples.OPTIMADE)["data"][0]["attributes"]
    pq.write_table(pa.Table.from_pylist([{"id": "a", **attributes}] * 3), out)
    return out.getvalue()


def _trajectory() -> bytes:
    from ase import Atoms
    from ase.io import write

    out = io.BytesIO()
    atoms = Atoms("MgO", [[0, 0, 0], [2.1, 2.1, 2.1]], cell=[4.2] * 3, pbc=True)
    write(out, [atoms] * 2, format="traj")
    return out.getvalue()


def _zip(parts: list[bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, part in enumerate(parts):
            archive.writestr(f"{i}/x", part)
    return out.getvalue()


def _tar(parts: list[bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for i, part in enumerate(parts):
            info = tarfile.TarInfo(f"{i}/x")
            info.size = len(part)
            archive.addfile(info, io.BytesIO(part))
    return out.getvalue()


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 3, 30))):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def insert_token(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TOKENS) + data[at:]


def replace_word(data: bytes, rng: random.Random) -> bytes:
    words = data.split(b" ")
    words[rng.randrange(len(words))] = rng.choice(TOKENS)
    return b" ".join(words)


def replace_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    lines[rng.randrange(len(lines))] = rng.choice((b"", *TOKENS, *lines))
    return b"\n".join(lines)


def drop_piece(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:a] + data[b:]


def repeat_piece(data: bytes, rng: random.Random) -> bytes:
    a = rng.randrange(len(data) + 1)
    piece = data[a : a + rng.randrange(1, 300)]
    return data[:a] + piece * rng.choice((2, 50)) + data[a:]


def splice(data: bytes, rng: random.Random) -> bytes:
    other = rng.choice(seeds())
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def noise(_: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(2000))


def noise_after_magic(data: bytes, rng: random.Random) -> bytes:
    return data[:16] + rng.randbytes(rng.randrange(500))


def pack(data: bytes, rng: random.Random) -> bytes:
    return rng.choice((gzip.compress, bz2.compress, lzma.compress))(data)


def archive(data: bytes, rng: random.Random) -> bytes:
    return rng.choice((_zip, _tar))([data, rng.choice(seeds())])


def hostile(data: bytes, rng: random.Random) -> bytes:
    """An archive with members outside it, links, devices and doubled names."""
    out = io.BytesIO()
    names = ("../x", "/tmp/x", "a/../../x", "x", "x", "C:\\x", "\\\\host\\x", "n" * 300)
    with tarfile.open(fileobj=out, mode="w") as archive:
        for _ in range(rng.randrange(1, 6)):
            info = tarfile.TarInfo(rng.choice(names))
            info.type = rng.choice((b"0", b"1", b"2", b"3", b"5", b"6"))
            info.linkname = rng.choice(("/etc/passwd", "../..", "x"))
            info.size = len(data) if info.type == b"0" else 0
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@cache
def _zeros() -> bytes:
    return bytes(18_000_000)


@cache
def bombs() -> tuple[bytes, ...]:
    single = gzip.compress(_zeros())
    return single, bz2.compress(_zeros()), _zip([_zeros()]), _zip([single] * 4)


def bomb(_: bytes, rng: random.Random) -> bytes:
    return rng.choice(bombs())


MUTATIONS = (
    truncate, flip_bits, insert_token, replace_word, replace_line, drop_piece,
    repeat_piece, splice, noise, noise_after_magic, pack, archive, hostile, bomb,
)  # fmt: skip
BROKEN = st.tuples(
    st.integers(0, 10_000),
    st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=3),
    st.integers(0, 2**32),
)
OUTCOMES: Counter[str] = Counter()


def check(
    case: tuple[int, list, int],  # type: ignore[type-arg]
    folder: Path,
    seconds: float = math.inf,  # on a busy machine the clock says nothing
) -> None:
    start, mutations, seed = case
    rng = random.Random(seed)
    data = seeds()[start % len(seeds())]
    for mutate in mutations:
        data = mutate(data, rng)
    path = folder / "file"
    path.write_bytes(data)
    begun = time.monotonic()
    records = list(readers.read(path, limits=LIMITS))
    assert time.monotonic() - begun < seconds
    assert records, "a file without a record"
    assert [p.name for p in folder.iterdir()] == ["file"], "a stray file"
    for record in records:
        assert record.crystal is not None or record.findings, record
        for finding in record.findings:
            assert finding.rule in RULES, finding
            assert finding.message
            assert "Traceback" not in finding.message
            if finding.severity == "reject":
                OUTCOMES[finding.rule] += 1
        if record.crystal is None:
            continue
        OUTCOMES["read"] += 1
        structure = record.crystal.structure
        assert len(structure) > 0
        assert 0 < structure.volume < math.inf
        assert np.isfinite(structure.frac_coords).all()
        assert all(math.isfinite(x.value) for x in record.crystal.labels.values())
        assert len(digest(record.crystal.to_dict())) == 64


QUICK = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
THOROUGH = settings(QUICK, max_examples=20_000)


@given(case=BROKEN)
@QUICK
def test_broken_files_are_records_or_reasons(
    case: tuple[int, list, int],
    tmp_path_factory: pytest.TempPathFactory,  # type: ignore[type-arg]
) -> None:
    check(case, tmp_path_factory.mktemp("fuzz", numbered=True))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_broken_files(tmp_path: Path) -> None:
    @given(case=BROKEN)
    @THOROUGH
    def run(case: tuple[int, list, int]) -> None:  # type: ignore[type-arg]
        check(case, tmp_path, 60)  # one record may take 10 s; a file has several

    run()
    print(sum(OUTCOMES.values()), "records:", OUTCOMES.most_common())
    assert OUTCOMES["read"] > 1000
    assert OUTCOMES["time-limit"] == 0
    assert OUTCOMES["parser-crash"] == 0


@given(data=st.binary(max_size=600))
@settings(QUICK, max_examples=60)
def test_pure_noise(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("noise") / "file"
    path.write_bytes(data)
    assert list(readers.read(path, limits=LIMITS))
