"""The card as one HTML page that fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from matdisco.plot_style import to_svg
from surrogates.assessment.figures import figures
from surrogates.assessment.markdown import shown

if TYPE_CHECKING:
    from surrogates.assessment.card import Card

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#1a202c;max-width:1080px;margin:2em auto;
padding:0 1em}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}
table{border-collapse:collapse;width:100%}th,td{padding:.3em .6em;text-align:left;
border-bottom:1px solid #d1d5db;vertical-align:top}td.n{white-space:nowrap}
.pass{color:#046c4e}.warn{color:#8a5a00;font-weight:600}.fail{color:#b3261e;
font-weight:700}.info{color:#6b7280}.plots{display:flex;flex-wrap:wrap;gap:1em}
.plots figure{margin:0;flex:1 1 320px;max-width:420px}svg{max-width:100%;height:auto}
code{font-size:.85em;word-break:break-all}.small{color:#6b7280;font-size:.9em}
"""


def to_html(card: Card) -> str:
    """Return the page."""
    body = card.body
    suite, data, model = body["suite"], body["data"], body["model"]
    unit = f" ({escape(data['unit'])})" if data["unit"] else ""
    drawn = figures(card)
    plots = "".join(
        f"<figure>{to_svg(made, f'card-{i}')}</figure>"
        for i, made in enumerate(drawn.values())
    )
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Assessment of {escape(card.name)}</title>"
        f"<style>{_STYLE}</style></head>",
        f"<body><h1>{escape(card.name)}: "
        f'<span class="{card.verdict}">{card.verdict}</span></h1>',
        f"<p>Suite {escape(suite['name'])} {suite['version']}, target "
        f"{escape(data['target'])}{unit}, {data['records']:,} test records: "
        f"{escape(data['protocol'])}.</p>",
        f'<div class="plots">{plots}</div>',
    ]
    for section in body["sections"]:
        parts.append(_section(section, suite["thresholds"]))
    parts += [
        "<h2>What exactly was assessed</h2>",
        _table(
            ("", ""),
            _flat({"model": model, "data": data, "environment": body["environment"]}),
        ),
        f"<p>Content hash <code>{card.seal}</code>; check with "
        "<code>matdisco surrogate verify</code>.</p>",
        _cost(card),
        "</body></html>",
    ]
    return "\n".join(parts)


def _section(section: dict[str, Any], limits: dict[str, Any]) -> str:
    rows = []
    for measure in section["measures"]:
        limit = limits.get(measure["key"])
        text = "" if limit is None else _limits(limit)
        meaning = escape(measure["text"])
        if measure["source"]:
            meaning += f'<br><span class="small">{escape(measure["source"])}</span>'
        rows.append(
            f"<tr><td>{escape(measure['key'].partition('.')[2])}</td>"
            f'<td class="n">{escape(shown(measure))}</td>'
            f'<td class="{measure["verdict"]}">{measure["verdict"]}</td>'
            f'<td class="n small">{text}</td><td>{meaning}</td></tr>'
        )
    verdict, absent = section["verdict"], section.get("not_applicable")
    out = f"<h2>{section['name'].capitalize()} "
    out += f'<span class="{"info" if absent else verdict}">'
    out += f"{'not applicable' if absent else verdict}</span></h2>"
    if absent:
        return out + f'<p class="small">{escape(absent)}.</p>'
    if rows:
        out += (
            "<table><tr><th>Measure</th><th>Value</th><th>Verdict</th><th>Limits</th>"
        )
        out += f"<th>Meaning</th></tr>{''.join(rows)}</table>"
    for key in ("left_out", "by_chemistry", "absurd", "slices"):
        if section["series"].get(key):
            out += _records(key, section["series"][key])
    for what, why in section["skipped"].items():
        out += f'<p class="small">Not tested: {escape(what)}, {escape(why)}.</p>'
    for remark in section["remarks"]:
        out += f"<p>{escape(remark)}.</p>"
    return out


def _limits(limit: dict[str, Any]) -> str:
    sign = "&gt;" if limit["better"] == "low" else "&lt;"
    return ", ".join(
        f"{k} {sign} {limit[k]:g}" for k in ("warn", "fail") if limit[k] is not None
    )


def _records(title: str, rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(k for r in rows for k in r))
    body = [
        [f"{v:.4g}" if isinstance(v, float) else str("" if v is None else v)
         for v in (r.get(k) for k in names)]
        for r in rows
    ]  # fmt: skip
    heading = title.replace("_", " ")
    table = _table([n.replace("_", " ") for n in names], body)
    return f"<details><summary>{heading} ({len(rows)})</summary>{table}</details>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _flat(value: Any, name: str = "") -> list[list[str]]:
    if isinstance(value, dict):
        return [
            row for k, v in value.items() for row in _flat(v, f"{name}.{k}".strip("."))
        ]
    return [[name, str(value)]] if value not in ("", None) else []


def _cost(card: Card) -> str:
    cost = card.volatile
    if not cost:
        return ""
    energy = f", {cost['energy_joules']} J" if cost["energy_joules"] else ""
    return (
        f'<p class="small">{cost["finished"]}, {cost["wall_seconds"]} s wall, '
        f"{cost['cpu_seconds']} s CPU, {cost['peak_memory_mb']} MB, "
        f"{cost['microseconds_per_prediction']} µs per prediction{energy} "
        "(not part of the hash).</p>"
    )
