"""What a reader hands on: records, findings, limits; and what a format must offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pymatgen.core import Structure

from matdisco.crystal import Crystal, Label
from matdisco.data.readers.columns import ColumnMap

LIMITS = "censored"
"""Field of a record, and key of a crystal's source, with the limits that stand where
a value should: property to ``limit`` (``<`` or ``>``), ``value``, ``unit``,
``method``."""
Severity = Literal["reject", "quarantine", "mend", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a reader noticed, under the name of the rule that noticed it."""

    rule: str
    """Short name, for example ``unknown-species``; see :data:`RULES`."""
    severity: Severity
    """What it means for the record: out, set aside, repaired, or worth knowing."""
    message: str
    """A sentence with what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record as it stood in a file, or the reason why there is none."""

    crystal: Crystal | None
    """The crystal with labels in matdisco's units; None where it was rejected."""
    path: str
    """The file, as the walk reached it."""
    member: str | None
    """The file inside an archive, None outside archives."""
    record: int
    """Block, row, entry or frame number in that file, from 0."""
    format: str
    """The format that the content showed, ``unknown`` where none did."""
    byte_hash: str
    """SHA-256 of the source bytes (of the member, inside an archive)."""
    findings: tuple[Finding, ...] = ()
    """Everything noticed while reading."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else the file said about the record (a table's cells, a CIF's formula)."""
    labels: Mapping[str, Label] = field(default_factory=dict)
    """The labels; also there for a table row that has no structure."""

    @property
    def rejected(self) -> bool:
        """Tell whether a finding forbids to use the record."""
        return any(f.severity == "reject" for f in self.findings)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a reader may spend on what a stranger sent."""

    seconds: float = 10.0
    """Wall time from one record to the next, and for a file's first one."""
    bytes_per_second: float = 2e6
    """Large files get more time: what the slowest honest parser needs per byte."""
    file_bytes: int = 1 << 28
    """Largest file or member that is opened, bytes (256 MiB)."""
    unpacked_bytes: int = 1 << 30
    """Most bytes that one archive may unpack to (1 GiB)."""
    ratio: float = 250.0
    """Largest unpacked/packed ratio above 16 MiB; text rarely passes 100."""
    members: int = 100_000
    """Most files in one archive."""
    depth: int = 2
    """Archives inside archives that are followed."""
    sites: int = 20_000
    """Most sites in one structure."""
    memory_bytes: int = 4 << 30
    """Address space of the guarded process beyond its start (4 GiB)."""
    isolate: bool = True
    """Parse in a guarded process that can be ended when it hangs or crashes."""

    def patience(self, size: int) -> float:
        """Return the seconds that a file of ``size`` bytes may take for a record."""
        return self.seconds + size / self.bytes_per_second


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller of :func:`matdisco.data.readers.read` chose."""

    frames: Literal["last", "all"] = "last"
    columns: ColumnMap | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes of one file or archive member, and where they came from."""

    path: str
    """The file as the walk reached it."""
    name: str
    """Relative name, posix; ``archive/member`` inside archives."""
    member: str | None
    data: bytes
    byte_hash: str
    findings: tuple[Finding, ...] = ()

    @property
    def head(self) -> bytes:
        """The first 64 KiB, enough to recognise a format."""
        return self.data[: 1 << 16]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a format's parser found for one record."""

    structure: Structure | None = None
    labels: Mapping[str, Label] = field(default_factory=dict)
    method: Mapping[str, Any] = field(default_factory=dict)
    """code, version, functional, settings: as the file says."""
    name: str = ""
    """The identifier that the file gives the record."""
    findings: tuple[Finding, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


class Unreadable(Exception):
    """A parser's refusal, with the rule and a sentence for the report."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Format:
    """One file format: how to recognise it by content, and how to read it."""

    name: str
    """For example ``vasp-poscar``."""
    sniff: Callable[[str, bytes], bool]
    """Is it this format? Gets the head as text and as bytes."""
    parse: Callable[[Blob, Options], Iterator[Entry]]
    """Yield the entries in the order of the file."""
    trajectory: bool = False
    """The entries are frames of one calculation; ``frames="last"`` keeps one."""


RULES: Mapping[str, str] = {
    "unsupported": "the file is recognised, but holds no structure or has no reader",
    "unknown-format": "no known format matches the content",
    "unreadable": "the format is known, but the content breaks its rules",
    "truncated": "the file ends in the middle of a record",
    "empty-file": "the file has no bytes",
    "no-structure": "the record has no atoms",
    "no-cell": "atoms without a periodic cell; boxed with vacuum and set aside",
    "partial-cell": "fewer than three periodic directions; the rest is vacuum",
    "flat-cell": "the cell has no volume",
    "bad-number": "a number is NaN, infinite or not a number",
    "count-mismatch": "the stated and the found number of atoms differ",
    "unknown-species": "a species is no chemical element",
    "unnamed-species": "the file numbers its species and does not name them",
    "occupancy": "a site holds more than one atom, or less than none",
    "too-many-sites": "more sites than the limit",
    "site-attachments": "a site stands for a group of atoms that is not resolved",
    "unconverged": "the calculation says that it did not converge",
    "unfinished": "the calculation did not reach its end",
    "input-only": "a calculation's input: a structure, but no results",
    "unit-unstated": "a number without a unit; it became no label",
    "unit-assumed": "the format's convention gave the unit",
    "value-not-a-number": "a table cell that should hold a number does not",
    "censored": "a limit (below, above) instead of a value; kept as a limit",
    "frames-skipped": "only the last frame of a trajectory was kept",
    "repaired": "the reader repaired the text before parsing it",
    "parser-warning": "what the parser complained about",
    "provider-error": "an OPTIMADE provider did not give this page",
    "old-schema": "an outdated version of the format",
    "charged-cell": "the calculation was done with a net charge",
    "size-limit": "larger than the limit",
    "ratio-limit": "unpacks to suspiciously much: a decompression bomb",
    "member-limit": "more files in an archive than the limit",
    "depth-limit": "archives nested deeper than the limit",
    "path-escape": "an archive member points outside its archive",
    "link": "a symbolic or hard link, a device or a socket; not followed",
    "xml-entities": "XML with a document type or entities; refused",
    "time-limit": "the parser took too long and was stopped",
    "memory-limit": "the parser wanted more memory than the limit",
    "parser-crash": "the parser's process died",
    "not-readable": "the operating system does not let us read the file",
    "checksum": "the bytes differ from the checksum that a card states",
    "no-column-map": "a table whose columns nobody described",
}
"""Every rule that reading can apply, with its meaning."""
