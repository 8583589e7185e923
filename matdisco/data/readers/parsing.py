"""Recognise a file's format by its content, parse it, and never raise."""

from __future__ import annotations

import contextlib
import io
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from types import FrameType
from typing import Any

from matdisco.crystal import Crystal
from matdisco.data.readers.base import (
    Blob,
    Entry,
    Finding,
    Format,
    Options,
    RawRecord,
    Unreadable,
)
from matdisco.data.readers.geometry import check
from matdisco.data.readers.text import decode, is_text, shorten


def parse(blob: Blob, options: Options) -> Iterator[RawRecord]:
    """Yield at least one record of a file: a crystal, or the reason for none."""
    if any(f.severity == "reject" for f in blob.findings):
        yield _record(blob, "unknown", 0, Entry())
        return
    if not blob.data.strip():
        finding = Finding("empty-file", "reject", "the file is empty")
        yield _record(blob, "unknown", 0, Entry(findings=(finding,)))
        return
    form = detect(blob)
    if form is None:
        finding = Finding("unknown-format", "reject", _what(blob))
        yield _record(blob, "unknown", 0, Entry(findings=(finding,)))
        return
    yield from _numbered(blob, form, options)


def detect(blob: Blob) -> Format | None:
    """Return the first format whose sniffer accepts the content."""
    from matdisco.data.readers.formats import FORMATS

    head = blob.head
    text = decode(head) if is_text(head) else ""
    for form in FORMATS:
        with contextlib.suppress(Exception):  # a sniffer that fails says no
            if form.sniff(text, head):
                return form
    return None


def _numbered(blob: Blob, form: Format, options: Options) -> Iterator[RawRecord]:
    kept: RawRecord | None = None
    count = 0
    for i, entry in enumerate(_guarded(blob, form, options)):
        record = _record(blob, form.name, i, entry)
        count += 1
        if not form.trajectory or options.frames == "all":
            yield record
        elif record.crystal is not None or kept is None:
            kept = record
        else:  # the last frame is broken: keep the one before, with what is wrong
            softened = tuple(
                Finding(f.rule, "quarantine", f.message) for f in record.findings
            )
            kept = replace(kept, findings=kept.findings + softened)
    if kept is not None:
        if count > 1:
            note = Finding(
                "frames-skipped", "note", f"the last of {count} frames was kept"
            )
            kept = replace(kept, findings=(*kept.findings, note))
        yield kept
    if count == 0:
        finding = Finding("no-structure", "reject", "the file holds no record")
        yield _record(blob, form.name, 0, Entry(findings=(finding,)))


def _guarded(blob: Blob, form: Format, options: Options) -> Iterator[Entry]:
    """Run a parser; what it raises becomes an entry with a finding."""
    entries: Iterator[Entry] | None = None
    while True:
        try:
            with _quiet():
                entries = form.parse(blob, options) if entries is None else entries
                entry = next(entries, None)
        except Exception as error:
            yield Entry(findings=(_why(error, form.name),))
            return
        if entry is None:
            return
        yield _checked(entry, options)


def _checked(entry: Entry, options: Options) -> Entry:
    """Keep a structure that is none from going on; the file's others do."""
    if entry.structure is None:
        return entry
    try:
        check(entry.structure, options.limits.sites)
    except Unreadable as error:
        finding = Finding(error.rule, "reject", str(error))
        return replace(entry, structure=None, findings=(*entry.findings, finding))
    return entry


def _why(error: Exception, form: str) -> Finding:
    if isinstance(error, Unreadable):
        return Finding(error.rule, "reject", str(error))
    if isinstance(error, MemoryError):
        return Finding("memory-limit", "reject", "the parser ran out of memory")
    if isinstance(error, RecursionError):
        return Finding("unreadable", "reject", "nested too deeply")
    what = f"{type(error).__name__}: {shorten(error, 200)}"
    message = f"the content does not follow the format {form} ({what})"
    return Finding("unreadable", "reject", message)


def _record(blob: Blob, form: str, number: int, entry: Entry) -> RawRecord:
    findings = blob.findings + entry.findings
    crystal = None
    if entry.structure is not None:
        source: dict[str, Any] = {"file": blob.name, "record": number, "format": form}
        source["byte_hash"] = blob.byte_hash
        if entry.name:
            source["name"] = entry.name
        if entry.method:
            source["method"] = _plain(entry.method)
        crystal = Crystal(
            f"{blob.name}#{number}", entry.structure, dict(entry.labels), source
        )
    elif not any(f.severity == "reject" for f in findings) and not entry.fields:
        findings += (Finding("no-structure", "reject", "the record has no structure"),)
    return RawRecord(
        crystal,
        blob.path,
        blob.member,
        number,
        form,
        blob.byte_hash,
        findings,
        _plain(entry.fields),
        entry.labels,
    )


def _plain(value: Any) -> Any:
    """Reduce to what JSON can say, so that records travel and hash."""
    import math

    if isinstance(value, bool) or value is None:
        return value
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        return _plain(value.item())
    if isinstance(value, (int, str)):
        return (
            value.encode("utf-8", "replace").decode()
            if isinstance(value, str)
            else value
        )
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if hasattr(value, "items"):
        return {_plain(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)) or hasattr(value, "tolist"):
        return [_plain(v) for v in value]
    return _plain(str(value))


def _what(blob: Blob) -> str:
    suffix = PurePosixPath(blob.name).suffix or "no suffix"
    if not is_text(blob.head):
        return f"binary content that no reader knows ({suffix}, {blob.head[:8].hex()})"
    return f"no reader knows this text ({suffix}): {shorten(decode(blob.head))!r}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep parsers that print, warn and log from doing so."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    sink = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


_AGAIN = 0.5
"""s after which the alarm rings again: Python swallows what is raised in finalizers and
in callbacks of weak references and of the garbage collector."""


class TimeLimit(BaseException):
    """The alarm rang; not an Exception, so that parsers cannot swallow it."""


def parse_in_time(blob: Blob, options: Options) -> Iterator[RawRecord]:
    """Parse in this process; on the main thread an alarm ends what takes too long."""
    records = parse(blob, options)
    seconds = options.limits.patience(len(blob.data))
    count = 0
    while True:
        try:
            with _alarm(seconds):
                record = next(records, None)
        except TimeLimit:
            yield timed_out(blob, seconds, count)
            return
        if record is None:
            return
        count += 1
        yield record


def timed_out(blob: Blob, seconds: float, number: int = 0) -> RawRecord:
    """Return the record that says that a file took too long."""
    message = f"parsing took longer than {seconds:g} s and was stopped"
    return refused(blob, "time-limit", message, number)


def refused(blob: Blob, rule: str, message: str, number: int = 0) -> RawRecord:
    """Return a record that only says why there is none."""
    entry = Entry(findings=(Finding(rule, "reject", message),))
    return _record(blob, "unknown", number, entry)


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    usable = (
        hasattr(signal, "SIGALRM")
        and threading.current_thread() is threading.main_thread()
    )
    if not usable:
        yield
        return

    def ring(_: int, __: FrameType | None) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        finally:  # should it have rung in between
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
