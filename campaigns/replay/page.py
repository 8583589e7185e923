"""The result card as one HTML page that fetches nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from campaigns.replay import until
from campaigns.replay.intervals import Estimate

_COLOURS = (
    "#1b6ca8", "#d1495b", "#2e8b57", "#8a5a9e", "#c98a1b", "#4a4a4a", "#0f9aa0",
    "#b5651d", "#7a7a2a", "#a0a0a0",
)  # fmt: skip
_WIDTH, _HEIGHT, _MARGIN = 720, 360, 48
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;
color:#222}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3em .6em;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}.own{font-weight:600}
.notice{border-left:4px solid #d1495b;background:#fbeef0;padding:.6em 1em}
code,pre{font-size:12px;background:#f5f5f5}pre{padding:1em;overflow:auto}
"""


def page(card: Mapping[str, Any]) -> str:
    """Return the page; its own data are in it as JSON."""
    rows = card["strategies"]
    order = sorted(rows, key=lambda n: -rows[n]["audc"]["value"])
    own = set(card["verdict"])
    head = (
        "<tr><th>strategy</th><th>AF50</th><th>AF80</th><th>recall half way</th>"
        "<th>recall at the end</th><th>top 5 %</th><th>enhancement</th><th>regret</th>"
        "<th>90 % coverage</th><th>CPU s per label</th></tr>"
    )
    body = "".join(_table_row(n, rows[n], n in own) for n in order)
    said = [*card["verdict"].values(), *card.get("cost_verdict", {}).values()]
    said += card.get("limit_verdict", {}).values()
    said += [v for pair in card.get("peer_verdict", {}).values() for v in pair.values()]
    verdicts = "".join(f"<li>{escape(v['words'])}</li>" for v in said)
    notices = "".join(
        f'<p class="notice" role="note">{escape(n[:1].upper() + n[1:])}.</p>'
        for n in card["notices"]
    )
    pool, rules = card["pool"], card["protocol"]
    facts = (
        f"{pool['wanted']} of {pool['candidates']:,} candidates are wanted. "
        f"{rules['seeds']} paired seeds, {rules['initial']} random labels first "
        f"(counted), {rules['rounds']} rounds of {rules['batch_size']}. No strategy "
        f"can reach a higher AF50 than {rules['highest_possible_af50']} here."
    )
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(card["replay"])}</title>
<style>{_STYLE}</style>
<h1>Replay: {escape(card["replay"])}</h1>
{notices}<p>{escape(card["description"])}</p><p>{facts}</p>
<h2>Verdict</h2><ul>{verdicts}</ul>
<h2>Found, by number of labels</h2>{_figure(card, order)}
<h2>All strategies</h2><table>{head}{body}</table>
<p>Values are those of the mean curve over seeds; intervals are 95 % paired bootstrap
intervals over seeds, widened for their small number; fewer than six have none. AF50 is
how many times fewer labels than random choice find half of the wanted candidates;
enhancement is the recall at the end over that of random choice. Calibration is judged
each round on candidates that were not labelled.</p>
{_costs(rows, order) if "cost_verdict" in card else ""}{_limits(rows, order)}
{_until(card, order) if "until_random" in card else ""}<h2>To run it again</h2>
<p>Card <code>{card["hash"]}</code>, pool <code>{pool["hash"]}</code>, protocol
<code>{rules["hash"]}</code>. Save the configuration below and run
<code>matdisco replay FILE</code>: the same versions give the same card hash.</p>
<pre>{escape(json.dumps(card["config"], indent=1, ensure_ascii=False))}</pre>
<pre>{escape(json.dumps(card["versions"], indent=1))}</pre>
<script type="application/json" id="card">{_embedded(card)}</script></html>
"""


def _costs(rows: Mapping[str, Any], order: Sequence[str]) -> str:
    """Return what the same result costs, in evaluations of the target."""
    body = "".join(
        f"<tr><td>{escape(n)}</td><td>{_cell(rows[n]['cost50'])}</td>"
        f"<td>{_cell(rows[n]['cost80'])}</td><td>"
        + escape(", ".join(f"{v:.0f} {k}" for k, v in rows[n].get("asked", {}).items()))
        + "</td></tr>"
        for n in order
    )
    return (
        "<h2>What the same result costs, in evaluations of the target</h2><table>"
        "<tr><th>strategy</th><th>half found</th><th>80 % found</th>"
        f"<th>cheaper answers, mean</th></tr>{body}</table>"
    )


def _limits(rows: Mapping[str, Any], order: Sequence[str]) -> str:
    """Return what share of the chosen meets the limits; empty where there are none."""
    said = "".join(
        f"<li>{escape(n)}: {rows[n]['within_limits']:.2f}</li>"
        for n in order
        if "within_limits" in rows[n]
    )
    if not said:
        return ""
    return f"<h2>Share of the chosen that meets the limits</h2><ul>{said}</ul>"


def _until(card: Mapping[str, Any], order: Sequence[str]) -> str:
    """Return how many evaluations it takes to find a share of what is wanted."""
    found = {n: card["strategies"][n]["until"] for n in order}
    found["random choice"] = card["until_random"]
    body = "".join(
        f"<tr><td>{escape(n)}</td>"
        + "".join(f"<td>{until.cell(v)}</td>" for v in row.values())
        + "</tr>"
        for n, row in found.items()
    )
    pairs = card["until_verdict"].values()
    said = "".join(f"<li>{escape(v['words'])}</li>" for p in pairs for v in p.values())
    return (
        "<h2>Evaluations until a share of the wanted is found</h2><table><tr>"
        "<th>strategy</th><th>half</th><th>80 %</th><th>90 %</th><th>all</th></tr>"
        f"{body}</table><p>Means over seeds, counted in whole batches. A seed that "
        "does not get there counts with the whole budget; in brackets is how many do."
        f"</p><ul>{said}</ul>"
    )


def _table_row(name: str, row: Mapping[str, Any], own: bool) -> str:
    cells = [
        *(_cell(row[k]) for k in ("af50", "af80", "recall_half", "recall")),
        f"{row['recall_top5']:.3f}" if "recall_top5" in row else "",
        f"{row['enhancement']:.3g}",
        f"{row['regret']:.3g}" if "regret" in row else "",
        f"{row['calibration']['coverage_90']:.2f}" if "calibration" in row else "",
        f"{row['cpu_seconds_per_label']:.3g}",
    ]
    mark = ' class="own"' if own else ""
    return f"<tr{mark}><td>{escape(name)}</td>" + "".join(
        f"<td>{c}</td>" for c in cells
    ) + "</tr>"  # fmt: skip


def _cell(found: Mapping[str, float | None]) -> str:
    return Estimate.read(found).text()


def _figure(card: Mapping[str, Any], order: Sequence[str]) -> str:
    labels = card["protocol"]["labels"]
    first, last = labels[0], labels[-1]

    def point(n: float, recall: float) -> str:
        x = _MARGIN + (n - first) / max(last - first, 1) * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - recall * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    def line(curve: Sequence[float], colour: str, dash: str = "") -> str:
        points = " ".join(point(n, r) for n, r in zip(labels, curve, strict=True))
        return (
            f'<polyline points="{points}" fill="none" stroke="{colour}" '
            f'stroke-width="2" stroke-dasharray="{dash}"/>'
        )

    parts = [line(card["random"]["recall"], "#999", "4 4")]
    legend = ['<tspan x="60" dy="1.2em" fill="#999">random choice</tspan>']
    for i, name in enumerate(order[: len(_COLOURS)]):
        parts.append(line(card["strategies"][name]["curve"], _COLOURS[i]))
        legend.append(
            f'<tspan x="60" dy="1.2em" fill="{_COLOURS[i]}">{escape(name)}</tspan>'
        )
    base = _HEIGHT - _MARGIN
    axes = (
        f'<path d="M{_MARGIN},{_MARGIN}V{base}H{_WIDTH - _MARGIN}" fill="none" '
        f'stroke="#333"/><text x="{_WIDTH / 2}" y="{_HEIGHT - 10}">labels, {first} to '
        f'{last}</text><text x="4" y="{_MARGIN - 12}">share found (0 to 1)</text>'
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="12" '
        f'aria-label="share found by number of labels">{axes}{"".join(parts)}'
        f'<text y="{_MARGIN}">{"".join(legend)}</text></svg>'
    )


def _embedded(card: Mapping[str, Any]) -> str:
    return json.dumps(card, ensure_ascii=False).replace("</", "<\\/")
