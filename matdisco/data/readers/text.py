"""Text of unknown encoding, Fortran's numbers, and XML without surprises."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, XMLPullParser

import numpy as np

from matdisco.data.readers.base import Unreadable

BOHR = 0.529177210903
"""One bohr in Å (CODATA 2018)."""
HARTREE = 27.211386245988
"""One hartree in eV (CODATA 2018)."""

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[EeDdQq][-+]?\d+)?"
"""Regular expression of one number as Fortran writes it."""


def decode(data: bytes) -> str:
    r"""Decode text: byte-order mark, else UTF-8, else Latin-1; line ends as ``\n``."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


_CONTROL = bytes(b for b in range(32) if not 9 <= b <= 13)


def is_text(head: bytes) -> bool:
    """Tell whether bytes look like text (UTF-16 needs its byte-order mark)."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    start = head[:4096]
    control = len(start) - len(start.translate(None, _CONTROL))
    return b"\0" not in head and control * 100 <= len(start)


def number(token: str) -> float:
    """Return a finite number written by Python, C or Fortran.

    >>> number("1.5d-3")
    0.0015
    """
    try:
        value = float(re.sub("[dDqQ]", "e", token) if token[-1:].isdigit() else token)
    except ValueError:
        raise Unreadable(
            "bad-number", f"expected a number, got {shorten(token)!r}"
        ) from None
    if not math.isfinite(value):
        raise Unreadable("bad-number", f"expected a finite number, got {token!r}")
    return value


def numbers(tokens: str | Iterable[str], count: int | None = None) -> list[float]:
    """Return the numbers of a line; at least ``count`` of them, and no more.

    Raises:
        Unreadable: too few, or one of them is none.
    """
    words = tokens.split() if isinstance(tokens, str) else list(tokens)
    if count is not None and len(words) < count:
        raise Unreadable(
            "unreadable",
            f"expected {count} numbers, got {shorten(' '.join(words))!r}",
        )
    return [number(w) for w in words[:count]]


def is_number(token: str) -> bool:
    """Tell whether a word is a number."""
    return re.fullmatch(NUMBER, token) is not None


def rows(lines: Iterable[str], start: int = 0) -> np.ndarray:
    """Return an (n, 3) array from words ``start`` to ``start + 3`` of each line.

    Fixed-width columns may run into each other: ``-0.63265286-0.11227753``.
    """
    values = []
    for line in lines:
        words = line.split()[start:]
        if start == 0 and 0 < len(words) < 3:
            words = re.findall(NUMBER, line)
        values.append(numbers(words, 3))
    return np.array(values, dtype=float).reshape(-1, 3)


def shorten(text: object, length: int = 80) -> str:
    """Return the first line of a text, cut for a message."""
    line = next((x for x in str(text).splitlines() if x.strip()), "").strip()
    return line if len(line) <= length else line[: length - 1] + "…"


# <!DOCTYPE XSD []> is harmless; anything declared in it, or from elsewhere, is not
_DOCTYPE = re.compile(
    rb"<!\s*ENTITY|<!\s*DOCTYPE[^>\[]*(?:\[\s*[^\]\s]|SYSTEM|PUBLIC)", re.IGNORECASE
)


def parse_xml(data: bytes) -> tuple[Element, bool]:
    """Parse XML without document types and entities.

    Returns:
        The root element, and whether the document was complete. What stood before
        the break is in the tree.

    Raises:
        Unreadable: entities (a bomb, or a way to other files), or no element at all.
    """
    if _DOCTYPE.search(data) or _utf16_doctype(data):
        raise Unreadable(
            "xml-entities", "the XML declares a document type or entities; refused"
        )
    parser: XMLPullParser[Any] = XMLPullParser(events=("start",))
    roots: list[Any] = []
    complete = True
    try:
        for i in range(0, len(data), 1 << 16):
            parser.feed(data[i : i + (1 << 16)])
            _drain(parser, roots)
        parser.close()
        _drain(parser, roots)
    except (SyntaxError, ValueError, LookupError):  # ParseError is a SyntaxError
        complete = False
    if not roots:
        raise Unreadable("unreadable", "no XML element could be read")
    return roots[0], complete


def _drain(parser: XMLPullParser[Any], roots: list[Any]) -> None:
    """Keep the first element, and let the others go."""
    for event in parser.read_events():
        if not roots:
            roots.append(tuple(event)[-1])


def _utf16_doctype(data: bytes) -> bool:
    if b"\0" not in data[:200]:
        return False
    flat = data.replace(b"\0", b"")
    return _DOCTYPE.search(flat) is not None
