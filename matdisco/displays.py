"""What objects show of themselves in a notebook; everything they say is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from matdisco.drawing import crystal_svg, formula_html
from matdisco.properties import get

if TYPE_CHECKING:
    from matdisco.crystal import Crystal
    from matdisco.data.dataset import Dataset

SHOWN = 6
"""Crystals that a dataset shows as pictures."""
LEFT = 'style="text-align:left;padding-right:1.2em"'


def table_html(rows: Iterable[tuple[str, str]], heading: str) -> str:
    """Return a heading and (name, text) rows; both are plain text."""
    body = "".join(
        f'<tr><th scope="row" {LEFT}>{escape(name)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in rows
    )
    title = f'<div style="font-size:1.2em">{escape(heading)}</div>'
    return f"<div>{title}<table>{body}</table></div>"


def picture_html(crystal: Crystal, caption: str, size: int = 90) -> str:
    """Return a drawn crystal over its caption; the caption is HTML.

    Args:
        crystal: what is drawn.
        caption: a formula or a legend, escaped already.
        size: width and height, px.
    """
    return (
        '<figure style="display:inline-block;margin:0 .6em 0 0;background:#fff">'
        f"{crystal_svg(crystal, size)}<figcaption style='text-align:center;"
        f"color:#1a202c'>{caption}</figcaption></figure>"
    )


def dataset_html(dataset: Dataset) -> str:
    """Return what a dataset holds: properties with ranges, and its first crystals."""
    systems = len({c.chemical_system for c in dataset.crystals})
    rows = [
        ("Crystals", f"{len(dataset):,}"),
        ("Elements", f"{len(dataset.elements)}: {' '.join(dataset.elements[:30])}"),
        ("Chemical systems", f"{systems:,}"),
    ]
    if len(dataset):
        atoms = [c.n_atoms for c in dataset.crystals]
        rows.append(("Atoms per cell", f"{min(atoms)} to {max(atoms)}"))
    for key in dataset.properties:
        values = dataset.values(key)
        have = values[np.isfinite(values)]
        span = f"{have.min():.4g} to {have.max():.4g}, mean {have.mean():.4g}"
        text = f"{len(have):,} values, {span} {get(key).unit}"
        rows.append((get(key).label, text.rstrip()))
    rows += [(k, str(dataset.card[k])) for k in ("licence", "citation")
             if dataset.card.get(k)]  # fmt: skip
    rows.append(("Content", dataset.content_hash[:16]))
    pictures = "".join(
        picture_html(c, formula_html(c.formula)) for c in dataset.crystals[:SHOWN]
    )
    return table_html(rows, f"Dataset {dataset.name}") + f"<div>{pictures}</div>"
