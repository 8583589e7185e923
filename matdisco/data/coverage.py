"""Draw what a dataset covers: elements, cell sizes, targets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from matdisco.data.dataset import Dataset
from matdisco.properties import get

_MOST_TARGETS = 4  # histograms that fit beside the elements


def write_coverage(dataset: Dataset, path: str | Path) -> Path | None:
    """Write ``coverage.png``; an empty dataset has none."""
    if not len(dataset):
        return None
    # Figure without pyplot: no global state, no display, no font cache rebuilt.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = dataset.properties[:_MOST_TARGETS]
    height = 2.6 * (2 + (len(keys) + 1) // 2)  # inches
    figure = Figure(figsize=(10, height))
    FigureCanvasAgg(figure)
    # Margins by hand: laying out and drawing twice would take most of a second.
    grid = figure.add_gridspec(
        2 + (len(keys) + 1) // 2, 2, left=0.08, right=0.98, hspace=0.5,
        bottom=0.6 / height, top=1 - 0.35 / height,
    )  # fmt: skip
    elements = Counter(e for c in dataset for e in c.elements).most_common(60)
    axes = figure.add_subplot(grid[0, :])
    axes.bar([e for e, _ in elements], [n for _, n in elements], color="#3b6ea5")
    axes.tick_params(axis="x", labelsize=6)
    axes.set_ylabel("records")
    axes.set_title("Elements (the 60 most frequent)", fontsize=10)
    _histogram(
        figure.add_subplot(grid[1, 0]),
        np.array([c.n_atoms for c in dataset], float),
        "Atoms per cell",
    )
    _histogram(
        figure.add_subplot(grid[1, 1]),
        np.array([len(c.elements) for c in dataset], float),
        "Elements per crystal",
    )
    for number, key in enumerate(keys):
        values = dataset.values(key)
        axes = figure.add_subplot(grid[2 + number // 2, number % 2])
        _histogram(axes, values[np.isfinite(values)], get(key).axis)
    target = Path(path)
    # No software tag: the same data give the same picture bytes everywhere.
    figure.savefig(target, dpi=110, metadata={"Software": None})
    return target


def _histogram(axes, values: np.ndarray, label: str) -> None:  # type: ignore[no-untyped-def]
    whole = bool(len(values)) and bool((values == np.round(values)).all())
    bins: int | np.ndarray = 40
    if whole and np.ptp(values) < 60:
        bins = np.arange(values.min() - 0.5, values.max() + 1)
    axes.hist(values, bins=bins, color="#3b6ea5", histtype="stepfilled")
    axes.set_xlabel(label)
    axes.set_ylabel("records")
