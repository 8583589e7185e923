"""The short form of a card: what a person pastes into an issue or a README."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surrogates.assessment.card import Card

SIGNS = {"pass": "pass", "warn": "**warn**", "fail": "**FAIL**", "info": ""}


def to_markdown(card: Card) -> str:
    """Return the card as Markdown."""
    body = card.body
    suite, data, model = body["suite"], body["data"], body["model"]
    lines = [
        f"# Assessment of {card.name}: {card.verdict}",
        "",
        f"Suite {suite['name']} {suite['version']} · target {data['target']}"
        f"{' (' + data['unit'] + ')' if data['unit'] else ''} · {data['records']:,} "
        f"test records · {data['protocol']}",
        "",
        f"Model: {model['kind']} · content hash of this card `{card.seal}`",
        "",
        "| measure | value | verdict | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for section in body["sections"]:
        for measure in section["measures"]:
            lines.append(
                f"| {measure['key']} | {shown(measure)} "
                f"| {SIGNS[measure['verdict']]} | {measure['text']} |"
            )
    skipped = [
        f"- {section['name']}, {what}: {why}"
        for section in body["sections"]
        for what, why in section["skipped"].items()
    ]
    absent = [
        f"- {section['name']}: {section['not_applicable']}"
        for section in body["sections"]
        if section.get("not_applicable")
    ]
    if absent:
        lines += ["", f"Not applicable (kind {model['kind']}):", "", *absent]
    if skipped:
        lines += ["", "Not tested:", "", *skipped]
    remarks = [f"- {r}" for s in body["sections"] for r in s["remarks"]]
    if remarks:
        lines += ["", "Remarks:", "", *remarks]
    cost = card.volatile
    if cost:
        lines += [
            "",
            f"{cost['finished']}, {cost['wall_seconds']} s wall, "
            f"{cost['cpu_seconds']} s CPU, {cost['peak_memory_mb']} MB peak, "
            f"{cost['microseconds_per_prediction']} µs per prediction"
            + (f", {cost['energy_joules']} J" if cost["energy_joules"] else ""),
        ]
    return "\n".join(lines) + "\n"


def shown(measure: dict[str, Any]) -> str:
    """Return a value with its unit, to four digits."""
    value = measure["value"]
    if value is None:
        return "not a number"
    text = f"{value:.4g}" if abs(value) < 1e5 else f"{value:.3e}"
    return f"{text} {measure['unit']}".strip()
