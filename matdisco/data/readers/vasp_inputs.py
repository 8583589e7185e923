"""VASP's POSCAR and CONTCAR, and XDATCAR trajectories."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from pymatgen.core import Element

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.geometry import structure, unnamed
from matdisco.data.readers.text import decode, is_number, number, numbers, rows

_FRAME = re.compile(r"(?im)^[ \t]*(?:Direct|Cartesian)?[ \t]*configuration[ \t]*=")


def sniff(text: str, _: bytes) -> bool:
    """Look for a scale in line 2, three vectors, then symbols or counts."""
    lines = text.split("\n", 12)
    if len(lines) < 8:
        return False
    scale = lines[1].split()
    if not scale or len(scale) > 3 or not all(map(is_number, scale[:1])):
        return False
    for line in lines[2:5]:
        words = line.split()
        if len(words) < 3 or not all(map(is_number, words[:3])):
            return False
    return any(_counts(line) for line in lines[5:12])


def _counts(line: str) -> bool:
    words = line.split("!")[0].split()
    return bool(words) and all(w.isdigit() for w in words)


def _is_xdatcar(text: str, data: bytes) -> bool:
    return sniff(text, data) and _FRAME.search(text) is not None


class _Header:
    """Cell, species and counts: the part that POSCAR and XDATCAR share."""

    def __init__(self, lines: list[str]) -> None:
        scale = numbers(re.split(r"[!#]", lines[1])[0])[:3]
        if len(lines) < 6 or not scale:
            raise Unreadable("truncated", "the file ends inside its header")
        matrix = rows(lines[2:5])
        if len(scale) == 3:
            self.factor = np.array(scale)
        elif scale[0] < 0:  # the cell's volume in Å³
            volume = abs(float(np.linalg.det(matrix))) or 1.0
            self.factor = np.full(3, (-scale[0] / volume) ** (1 / 3))
        else:
            self.factor = np.full(3, scale[0])
        self.cell = matrix * self.factor
        at = 5
        names: list[str] = []
        while at < len(lines) and not _counts(lines[at]):
            words = re.split(r"[!#]", lines[at])[0].split()
            if not words or (names and is_number(words[0])) or at > 30:
                raise Unreadable(
                    "unreadable", "expected the number of atoms per species"
                )
            names += words
            at += 1
        counts: list[int] = []
        while at < len(lines) and _counts(lines[at]):
            if names and len(counts) >= len(names):
                break
            counts += [int(w) for w in lines[at].split("!")[0].split()]
            at += 1
        if names and len(counts) != len(names):
            raise Unreadable(
                "count-mismatch",
                f"{len(names)} species names, but {len(counts)} counts",
            )
        if sum(counts) > 10_000_000:
            raise Unreadable("too-many-sites", f"{sum(counts):,} atoms")
        self.names, self.counts, self.end = names, counts, at
        self.comment = lines[0].strip()

    def species(self, tails: list[str]) -> tuple[list[object], tuple[Finding, ...]]:
        """One species per site: from the header, the position lines or the comment."""
        if self.names:
            # Fe_pv, H.1, Ga/0a1b2c3d4e (VASP 6): the element comes first
            kinds = [re.split(r"[_./]", n)[0] for n in self.names]
            return _spread(kinds, self.counts), ()
        if tails and all(map(Element.is_valid_symbol, tails)):
            return list(tails), ()
        words = self.comment.split()
        if len(words) == len(self.counts) and all(map(Element.is_valid_symbol, words)):
            return _spread(words, self.counts), ()
        kinds_ = [unnamed(i + 1) for i in range(len(self.counts))]
        return _spread(kinds_, self.counts), (
            Finding(
                "unnamed-species",
                "quarantine",
                "a VASP 4 file without species names; they stand in its POTCAR",
            ),
        )


def _spread(kinds: Sequence[object], counts: list[int]) -> list[object]:
    return [k for k, n in zip(kinds, counts, strict=True) for _ in range(n)]


def _lines(blob: Blob) -> list[str]:
    return decode(blob.data).split("\n")


def read_poscar(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read one structure."""
    lines = _lines(blob)
    head = _Header(lines)
    at = head.end
    if lines[at : at + 1] and lines[at].strip()[:1].lower() == "s":
        at += 1
    mode = lines[at].strip()[:1].lower() if at < len(lines) else ""
    if mode and is_number(lines[at].split()[0]):
        raise Unreadable(
            "unreadable", "expected Direct or Cartesian before the positions"
        )
    cartesian = mode in ("c", "k")
    total = sum(head.counts)
    body = lines[at + 1 : at + 1 + total]
    if len(body) < total or (body and len(body[-1].split()) < 3):
        found = sum(len(x.split()) >= 3 for x in body)
        raise Unreadable("truncated", f"{total} atoms stated, {found} positions found")
    positions = rows(body)
    if cartesian:
        positions = positions * head.factor
    species, findings = head.species([_tail(line) for line in body])
    yield Entry(
        structure(
            head.cell,
            species,
            positions,
            cartesian=cartesian,
            limit=options.limits.sites,
        ),
        method={"code": "VASP"},
        findings=findings,
        fields={"comment": head.comment},
    )


def _tail(line: str) -> str:
    words = [w for w in line.split("!")[0].split()[3:] if w not in ("T", "F")]
    return re.split(r"[_./]", words[0])[0] if words else ""


def read_xdatcar(blob: Blob, options: Options) -> Iterator[Entry]:
    """Read the frames; a cell that changes has its own header per frame."""
    lines = _lines(blob)
    head = _Header(lines)
    total = sum(head.counts)
    at = head.end
    while at < len(lines):
        if _FRAME.match(lines[at]) or not lines[at].strip():
            body = lines[at + 1 : at + 1 + total]
            complete = len(body) == total and bool(body[-1].strip())
            if not complete:
                if any(x.strip() for x in body):
                    yield Entry(
                        findings=(
                            Finding("truncated", "reject", "the last frame is cut off"),
                        )
                    )
                return
            species, findings = head.species([])
            yield Entry(
                structure(head.cell, species, rows(body), limit=options.limits.sites),
                method={"code": "VASP"},
                findings=findings,
            )
            at += 1 + total
        elif len(lines) - at > 6 and len(lines[at + 1].split()) == 1:
            head = _Header(lines[at:])
            at += head.end
        else:
            number(lines[at].split()[0])  # says what stands here instead of a frame
            raise Unreadable("unreadable", "expected 'Direct configuration='")


XDATCAR = Format("vasp-xdatcar", _is_xdatcar, read_xdatcar, trajectory=True)
POSCAR = Format("vasp-poscar", sniff, read_poscar)
