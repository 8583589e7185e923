"""ABINIT: input files and main output (.abo, .out, .log). Atomic units unless said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.espresso import INPUT_ONLY
from matdisco.data.readers.geometry import structure
from matdisco.data.readers.labels import results
from matdisco.data.readers.text import BOHR, HARTREE, decode, is_number, number

_KEYS = ("acell", "rprim", "angdeg", "natom", "ntypat", "typat", "znucl", "xred",
         "xcart", "xangst", "ixc", "ecut", "etotal", "fcart", "ndtset", "jdtset",
         "nimage")  # fmt: skip
_KEY = re.compile(rf"^[-P ]?\s*({'|'.join(_KEYS)})(\d*|_\dimg)\b(.*)$")
# LibXC and built-in codes of the ABINIT manual
IXC = {1: "LDA", 2: "LDA", 7: "LDA", 11: "PBE", 14: "revPBE", 15: "RPBE", 23: "WC",
        -101130: "PBE", -116133: "PBEsol", -1012: "LDA", -20: "LDA"}  # fmt: skip


def _is_output(text: str, _: bytes) -> bool:
    return bool(
        re.search(r"\.Version\s+\S+\s+of ABINIT", text)
        or "ABINIT comes with ABSOLUTELY NO WARRANTY" in text
    )


def _is_input(text: str, _: bytes) -> bool:
    keys = ("znucl", "natom", "typat", "acell", "ecut")
    has = [
        re.search(rf"(?im)(?:^|[ \t]){k}\d?\??\s+[\d.*]", text) is not None
        for k in keys
    ]
    return has[0] and sum(has) >= 3


def _values(words: list[str]) -> list[float]:
    """Expand ``3*5.42``, apply units, divide ``1/3``; stop at the next word."""
    out: list[float] = []
    for word in words:
        low = word.lower()
        if low in ("angstr", "angstrom", "angstroms", "ang"):
            out = [v / BOHR for v in out]
            continue
        if low in ("bohr", "au", "hartree", "ha"):
            continue
        if low == "ry":
            out = [v / 2 for v in out]
            continue
        if low == "ev":
            out = [v / HARTREE for v in out]
            continue
        times, star, rest = word.partition("*")
        body = rest if star else word
        if "/" in body:
            top, _, below = body.partition("/")
            if not (is_number(top) and is_number(below)) or number(below) == 0:
                break
            value = number(top) / number(below)
        elif is_number(body):
            value = number(body)
        else:
            break
        count = int(times) if star and times.isdigit() else 1
        if count > 100_000:
            raise Unreadable("too-many-sites", f"a value repeated {count:,} times")
        out += [value] * count
    return out


class _Variables:
    """Variables with their dataset suffix: ``xred1`` is ``("xred", "1")``."""

    def __init__(self, values: Mapping[tuple[str, str], list[float]]) -> None:
        self._values = values

    def get(self, key: str, dataset: str) -> list[float] | None:
        for suffix in (dataset, f"{dataset[:0]}?", ""):
            if (key, suffix) in self._values:
                return self._values[key, suffix]
        return None

    def one(self, key: str, dataset: str, default: float) -> float:
        values = self.get(key, dataset)
        return values[0] if values else default

    @property
    def datasets(self) -> list[str]:
        listed = self._values.get(("jdtset", ""))
        count = int((self._values.get(("ndtset", "")) or [1.0])[0])
        if listed and count > 1:
            return [str(int(x)) for x in listed[:count]]
        return [str(i) for i in range(1, min(count, 1000) + 1)] if count > 1 else [""]

    def structure(self, dataset: str, limit: int) -> Any:
        """Build the structure of a dataset.

        Raises:
            Unreadable: variables are missing.
        """
        n = int(self.one("natom", dataset, 1))
        znucl = self.get("znucl", dataset)
        if not znucl:
            raise Unreadable("truncated", "the file ends before znucl")
        if n > limit:
            raise Unreadable("too-many-sites", f"{n:,} atoms")
        types = [int(t) for t in self.get("typat", dataset) or [1] * n][:n]
        if len(types) < n or not all(1 <= t <= len(znucl) for t in types):
            raise Unreadable(
                "count-mismatch", f"{n} atoms, but typat and znucl do not cover them"
            )
        acell = np.array((self.get("acell", dataset) or [1.0] * 3)[:3])
        rprim = self.get("rprim", dataset)
        if rprim:
            vectors = np.array(rprim[:9]).reshape(3, 3)
        else:
            vectors = _from_angles(self.get("angdeg", dataset))
        cell = vectors * acell[:, None] * BOHR
        species = [round(znucl[t - 1]) for t in types]
        for key, scale in (("xred", None), ("xangst", 1.0), ("xcart", BOHR)):
            values = self.get(key, dataset)
            if values and len(values) >= 3 * n:
                sites = np.array(values[: 3 * n]).reshape(n, 3)
                return structure(
                    cell,
                    species,
                    sites * (scale or 1),
                    cartesian=scale is not None,
                    limit=limit,
                )
        if n == 1:
            return structure(cell, species, [[0.0, 0.0, 0.0]], limit=limit)
        raise Unreadable("truncated", f"positions of {n} atoms are missing")

    def method(self, dataset: str, version: str) -> dict[str, Any]:
        """Describe code, functional and cutoff."""
        code = self.get("ixc", dataset)
        name = IXC.get(int(code[0]), f"ixc {code[0]:g}") if code else ""
        cutoff = self.get("ecut", dataset)
        return {
            "code": "ABINIT",
            "version": version,
            "functional": name,
            "settings": {"encut_eV": round(cutoff[0] * HARTREE, 4)} if cutoff else {},
        }


def _from_angles(angles: list[float] | None) -> np.ndarray:
    if not angles or len(angles) < 3:
        return np.eye(3)
    from matdisco.data.readers.geometry import cell_from_parameters

    return cell_from_parameters([1.0, 1.0, 1.0, *angles[:3]])


def read_input(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield the structure of each dataset."""
    text = re.sub(r"[#!].*", "", decode(blob.data)).replace(",", " ").replace("=", " ")
    words = text.split()
    values: dict[tuple[str, str], list[float]] = {}
    for i, word in enumerate(words):
        match = re.fullmatch(rf"({'|'.join(_KEYS)})(\d*\??)", word.lower())
        if match and (match[1], match[2]) not in values:
            values[match[1], match[2]] = _values(words[i + 1 : i + 1 + 60_000])
    variables = _Variables(values)
    for dataset in variables.datasets:
        made = variables.structure(dataset, options.limits.sites)
        yield Entry(made, {}, variables.method(dataset, ""), dataset, (INPUT_ONLY,))


