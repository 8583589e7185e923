"""XYZ and extended XYZ."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import numpy as np

from matdisco.crystal import Label
from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.geometry import symbol_of
from matdisco.data.readers.json_structures import from_atoms
from matdisco.data.readers.labels import label, results
from matdisco.data.readers.text import decode, is_number, number, numbers

_WIDTHS = re.compile(r"([^:]+):([SRIL]):(\d+):?")
_ASSUMED = Finding(
    "unit-assumed",
    "note",
    "extended XYZ states no units; energies are eV and forces eV/Å by its convention",
)


def sniff(text: str, _: bytes) -> bool:
    """Look for a count, a comment, then a symbol with coordinates."""
    lines = text.split("\n", 3)
    if len(lines) < 3 or not re.fullmatch(r"\s*\d+\s*", lines[0]):
        return False
    words = lines[2].split("\n")[0].split()
    return (
        "Properties=" in lines[1]
        or "Lattice=" in lines[1]
        or (
            len(words) >= 4
            and bool(re.fullmatch(r"[A-Za-z]{1,2}\d*|\d+", words[0]))
            and all(map(is_number, words[1:4]))
        )
    )


def read(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield frames; of one moving system only those that were asked for."""
    frames = list(_frames(decode(blob.data).split("\n"), options))
    good = [f for f in frames if f.structure is not None]
    formulas = {f.structure.composition.formula for f in good if f.structure}
    moving = len(good) > 1 and len(formulas) == 1
    if not moving or options.frames == "all":
        yield from frames
        return
    note = Finding(
        "frames-skipped", "note", f"the last of {len(frames)} frames was kept"
    )
    last = good[-1]
    broken = tuple(
        Finding(x.rule, "quarantine", x.message)
        for f in frames[frames.index(last) + 1 :]
        for x in f.findings
    )
    yield Entry(
        last.structure, last.labels, last.method, last.name,
        (*last.findings, *broken, note), last.fields,
    )  # fmt: skip


def _frames(lines: list[str], options: Options) -> Iterator[Entry]:
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        count = lines[at].strip()
        if not count.isdigit() or int(count) > options.limits.sites:
            message = f"expected the number of atoms, got {count[:40]!r}"
            yield Entry(findings=(Finding("unreadable", "reject", message),))
            return
        n = int(count)
        body = lines[at + 2 : at + 2 + n]
        if len(body) < n or (n and not body[-1].strip()):
            message = (
                f"the last frame has {sum(bool(x.strip()) for x in body)} of {n} atoms"
            )
            yield Entry(findings=(Finding("truncated", "reject", message),))
            return
        try:
            yield _frame(lines[at + 1] if at + 1 < len(lines) else "", body, options)
        except Unreadable as error:
            yield Entry(findings=(Finding(error.rule, "reject", str(error)),))
        at += 2 + n


def _frame(comment: str, body: list[str], options: Options) -> Entry:
    info = _info(comment)
    columns = _columns(info.pop("Properties", "species:S:1:pos:R:3"))
    words = [line.split() for line in body]
    if "pos" not in columns or not words:
        raise Unreadable("no-structure", "the frame has no positions")
    start, width = columns["pos"]
    positions = np.array([numbers(w[start : start + width], 3) for w in words])
    kind = columns.get("species") or columns.get("Z") or columns.get("numbers")
    if kind is None:
        raise Unreadable("unknown-species", "the frame has no species column")
    species: list[Any] = [_species(w[kind[0]]) for w in words]
    cell = np.zeros((3, 3))
    if "Lattice" in info:
        cell = np.array(numbers(str(info.pop("Lattice")), 9)).reshape(3, 3)
    pbc = [x.upper().startswith("T") for x in str(info.pop("pbc", "T T T")).split()]
    made, findings = from_atoms(
        species,
        positions,
        cell,
        pbc if len(pbc) == 3 else [True] * 3,
        options.limits.sites,
    )
    forces = None
    name = next((k for k in ("forces", "force") if k in columns), None)
    if name:
        at = columns[name][0]
        try:
            forces = np.array([numbers(w[at : at + 3], 3) for w in words])
        except Unreadable as error:
            findings += (Finding(error.rule, "quarantine", f"forces: {error}"),)
    unit = str(info.get("energy_unit") or info.get("energy_units") or "")
    method = {"code": str(info["calculator"])} if "calculator" in info else {}
    energy = info.get("energy")
    labels: dict[str, Label] = {}
    if isinstance(energy, float):
        total, more = label("energy", energy, unit or "eV", method)
        findings += more if unit else (*more, _ASSUMED)
        if "energy" in total:
            labels |= results(method, len(made), energy=total["energy"].value)
    elif energy is not None:
        findings += (
            Finding(
                "value-not-a-number", "quarantine", f"energy: {str(energy)[:40]!r}"
            ),
        )
    labels |= results(method, len(made), forces=forces)
    return Entry(made, labels, method, "", findings, info)


def _species(word: str) -> Any:
    return int(word) if word.isdigit() else symbol_of(word)


def _columns(text: Any) -> dict[str, tuple[int, int]]:
    out, at = {}, 0
    for name, _, width in _WIDTHS.findall(str(text)):
        out[name] = (at, int(width))
        at += int(width)
    return out


def _info(comment: str) -> dict[str, Any]:
    """``key=value`` pairs; numbers as floats, the rest as text."""
    out: dict[str, Any] = {}
    try:
        words = shlex.split(comment.replace("{", '"').replace("}", '"'))
    except ValueError:
        words = comment.split()
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key:
            out[key] = number(value) if is_number(value) else value
    return out


FORMAT = Format("xyz", sniff, read)
