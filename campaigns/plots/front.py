"""The front: answers in the plane of two targets, and what no other answer beats."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from matdisco.plot_style import BLUE, GREEN, GREY, INK, ORANGE, figure, grid
from matdisco.properties import get

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from campaigns.fronts.front import Front
    from campaigns.state import State

WIDE = 3
"""Panels beside each other."""


def panels(state: State, front: Front) -> Figure:
    """Plot every pair of goals; with one goal that against each limited property."""
    pairs = list(combinations(range(front.goals), 2))
    if front.goals == 1:
        pairs = [(k, 0) for k in range(1, len(front.objective.targets))]
    rows = -(-len(pairs) // WIDE)
    wide = min(len(pairs), WIDE)
    made = figure(6.0 if wide == 1 else 3.6 * wide, 4.4 if wide == 1 else 3.4 * rows)
    rounds = np.array([state.rounds[state.pool[int(i)].id] for i in state.answered])
    for n, (x, y) in enumerate(pairs):
        axes = made.add_subplot(rows, wide, n + 1)
        _pair(axes, front, rounds, x, y)
        if n == 0:
            axes.legend(fontsize=8)
    return made


def _pair(axes: Axes, front: Front, rounds: np.ndarray, x: int, y: int) -> None:
    """Draw the answers in the plane of two targets."""
    names = [get(t.property) for t in front.objective.ordered]
    a, b = front.values[:, x], front.values[:, y]
    on, useful = front.members, front.useful
    for part, colour, label in (
        (useful & ~on & (rounds == 0), ORANGE, "first round"),
        (useful & ~on & (rounds > 0), BLUE, "chosen by the campaign"),
    ):
        axes.scatter(a[part], b[part], s=18, color=colour, alpha=0.7, label=label)
    if not useful.all():
        axes.scatter(
            a[~useful], b[~useful], s=18, marker="x", color=GREY, lw=1,
            label="outside the limits",
        )  # fmt: skip
    axes.scatter(
        a[on], b[on], s=48, color=GREEN, edgecolor=INK, lw=0.8, zorder=3,
        label="front" if front.goals > 1 else "best inside the limits",
    )  # fmt: skip
    if front.goals == 2:
        _stairs(axes, front)
    if front.goals > 1 and front.reference is not None:
        point = front.signs[: front.goals] * front.reference
        axes.plot(point[x], point[y], "+", color=INK, ms=9, label="reference point")
    for k, line in ((x, axes.axvline), (y, axes.axhline)):
        for value in front.objective.ordered[k].bounds:
            if np.isfinite(value):
                line(value, color=GREY, ls="--", lw=1)
    axes.set_xlabel(names[x].axis)
    axes.set_ylabel(names[y].axis)
    grid(axes)


def _stairs(axes: Axes, front: Front) -> None:
    """Join the members of a front of two goals by the edge of what they dominate."""
    if front.reference is None or not front.members.any():
        return
    merit, signs = front.merit[front.members, :2], front.signs[:2]
    merit = merit[np.argsort(merit[:, 0], kind="stable")]
    reach = np.vstack([merit, merit[-1]])
    reach[-1, 1] = min(front.reference[1], merit[-1, 1])
    start = np.array([[min(front.reference[0], merit[0, 0]), merit[0, 1]]])
    edge = np.vstack([start, reach]) * signs
    axes.step(edge[:, 0], edge[:, 1], where="pre", color=GREEN, lw=1.2, zorder=2)


def volume_so_far(axes: Axes, state: State, front: Front, order: list[str]) -> None:
    """Draw the hypervolume (or the best inside the limits) over the evaluations.

    Args:
        axes: to draw in.
        state: what is known.
        front: its front.
        order: candidates in the order of evaluation.
    """
    n, volumes = curve(state, front, order)
    axes.step(n, volumes, where="post", color=BLUE, lw=2.2, label="this campaign")
    unit = f" ({front.objective.volume_unit})" if front.objective.volume_unit else ""
    axes.set_ylabel(
        f"Hypervolume{unit}" if front.goals > 1
        else f"Best inside the limits: {get(front.objective.label).axis}"
    )  # fmt: skip


def curve(
    state: State, front: Front, order: list[str]
) -> tuple[list[int], list[float]]:
    """Return the hypervolume after each answer: evaluations, values.

    With one goal the best value inside the limits, from the first such answer on. The
    reference point is today's throughout.
    """
    from campaigns.fronts.volume import hypervolume

    assert front.reference is not None
    place = {state.pool[int(i)].id: k for k, i in enumerate(state.answered)}
    goals, n, values = front.goals, [], []
    kept = np.zeros((0, goals))
    for count, name in enumerate(order, 1):
        k = place.get(name)
        if k is None or not front.useful[k]:
            continue
        row = front.merit[k, :goals]
        if not ((kept >= row).all(axis=1)).any():
            beaten = (row >= kept).all(axis=1)
            kept = np.vstack([kept[~beaten], row])
        n.append(count)
        value = hypervolume(kept, front.reference)
        values.append(value if goals > 1 else float(front.signs[0] * kept[:, 0].max()))
    if n:
        n.append(len(order))
        values.append(values[-1])
    return n, values
