"""Files that are recognised, but hold no structure or have no reader: said by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from matdisco.data.readers.base import Blob, Entry, Format, Options, Unreadable

_Sniffer = Callable[[str, bytes], bool]


def _refuse(reason: str) -> Callable[[Blob, Options], Iterator[Entry]]:
    def parse(_: Blob, __: Options) -> Iterator[Entry]:
        raise Unreadable("unsupported", reason)
        yield Entry()

    return parse


def _text(pattern: str) -> _Sniffer:
    compiled = re.compile(pattern)
    return lambda text, _: compiled.search(text) is not None


def _bytes(*magic: bytes) -> _Sniffer:
    return lambda _, data: data.startswith(magic)


_KNOWN: tuple[tuple[str, _Sniffer, str], ...] = (
    ("numpy", _bytes(b"\x93NUMPY"), "a bare NumPy array: no species, no cell"),
    ("pickle", _bytes(b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
     "a Python pickle can run code when it is read; it is never opened"),
    ("executable", _bytes(b"\x7fELF", b"MZ"), "an executable"),
    ("image", _bytes(b"\x89PNG", b"\xff\xd8\xff", b"GIF8"), "an image"),
    ("pdf", _bytes(b"%PDF"), "a PDF document"),
    ("7z", _bytes(b"7z\xbc\xaf\x27\x1c", b"Rar!"), "7z or RAR; unpack it first"),
    ("zstd", _bytes(b"\x28\xb5\x2f\xfd"), "a zstd file; unpack it first"),
    ("html", _text(r"(?i)\A\s*(?:<!doctype html|<html)"),
     "a web page, perhaps an error message saved in place of a file"),
    ("vasp-oszicar", _text(r"\A\s+N\s+E\s+dE\s+d eps"),
     "a VASP OSZICAR: energies of the iterations, no atoms"),
    ("cp2k-data", _text(r"'?@module'?:\s*pymatgen\.io\.cp2k"),
     "basis sets and potentials for CP2K: no structure"),
)  # fmt: skip

FORMATS: tuple[Format, ...] = tuple(
    Format(name, sniff, _refuse(reason)) for name, sniff, reason in _KNOWN
)
