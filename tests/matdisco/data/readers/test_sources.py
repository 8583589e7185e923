"""Folders, archives and limits: nothing escapes, nothing explodes, nothing hangs."""

from __future__ import annotations

import bz2
import gc
import gzip
import io
import lzma
import os
import tarfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from matdisco.data import readers
from matdisco.data.readers import Limits, RawRecord, cif
from matdisco.data.readers.base import Entry

from . import samples

HERE = Limits(isolate=False)


def read(path: Path, limits: Limits = HERE) -> list[RawRecord]:
    return list(readers.read(path, limits=limits))


def rules(path: Path, limits: Limits = HERE) -> list[str]:
    records = read(path, limits)
    return [f.rule for r in records for f in r.findings if f.severity != "note"]


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(*infos: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for info, data in infos:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_read_like_plain_ones(pack: object, tmp_path: Path) -> None:
    path = tmp_path / "vasprun.xml"
    path.write_bytes(pack(samples.VASPRUN.encode()))  # type: ignore[operator]
    (record,) = read(path)
    assert record.format == "vasp-xml"
    assert record.member is None
    assert record.crystal is not None


def test_archives_and_archives_in_them(tmp_path: Path) -> None:
    inner = zipped({"deep/POSCAR": samples.POSCAR.encode()})
    path = tmp_path / "all.tgz"
    path.write_bytes(
        tarred(
            (tarfile.TarInfo("a.cif"), samples.CIF.encode()),
            (tarfile.TarInfo("more.zip"), inner),
        )
    )
    found = {r.member: r for r in read(path)}
    assert set(found) == {"a.cif", "more.zip/deep/POSCAR"}
    for record in found.values():
        assert record.crystal is not None
        assert record.crystal.source["file"] == f"all.tgz/{record.member}"


def test_an_archive_without_files_says_so(tmp_path: Path) -> None:
    info = tarfile.TarInfo("empty")
    info.type = tarfile.DIRTYPE
    path = tmp_path / "x"
    for data in (tarred((info, b"")), zipped({})):
        path.write_bytes(data)
        assert rules(path) == ["no-structure"]


def test_members_that_point_outside_are_refused(tmp_path: Path) -> None:
    cif = samples.CIF.encode()
    names = ["../up.cif", "/etc/abs.cif", "a/../../up.cif", "C:\\x.cif", "ok.cif"]
    path = tmp_path / "in" / "x.zip"
    path.parent.mkdir()
    path.write_bytes(zipped(dict.fromkeys(names, cif)))
    records = read(path)
    assert rules(path) == ["path-escape"] * 4
    assert sum(r.crystal is not None for r in records) == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "x.zip"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.cif"
    secret.write_text(samples.CIF)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "link.cif").symlink_to(secret)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    assert rules(folder) == ["link"] * 3
    info = tarfile.TarInfo("out.cif")
    info.type, info.linkname = tarfile.SYMTYPE, str(secret)
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(tarred((info, b"")))
    assert rules(archive) == ["link"]
    (given,) = read(folder / "link.cif")  # named by the caller
    assert given.crystal is not None


def test_bombs_stop_at_the_limits(tmp_path: Path) -> None:
    zeros = bytes(40_000_000)
    path = tmp_path / "x"
    for data in (gzip.compress(zeros), bz2.compress(zeros), zipped({"a": zeros})):
        path.write_bytes(data)
        assert rules(path) == ["ratio-limit"]
    small = Limits(isolate=False, file_bytes=1_000_000)
    assert rules(path, small) == ["size-limit"]
    many = zipped({f"{i}.cif": samples.CIF.encode() for i in range(20)})
    path.write_bytes(many)
    assert rules(path, Limits(isolate=False, members=5))[-1] == "member-limit"
    total = Limits(isolate=False, unpacked_bytes=2000)
    assert "size-limit" in rules(path, total)
    nest = samples.CIF.encode()
    for _ in range(5):
        nest = zipped({"x": nest})
    path.write_bytes(nest)
    assert rules(path) == ["depth-limit"]


