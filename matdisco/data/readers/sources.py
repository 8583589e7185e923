"""From a path to the bytes of every file behind it: folders, packed files, archives.

Nothing is unpacked to disk. Members that point outside their archive, links,
bombs and oversized files are refused by name, and the walk goes on.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from matdisco.data.readers.base import Blob, Finding, Limits, Unreadable

_CHUNK = 1 << 20
_SMALL = 1 << 24  # below 16 MiB a high ratio does no harm
_XZ_MEMORY = 1 << 28  # an xz header may ask for a dictionary of 4 GiB


def walk(root: Path) -> Iterator[Path]:
    """Yield files below ``root`` in sorted order; links are yielded, not followed."""
    if not stat.S_ISDIR(os.lstat(root).st_mode) and not root.is_dir():
        yield root
        return
    try:
        entries = sorted(os.scandir(root), key=lambda e: e.name)
    except OSError:
        yield root
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path))
        else:
            yield Path(entry.path)


def blobs(
    path: Path, name: str, limits: Limits, *, given: bool = False
) -> Iterator[Blob]:
    """Yield the contents of one file, or of each member when it is an archive.

    Args:
        path: a file.
        name: what records call it.
        limits: sizes, ratio, counts, depth.
        given: the caller named this path, so a link may be followed.
    """
    try:
        data = _load(path, limits, follow=given)
    except Unreadable as error:
        yield Blob(str(path), name, None, b"", _sha(b""), (_finding(error),))
        return
    budget = _Budget(limits)
    yield from _unpack(Blob(str(path), name, None, data, _sha(data)), limits, budget, 0)


class _Budget:
    """Bytes and members that one file may still unpack to."""

    def __init__(self, limits: Limits) -> None:
        self.bytes, self.members = limits.unpacked_bytes, limits.members


def _load(path: Path, limits: Limits, *, follow: bool) -> bytes:
    try:
        status = path.stat() if follow else path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise Unreadable(
                "link", f"a symbolic link to {path.readlink()}; not followed"
            )
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("link", "no regular file (a device, socket or pipe)")
        if status.st_size > limits.file_bytes:
            raise Unreadable(
                "size-limit",
                f"{status.st_size:,} bytes, more than the limit {limits.file_bytes:,}",
            )
        with path.open("rb") as file:
            return file.read(limits.file_bytes + 1)[: limits.file_bytes]
    except OSError as error:
        raise Unreadable("not-readable", f"{error.strerror or error}") from error


def _unpack(blob: Blob, limits: Limits, budget: _Budget, depth: int) -> Iterator[Blob]:
    opener = _opener(blob.data)
    if opener is None:
        yield blob
        return
    if depth > limits.depth:
        yield _refused(
            blob, "depth-limit", f"archives nested deeper than {limits.depth}"
        )
        return
    try:
        empty = True
        for member, data in opener(blob.data, limits, budget):
            empty = False
            inner = PurePosixPath(member) if member else None
            yield from _member(blob, inner, data, limits, budget, depth)
        if empty:
            yield _refused(blob, "no-structure", "the archive holds no file")
    except Unreadable as error:
        yield _refused(blob, error.rule, str(error))
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError,
            zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error,
            MemoryError, LookupError) as error:  # fmt: skip
        yield _refused(
            blob,
            "unreadable",
            f"the archive is damaged: {type(error).__name__}: {error}",
        )


def _member(
    blob: Blob,
    inner: PurePosixPath | None,
    data: bytes | Unreadable,
    limits: Limits,
    budget: _Budget,
    depth: int,
) -> Iterator[Blob]:
    if inner is None:  # a packed single file: still the file itself
        member, name, hash_ = blob.member, blob.name, blob.byte_hash
    else:
        member = f"{blob.member}/{inner}" if blob.member else str(inner)
        name, hash_ = f"{blob.name}/{inner}", ""
    if isinstance(data, Unreadable):
        yield Blob(blob.path, name, member, b"", _sha(b""), (_finding(data),))
        return
    found = Blob(blob.path, name, member, data, hash_ or _sha(data))
    yield from _unpack(found, limits, budget, depth + (inner is not None))


Packed = Iterator[tuple[str, bytes | Unreadable]]


def _opener(data: bytes) -> Callable[[bytes, Limits, _Budget], Packed] | None:
    if data.startswith(b"\x1f\x8b"):
        return _gzip
    if data.startswith(b"BZh") and data[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return _bzip2
    if data.startswith(b"\xfd7zXZ\0"):
        return _xz
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not _is_document(data):
        return _zip
    if data[257:262] == b"ustar" or _is_old_tar(data):
        return _tar
    return None


def _is_document(data: bytes) -> bool:
    """XLSX and its kin are zip files; the table reader opens them."""
    return b"[Content_Types].xml" in data[:4096] or b"xl/workbook.xml" in data[-65536:]


def _is_old_tar(data: bytes) -> bool:
    head = data[:512]
    if len(head) < 512 or not head[0] or b"\0" not in head[:100]:
        return False
    try:
        checksum = int(head[148:154].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return checksum == sum(head[:148]) + 8 * 32 + sum(head[156:])


def _gzip(data: bytes, limits: Limits, budget: _Budget) -> Packed:
    yield "", _inflate(data, limits, budget, lambda: zlib.decompressobj(wbits=31))


def _bzip2(data: bytes, limits: Limits, budget: _Budget) -> Packed:
    yield "", _inflate(data, limits, budget, bz2.BZ2Decompressor)


def _xz(data: bytes, limits: Limits, budget: _Budget) -> Packed:
    yield (
        "",
        _inflate(
            data, limits, budget, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        ),
    )


def _inflate(
    data: bytes, limits: Limits, budget: _Budget, make: Callable[[], Any]
) -> bytes:
    """Decompress with bounded output; packed files may hold several streams."""
    out = io.BytesIO()
    rest = data
    while rest:
        stream = make()
        while not stream.eof:
            block = stream.decompress(rest, _CHUNK)
            tail = getattr(stream, "unconsumed_tail", None)
            rest = tail if tail is not None else b""
            starved = not block and not rest and getattr(stream, "needs_input", True)
            if starved and not stream.eof:
                raise Unreadable("truncated", "the packed file is cut off")
            out.write(block)
            _check(out.tell(), len(data), limits, budget)
        rest = stream.unused_data.lstrip(b"\0")
        if rest[:2] != data[:2]:
            break
    budget.bytes -= out.tell()
    return out.getvalue()


def _check(unpacked: int, packed: int, limits: Limits, budget: _Budget) -> None:
    if unpacked > _SMALL and unpacked > limits.ratio * max(packed, 1):
        raise Unreadable(
            "ratio-limit",
            f"unpacks to more than {limits.ratio:g} times its {packed:,} bytes",
        )
    if unpacked > limits.file_bytes:
        raise Unreadable(
            "size-limit", f"unpacks to more than {limits.file_bytes:,} bytes"
        )
    if unpacked > budget.bytes:
        raise Unreadable(
            "size-limit",
            f"the archive unpacks to more than {limits.unpacked_bytes:,} bytes",
        )


def _zip(data: bytes, limits: Limits, budget: _Budget) -> Packed:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in sorted(archive.infolist(), key=lambda i: i.filename):
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            try:
                _admit(info.filename, budget)
                if kind not in (0, stat.S_IFREG):
                    raise Unreadable("link", "an archived link or device; not followed")
                if info.flag_bits & 1:
                    raise Unreadable("not-readable", "the member is encrypted")
                if info.compress_type not in (0, 8, 12):  # stored, deflate, bzip2
                    raise Unreadable(
                        "unsupported", f"compression method {info.compress_type}"
                    )
                with archive.open(info) as file:
                    content = _bounded(file, info.compress_size, limits, budget)
            except Unreadable as error:
                yield info.filename, error
                if error.rule == "member-limit":
                    return
            except (
                zipfile.BadZipFile,
                zlib.error,
                OSError,
                EOFError,
                ValueError,
            ) as error:
                yield (
                    info.filename,
                    Unreadable("unreadable", f"damaged member: {error}"),
                )
            else:
                yield info.filename, content


def _tar(data: bytes, limits: Limits, budget: _Budget) -> Packed:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for info in archive:
            if info.isdir():
                continue
            try:
                _admit(info.name, budget)
                if not info.isreg():
                    raise Unreadable("link", "an archived link or device; not followed")
                file = archive.extractfile(info)
                content = (
                    b"" if file is None else _bounded(file, info.size, limits, budget)
                )
            except Unreadable as error:
                yield info.name, error
                if error.rule == "member-limit":
                    return
            else:
                yield info.name, content


def _admit(name: str, budget: _Budget) -> None:
    budget.members -= 1
    if budget.members < 0:
        raise Unreadable("member-limit", "more files in the archive than the limit")
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise Unreadable(
            "path-escape", f"member {name[:80]!r} points outside its archive"
        )


def _bounded(file: IO[bytes], packed: int, limits: Limits, budget: _Budget) -> bytes:
    out = io.BytesIO()
    while block := file.read(_CHUNK):
        out.write(block)
        _check(out.tell(), packed, limits, budget)
    budget.bytes -= out.tell()
    return out.getvalue()


def _refused(blob: Blob, rule: str, message: str) -> Blob:
    finding = Finding(rule, "reject", message)
    return Blob(blob.path, blob.name, blob.member, b"", blob.byte_hash, (finding,))


def _finding(error: Unreadable) -> Finding:
    return Finding(error.rule, "reject", str(error))


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
