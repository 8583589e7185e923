"""The dataset card: what a reader must know, as Markdown, from what the data show.

A card is plain data (``Dataset.card``) with these keys, all optional: ``title``,
``description``, ``licence``, ``licence_url``, ``citation``, ``url``, ``keywords``,
``limits`` (sentences), ``sources`` (each ``name``, ``licence``, ``citation``, ``url``,
``sha256``), ``curation`` (written by curation), ``versions``, ``parent`` (name and
content hash of the dataset this one grew from), ``campaigns`` (whose answers it took
up), ``rai`` (see ``croissant.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from matdisco.data.dataset import Dataset
from matdisco.data.packed import ordered
from matdisco.data.readers.base import LIMITS
from matdisco.properties import get

_SOFTWARE = ("matdisco", "pymatgen", "ase", "moyopy", "numpy", "pyarrow")


def versions() -> dict[str, str]:
    """Return the versions of the software that reads, corrects and compares."""
    out = {}
    for package in _SOFTWARE:
        try:
            out[package] = version(package)
        except PackageNotFoundError:  # run from a source tree
            out[package] = "not installed as a distribution"
    return out


def write_card(dataset: Dataset, path: str | Path) -> Path:
    """Write ``card.md``."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(card_text(dataset), encoding="utf-8")
    return target


def card_text(dataset: Dataset) -> str:
    """Return the card as Markdown."""
    card = dataset.card
    parts = [f"# {card.get('title') or dataset.name}", ""]
    if card.get("description"):
        parts += [str(card["description"]), ""]
    parts += _facts(dataset)
    parts += _properties(dataset)
    parts += _coverage(dataset)
    parts += _sources(card)
    parts += _curation(card)
    parts += ["## Known limits", ""]
    parts += [f"- {text}" for text in limits(dataset)] + [""]
    found = card.get("versions") or versions()
    parts += ["## Software", "", ", ".join(f"{k} {v}" for k, v in found.items()), ""]
    return "\n".join(parts)


def limits(dataset: Dataset) -> list[str]:
    """Return what the card states as limits, and those the data show."""
    out = [str(text) for text in dataset.card.get("limits", ())]
    n = len(dataset)
    if not n:
        return [*out, "The dataset is empty."]
    for key in dataset.properties:
        have = int(np.isfinite(dataset.values(key)).sum())
        if have < n:
            out.append(f"{get(key).label} is missing on {n - have:,} of {n:,} records.")
    censored = Counter(key for c in dataset for key in c.source.get(LIMITS, ()))
    for key, count in censored.items():
        out.append(
            f"{count:,} records state only a limit of {get(key).label}; it stands in "
            f"their source under {LIMITS!r} and is no label."
        )
    disordered = sum(not ordered(c) for c in dataset)
    if disordered:
        out.append(
            f"{disordered:,} records have disordered sites; graph surrogates need "
            "them ordered first."
        )
    elements = Counter(e for c in dataset for e in c.elements)
    rare = sorted(e for e, count in elements.items() if count < 5)
    if rare:
        out.append(
            f"{len(rare)} elements occur in fewer than 5 records: {', '.join(rare)}."
        )
    common, count = elements.most_common(1)[0]
    if count > 0.5 * n:
        out.append(f"{common} is in {100 * count / n:.0f} % of the records.")
    unstated = [
        key
        for key in dataset.properties
        if any(key in c.labels and not c.labels[key].method for c in dataset)
    ]
    if unstated:
        out.append(f"The method behind {', '.join(unstated)} is not stated throughout.")
    return out


def _facts(dataset: Dataset) -> list[str]:
    sizes = [c.n_atoms for c in dataset]
    rows = {
        "records": f"{len(dataset):,}",
        "elements": str(len(dataset.elements)),
        "chemical systems": f"{len({c.chemical_system for c in dataset}):,}",
        "atoms per cell": f"{min(sizes)} to {max(sizes)}, median {np.median(sizes):g}"
        if sizes
        else "none",
        "licence": str(dataset.card.get("licence", "not stated")),
        "content hash (SHA-256)": f"`{dataset.content_hash}`",
    }
    if parent := dataset.card.get("parent"):
        rows["grown from"] = f"{parent.get('name')} `{parent.get('content_hash')}`"
    for campaign in dataset.card.get("campaigns", ()):
        rows[f"campaign {campaign.get('name')}"] = (
            f"{campaign.get('answers')} answers, ledger `{campaign.get('ledger')}`"
        )
    return ["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in rows.items()), ""]


def _properties(dataset: Dataset) -> list[str]:
    if not dataset.properties:
        return []
    out = [
        "## Properties", "",
        "| key | unit | records | least | median | greatest | method |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]  # fmt: skip
    for key in dataset.properties:
        values = dataset.values(key)
        have = values[np.isfinite(values)]
        labels = [c.labels[key] for c in dataset if key in c.labels]
        methods = Counter(x.method or "not stated" for x in labels).most_common(3)
        units = ", ".join(sorted({x.unit or "1" for x in labels}))
        out.append(
            f"| `{key}` | {units} | {len(have):,} | {have.min():.4g} | "
            f"{np.median(have):.4g} | {have.max():.4g} | "
            f"{'; '.join(m for m, _ in methods)} |"
        )
    return [*out, ""]


def _coverage(dataset: Dataset) -> list[str]:
    if not len(dataset):
        return []
    elements = Counter(e for c in dataset for e in c.elements).most_common(12)
    return [
        "## Coverage", "",
        "![Elements, cell sizes and targets](coverage.png)", "",
        "Most frequent elements: "
        + ", ".join(f"{e} ({n:,})" for e, n in elements)
        + ".", "",
    ]  # fmt: skip


def _sources(card: Mapping[str, Any]) -> list[str]:
    sources = card.get("sources", ())
    out = ["## Sources and licences", ""] if sources or card.get("citation") else []
    for source in sources:
        licence = source.get("licence", "licence not stated")
        line = f"- {source.get('name', 'unnamed')}: {licence}"
        for key in ("url", "citation", "sha256"):
            if source.get(key):
                line += f"; {key} {source[key]}"
        out.append(line)
    if card.get("citation"):
        out += ["", f"Please cite: {card['citation']}"]
    return [*out, ""] if out else []


def _curation(card: Mapping[str, Any]) -> list[str]:
    done = card.get("curation")
    if not done:
        return []
    fates = ", ".join(f"{n:,} {name}" for name, n in done["outcomes"].items())
    out = [
        "## What curation did", "",
        f"{done['records']:,} input records: {fates}. `report.csv` has one line for "
        "each of them.", "",
        "| rule | rejected | quarantined | mended | noted |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for rule, counts in done["rules"].items():
        cells = (
            str(counts.get(s, "")) for s in ("reject", "quarantine", "mend", "note")
        )
        out.append(f"| {rule} | {' | '.join(cells)} |")
    return [*out, "", f"Recipe `{done['recipe_digest'][:16]}`.", ""]