BOMB = """<?xml version="1.0"?>
<!DOCTYPE modeling [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d SYSTEM "file:///etc/passwd">]>
<modeling>&c;&d;</modeling>
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_entities_are_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "vasprun.xml"
    path.write_bytes(BOMB.encode(encoding))
    assert rules(path) == ["xml-entities"]


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "structures.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    (record,) = read(path)
    assert (record.format, record.findings[0].rule) == ("pickle", "unsupported")


def test_damaged_archives_lose_only_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(samples.CIF.encode())[:-20])
    assert rules(path) == ["truncated"]
    data = bytearray(zipped({"a.cif": samples.CIF.encode(), "b.cif": b"x" * 500}))
    data[60] ^= 255
    path.write_bytes(bytes(data))
    assert len(read(path)) == 2


def test_unreadable_files_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.cif"
    path.write_text(samples.CIF)

    def refuse(*_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert rules(path) == ["not-readable"]


def test_guarded_and_direct_reading_agree(tmp_path: Path) -> None:
    for name, (text, _) in samples.SAMPLES.items():
        (tmp_path / name).write_text(text)
    direct = read(tmp_path)
    guarded = read(tmp_path, Limits())
    assert len(direct) == len(guarded) == len(samples.SAMPLES)
    for a, b in zip(direct, guarded, strict=True):
        assert a.crystal is not None
        assert b.crystal is not None
        assert a.crystal.to_dict() == b.crystal.to_dict()
        assert (a.findings, a.labels, a.fields) == (b.findings, b.labels, b.fields)


SWALLOWED = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""An alarm may ring in a callback of the garbage collector, where it is lost."""


@SWALLOWED
def test_a_hanging_parser_is_stopped_and_the_walk_goes_on(tmp_path: Path) -> None:
    """A name that makes the worker's parser sleep is planted through a slow file."""
    slow = "data_x\n_cell_length_a 1\n" + "loop_\n_atom_site_label\n" + "'a\n" * 200_000
    (tmp_path / "a.cif").write_text(slow)
    (tmp_path / "b.cif").write_text(samples.CIF)
    for limits in (Limits(seconds=0.05), Limits(seconds=0.05, isolate=False)):
        (first, *_), last = (r := read(tmp_path, limits))[:-1], r[-1]
        assert first.crystal is None
        assert Path(last.path).name == "b.cif"


@SWALLOWED
def test_an_alarm_that_was_swallowed_rings_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is raised in a collector's callback is lost; the limit must not be."""
    (tmp_path / "a.cif").write_text(samples.CIF)

    def slow(phase: str, _: dict[str, int]) -> None:
        if phase == "stop":
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                pass

    def collects(*_: object) -> Iterator[Entry]:
        gc.collect()
        time.sleep(60)
        yield Entry()

    gc.callbacks.append(slow)
    try:
        form = replace(cif.FORMAT, parse=collects)
        monkeypatch.setattr("matdisco.data.readers.formats.FORMATS", (form,))
        (record,) = read(tmp_path, Limits(seconds=0.05, isolate=False))
    finally:
        gc.callbacks.remove(slow)
    assert record.findings[0].rule == "time-limit"


def test_a_dying_process_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matdisco.data.readers import guard

    (tmp_path / "a.cif").write_text(samples.CIF)
    (tmp_path / "b.cif").write_text(samples.CIF)
    guard.close()
    stream = readers.read(tmp_path)
    ask = guard._Worker.ask
    killed: list[str] = []

    def kill_first(self: guard._Worker, request: dict[str, object]) -> None:
        if not killed:
            killed.append(str(request["path"]))
            self.process.kill()
            self.process.wait()
        ask(self, request)

    monkeypatch.setattr(guard._Worker, "ask", kill_first)
    first, second = stream
    assert [f.rule for f in first.findings] == ["parser-crash"]
    assert second.crystal is not None


def test_leaving_early_leaves_no_process_busy(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.cif").write_text(samples.CIF)
    stream = readers.read(tmp_path)
    assert next(stream).crystal is not None
    stream.close()  # type: ignore[attr-defined]
    assert len(read(tmp_path, Limits())) == 3
