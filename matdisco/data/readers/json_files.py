"""JSON and JSON Lines: structures, lists, tables, OPTIMADE, ASE databases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from matdisco.data.readers import croissant, rows
from matdisco.data.readers.base import Blob, Entry, Finding, Format, Options, Unreadable
from matdisco.data.readers.json_structures import holds_structure, read_structure
from matdisco.data.readers.text import decode

_DEPTH = 60


def sniff(text: str, _: bytes) -> bool:
    """Look for an object or a list that begins like JSON."""
    head = text.lstrip()[:200]
    if head[:1] == "{":
        return head[1:].lstrip()[:1] in ('"', "}")
    return head[:1] == "[" and head[1:].lstrip()[:1] in ("{", "[", "]")


def read(blob: Blob, options: Options) -> Iterator[Entry]:
    """Yield one entry per record, whatever the layout."""
    text = decode(blob.data)
    try:
        data = json.loads(text)
    except ValueError as error:
        yield from _lines(text, error, blob, options)
        return
    yield from _entries(data, blob, options, 0)


def _lines(
    text: str, error: ValueError, blob: Blob, options: Options
) -> Iterator[Entry]:
    """JSON Lines; a broken line costs only itself."""
    lines = [x for x in text.split("\n") if x.strip()]
    try:
        if len(lines) < 2:
            raise error
        json.loads(lines[0])
    except ValueError as reason:
        raise Unreadable("unreadable", f"no valid JSON: {reason}") from reason
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
        except ValueError as reason:
            finding = Finding("unreadable", "reject", f"line {number}: {reason}")
            yield Entry(findings=(finding,))
            continue
        if isinstance(value, Mapping) and "x-optimade" in value:
            continue  # the header line of an OPTIMADE JSON Lines file
        yield from _entries(value, blob, options, 0)


def _entries(data: Any, blob: Blob, options: Options, depth: int) -> Iterator[Entry]:
    if depth > _DEPTH:
        raise Unreadable("unreadable", "nested too deeply")
    if isinstance(data, list):
        for item in data:
            if isinstance(item, (Mapping, list)):
                yield from _entries(item, blob, options, depth + 1)
            else:
                yield Entry(findings=(_no_structure(f"a list item {item!r:.40}"),))
        return
    if not isinstance(data, Mapping):
        raise Unreadable("no-structure", f"a JSON {type(data).__name__}, no record")
    if data.get("type") in ("references", "files", "links", "info"):
        kind = data["type"]
        yield Entry(
            name=str(data.get("id", "")),
            findings=(Finding("unsupported", "reject", f"an OPTIMADE {kind} entry"),),
        )
    elif croissant.is_card(data):
        yield from croissant.entries(data, Path(blob.path))
    elif _is_response(data):
        yield from _response(data, blob, options, depth)
    elif "ids" in data and "nextid" in data:
        yield from _ase_database(data, options)
    elif (table := _table(data)) is not None:
        for row in table:
            yield rows.entry(row, blob, options)
    elif not holds_structure(data) and all(map(_is_group, data.values())):
        for group in data.values():
            yield from _entries(group, blob, options, depth + 1)
    else:
        yield _record(data, blob, options)


def _record(data: Mapping[str, Any], blob: Blob, options: Options) -> Entry:
    found = rows.entry(data, blob, options)
    old = "pretty_formula" in data and "chemical_formula_reduced" not in data
    if old and found.structure is not None:
        note = Finding(
            "old-schema", "note", "an OPTIMADE entry from before version 1.0"
        )
        found = replace(found, findings=(*found.findings, note))
    return found


def _is_response(data: Mapping[str, Any]) -> bool:
    return (
        isinstance(data.get("data"), list)
        and "columns" not in data
        and not holds_structure(data)
    )


def _response(
    data: Mapping[str, Any], blob: Blob, options: Options, depth: int
) -> Iterator[Entry]:
    meta = data.get("meta")
    provider = meta.get("provider") if isinstance(meta, Mapping) else None
    name = provider.get("name") if isinstance(provider, Mapping) else None
    for error in data.get("errors") or ():
        said = error if isinstance(error, Mapping) else {"detail": error}
        message = f"{said.get('title') or 'error'}: {said.get('detail') or 'no reason'}"
        yield Entry(findings=(Finding("provider-error", "reject", message),))
    for found in _entries(data["data"], blob, options, depth + 1):
        yield (
            replace(found, method={**found.method, "provider": name}) if name else found
        )
    if isinstance(meta, Mapping) and meta.get("more_data_available"):
        note = Finding("truncated", "note", "the provider has more pages than this one")
        yield Entry(
            fields={"next": str((data.get("links") or {}).get("next"))},
            findings=(note,),
        )


def _table(data: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Read pandas' ``split`` and ``columns`` layouts, and columns as lists."""
    if isinstance(data.get("columns"), list) and isinstance(data.get("data"), list):
        names = [str(c) for c in data["columns"]]
        index = data.get("index") or [None] * len(data["data"])
        out = []
        for label, values in zip(index, data["data"], strict=False):
            row = dict(zip(names, values, strict=False))
            out.append(row if label is None else {"index": label, **row})
        return out
    values = list(data.values())
    if len(values) > 1 and all(isinstance(v, Mapping) for v in values):
        keys = list(values[0])
        aligned = bool(keys) and all(list(v) == keys for v in values)
        numbered = aligned and all(str(k).isdigit() for k in keys)
        if numbered or (aligned and any(holds_structure(v[keys[0]]) for v in values)):
            return [{"index": k, **{c: v[k] for c, v in data.items()}} for k in keys]
    if len(values) > 1 and all(isinstance(v, list) and v for v in values):
        aligned = all(len(v) == len(values[0]) for v in values)
        if aligned and any(holds_structure(v[0]) for v in values):
            return [{c: v[i] for c, v in data.items()} for i in range(len(values[0]))]
    texts = values and all(isinstance(v, str) and v.count("\n") > 5 for v in values)
    if texts or (values and all(map(holds_structure, values))):
        return [{"id": k, "structure": v} for k, v in data.items()]
    return None


def _is_group(value: Any) -> bool:
    """Tell whether a value is itself a table, as in ``{"train": {...}}``."""
    return isinstance(value, Mapping) and _table(value) is not None


def _ase_database(data: Mapping[str, Any], options: Options) -> Iterator[Entry]:
    from matdisco.data.readers.ase_database import labels_of

    for key in data["ids"]:
        row = data.get(str(key))
        if not isinstance(row, Mapping):
            yield Entry(findings=(_no_structure(f"id {key} is missing"),))
            continue
        try:
            made, findings = read_structure(row, options.limits.sites)
        except Unreadable as error:
            yield Entry(findings=(Finding(error.rule, "reject", str(error)),))
            continue
        pairs = row.get("key_value_pairs") or {}
        method = {"code": str(row.get("calculator") or "")}
        labels, fields = labels_of(row, pairs, method, len(made))
        yield Entry(made, labels, method, str(key), findings, fields)


def _no_structure(what: str) -> Finding:
    return Finding("no-structure", "reject", f"{what} holds no structure")


FORMAT = Format("json", sniff, read)
