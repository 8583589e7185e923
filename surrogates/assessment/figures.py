"""The plots of a card, drawn from its own numbers only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context

from matdisco.plot_style import BLUE, GREY, ORANGE, RED, STYLE, figure, grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from surrogates.assessment.card import Card


def figures(card: Card) -> dict[str, Figure]:
    """Return title → figure for everything that the card has numbers for."""
    series = {s["name"]: s["series"] for s in card.body["sections"]}
    unit = card.body["data"]["unit"]
    every: list[tuple[str, str, str, Callable[[Axes, Any, str], None]]] = [
        ("Parity", "efficacy", "parity", _parity),
        ("The best, found", "efficacy", "found", _found),
        ("Learning curve", "efficacy", "learning", _learning),
        ("Reliability", "calibration", "reliability", _reliability),
        ("Sigma against error", "calibration", "bins", _bins),
        ("Left out", "shift", "left_out", _left_out),
        ("Rattling", "robustness", "rattle", _paths("Displacement (Å)")),
        ("Strain", "robustness", "strain", _paths("Linear strain")),
        ("Refusing the uncertain", "safety", "gate", _gate),
        ("Poisoned labels", "safety", "poison", _poison),
        (
            "Equation of state",
            "potential",
            "eos",
            _paths("V / V(given)", "E (eV/atom)"),
        ),
        ("Energy conservation", "potential", "nve", _nve),
        ("Dimers", "potential", "dimers", _dimers),
    ]
    made = {}
    for title, section, key, draw in every:
        found = series.get(section, {}).get(key)
        if not found:
            continue
        with rc_context(STYLE):
            one = figure(4.4, 3.4)
            axes = one.subplots()
            axes.set_title(title)
            draw(axes, found, unit)
            grid(axes)
        made[title] = one
    return made


def _numbers(values: Any) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _parity(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
    x, y = _numbers(data["true"]), _numbers(data["predicted"])
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axes.plot(ends, ends, color=GREY, lw=1)
    axes.scatter(x, y, s=9, color=BLUE, alpha=0.5, lw=0)
    axes.set_xlabel(f"True ({unit})" if unit else "True")
    axes.set_ylabel(f"Predicted ({unit})" if unit else "Predicted")


def _found(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="by chance")
    axes.plot(_numbers(data["share"]), _numbers(data["found"]), color=BLUE, lw=2)
    axes.set_xlabel("Share looked at, best predicted first")
    axes.set_ylabel("Share of the best found")
    axes.legend(loc="lower right")


def _learning(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
    axes.loglog(_numbers(data["records"]), _numbers(data["mae"]), "o-", color=BLUE)
    axes.set_xlabel("Training records")
    axes.set_ylabel(f"Mean absolute error ({unit})" if unit else "Mean absolute error")


def _reliability(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="ideal")
    expected, observed = _numbers(data["expected"]), _numbers(data["observed"])
    axes.fill_between(expected, expected, observed, color=ORANGE, alpha=0.3, lw=0)
    axes.plot(expected, observed, color=BLUE, lw=2)
    axes.set_xlabel("Expected inside the interval")
    axes.set_ylabel("Observed inside")
    axes.legend(loc="upper left")


def _bins(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
    x, y = _numbers(data["predicted"]), _numbers(data["observed"])
    ends = [0, max(x.max(), y.max())]
    axes.plot(ends, ends, color=GREY, lw=1, ls="--")
    axes.plot(x, y, "o-", color=BLUE)
    axes.set_xlabel("Predicted sigma, ten bins")
    axes.set_ylabel("Observed error")


def _left_out(axes: Axes, data: list[dict[str, Any]], unit: str) -> None:
    names = [str(r["axis"]).replace("_", " ") for r in data]
    axes.barh(names, [float(r["drop"]) for r in data], color=BLUE, height=0.6)
    axes.axvline(1, color=GREY, lw=1, ls="--")
    axes.invert_yaxis()
    axes.set_xlabel("Error over that of a random split")


def _paths(label: str, side: str = "Prediction") -> Callable[[Axes, Any, str], None]:
    def draw(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
        x = _numbers(data["x"])
        for one in data["y"]:
            axes.plot(x, _numbers(one), lw=1.2, alpha=0.8)
        axes.set_xlabel(label)
        axes.set_ylabel(f"{side} ({unit})" if side == "Prediction" and unit else side)

    return draw


def _gate(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
    axes.plot(100 * _numbers(data["kept"]), _numbers(data["mae"]), color=BLUE, lw=2)
    axes.set_xlabel("Kept, the most certain first (%)")
    axes.set_ylabel(f"Mean absolute error ({unit})" if unit else "Mean absolute error")


def _poison(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
    axes.plot(100 * _numbers(data["share"]), _numbers(data["mae"]), "o-", color=RED)
    axes.set_xlabel("Training labels corrupted (%)")
    axes.set_ylabel(f"Mean absolute error ({unit})" if unit else "Mean absolute error")


def _nve(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
    axes.plot(_numbers(data["x"]), _numbers(data["y"]), color=BLUE, lw=1.2)
    axes.set_xlabel("Time (ps)")
    axes.set_ylabel("Total energy (meV/atom)")


def _dimers(axes: Axes, data: Mapping[str, Any], unit: str) -> None:
    for name, curve in data.items():
        axes.plot(_numbers(curve["x"]), _numbers(curve["y"]), lw=1.2, label=name)
    axes.set_ylim(-8, 8)
    axes.set_xlabel("Distance (Å)")
    axes.set_ylabel("Energy (eV)")
    axes.legend(ncols=2)