def _echo(lines: list[str]) -> _Variables:
    """Variables of an ``outvars`` echo block."""
    values: dict[tuple[str, str], list[float]] = {}
    key: tuple[str, str] | None = None
    for line in lines:
        match = _KEY.match(line)
        if match:
            key = (match[1], match[2])
            values[key] = _values(match[3].split())
        elif key is not None and re.match(r"^[-P ]?\s{10,}[-+\d.]", line):
            values[key] += _values(line[1:].split())
        else:
            key = None
    return _Variables(values)


def read_output(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield the final structure and energy of each dataset."""
    lines = decode(blob.data).split("\n")
    before = [
        i for i, x in enumerate(lines) if "echo values of preprocessed input" in x
    ]
    after = [
        i for i, x in enumerate(lines) if "echo values of variables after comp" in x
    ]
    version = next(
        (
            m[1]
            for x in lines[:60]
            if (m := re.search(r"\.Version\s+(\S+)\s+of ABINIT", x))
        ),
        "",
    )
    if not before and not after:
        raise Unreadable("truncated", "the output ends before it echoes its structure")
    start = (after or before)[-1]
    variables = _echo(lines[start : start + 200_000])
    unfinished = (
        ()
        if after
        else (
            Finding(
                "unfinished",
                "note",
                "the run stopped before its end: its first structure",
            ),
        )
    )
    bad = any("was not converged" in x or "ScfConvergenceWarning" in x for x in lines)
    warned = (
        (Finding("unconverged", "quarantine", "an SCF cycle did not converge"),)
        if bad
        else ()
    )
    for dataset in variables.datasets:
        made = variables.structure(dataset, options.limits.sites)
        method = variables.method(dataset, version)
        total = variables.get("etotal", dataset)
        force = variables.get("fcart", dataset)
        forces = None
        if force and len(force) >= 3 * len(made):
            forces = np.array(force[: 3 * len(made)]).reshape(-1, 3) * HARTREE / BOHR
        # ABINIT prints 0 for a run without self-consistency
        energy = total[0] * HARTREE if after and total and total[0] else None
        labels = results(method, len(made), energy=energy, forces=forces)
        yield Entry(made, labels, method, dataset, (*unfinished, *warned))


FORMATS: tuple[Format, ...] = (
    Format("abinit-out", _is_output, read_output),
    Format("abinit-in", _is_input, read_input),
)
