"""Predictions of a stored surrogate as a table, with the interval that is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from campaigns.campaign import Campaign
from campaigns.fronts.recipe import FrontObjective
from campaigns.fronts.views import about
from campaigns.ledger_file import FILE as LEDGER
from campaigns.state import State
from matdisco.crystal import Crystal
from matdisco.errors import SurrogateError
from surrogates.base import Prediction, Surrogate
from surrogates.calibration import AdaptiveConformal, ConformalInterval, chemistry
from surrogates.calibration.chemistry import anion_class
from surrogates.calibration.conformal import MondrianConformal
from surrogates.seen import Seen, elements_in, structure_key

Interval = Literal["conformal", "chemistry", "adaptive", "gaussian"]
"""``conformal``: one width, from records that were left out. ``chemistry``: a width for
each class of anions that has enough of them. ``adaptive``: records with the label are a
stream in the order given, and every answer moves the width of what follows.
``gaussian``: from sigma alone."""
Halves = tuple[np.ndarray, list[str]]
"""Half widths in the unit of the target, shape (n,), and what each is called."""


def seen_by(checkpoint: Path, surrogate: Surrogate) -> Seen | None:
    """Return the keys of what a stored surrogate learnt; None where nothing tells.

    A checkpoint of ``surrogate train`` keeps them; what a campaign's surrogate learnt
    is in the ledger of its run folder.

    Raises:
        SurrogateError: what the checkpoint keeps is damaged.
    """
    kept = Seen.load(checkpoint)
    name = re.fullmatch(r"round-(\d+)", checkpoint.resolve().name)
    folder, part = checkpoint.resolve().parent, ""
    if folder.parent.name == "surrogates":  # another target of a front than the first
        folder, part = folder.parent, folder.name
    if kept is not None or name is None or folder.name != "surrogates":
        return kept
    if not (folder.parent / LEDGER).exists():
        return None
    number = int(name[1])
    with Campaign.open(folder.parent) as campaign:
        objective = campaign.config.objective
        before = takewhile(
            lambda e: e.kind != "proposed" or e.round < number, campaign.events
        )
        state = State.of(campaign.pool, objective, list(before))
        if isinstance(objective, FrontObjective) and part:
            state = about(
                state, next(t for t in objective.targets if t.property == part)
            )
        return Seen.of(state.learning_set(), surrogate, state.objective.target)


def predictions(
    surrogate: Surrogate,
    crystals: Sequence[Crystal],
    level: float,
    *,
    interval: Interval = "conformal",
    seen: Seen | None = None,
) -> pd.DataFrame:
    """Return id, formula, mean, std, lower, upper and the kind of interval.

    Where too few records were left out for a conformal interval at this level it is
    Gaussian, and says so.

    Args:
        surrogate: fitted.
        crystals: n of them.
        level: wanted coverage, 0 to 1.
        interval: what is between ``lower`` and ``upper``.
        seen: what its checkpoint keeps of its training records; ``chemistry`` needs it.

    Raises:
        SurrogateError: what the interval needs is not known.
    """
    found = surrogate.predict(crystals)
    if interval == "adaptive":
        half, kinds = _adaptive(surrogate, crystals, found, level, seen)
    elif interval == "gaussian":
        half, kinds = _gaussian(found, level)
    else:
        half, kinds = _left_out(surrogate, crystals, found, level, interval, seen)
    return pd.DataFrame(
        {
            "id": [c.id for c in crystals],
            "formula": [c.formula for c in crystals],
            "mean": found.mean,
            "std": found.std,
            "lower": found.mean - half,
            "upper": found.mean + half,
            "interval": kinds,
        }
    )


def _gaussian(found: Prediction, level: float) -> Halves:
    half: np.ndarray = float(ndtri(0.5 + level / 2)) * found.std
    return half, ["gaussian"] * len(found)


def _left_out(
    surrogate: Surrogate,
    crystals: Sequence[Crystal],
    found: Prediction,
    level: float,
    interval: Interval,
    seen: Seen | None,
) -> Halves:
    """Return one width for all, or one for each class of anions that has enough."""
    groups = _known(seen) if interval == "chemistry" else None
    try:
        rows, truth, held = _held_out(surrogate)()
        if groups is None:
            width = ConformalInterval.fit(truth, held, level).width
            return width * found.std, ["conformal"] * len(found)
        of_held = [groups(int(row)) for row in rows]
        made = MondrianConformal.fit(truth, held, of_held, level)
    except SurrogateError:  # too few were left out for this level, or none kept
        return _gaussian(found, level)
    mine = chemistry(crystals)
    kinds = [f"conformal {g}" if g in made.widths else "conformal" for g in mine]
    lower, upper = made.apply(found, mine)
    return (upper - lower) / 2, kinds


def _held_out(
    surrogate: Surrogate,
) -> Callable[[], tuple[np.ndarray, np.ndarray, Prediction]]:
    held: Callable[[], tuple[np.ndarray, np.ndarray, Prediction]] | None = getattr(
        surrogate, "held_out", None
    )
    if held is None:
        raise SurrogateError("it keeps no predictions of records that it left out")
    return held


def _known(seen: Seen | None) -> Callable[[int], str]:
    """Return what tells the class of a training record by its row."""
    if seen is None:
        raise SurrogateError(
            "intervals by chemistry need to know what the records were that the "
            "surrogate left out, and this checkpoint does not list its training "
            "records; train it again, or use --interval conformal"
        )
    return lambda row: anion_class(elements_in(seen.compositions[row]))


def _adaptive(
    surrogate: Surrogate,
    crystals: Sequence[Crystal],
    found: Prediction,
    level: float,
    seen: Seen | None,
) -> Halves:
    """Go through the records in their order; every answer moves what follows."""
    target = surrogate.describe().get("target", "")
    learnt = frozenset(() if seen is None else seen.structures)
    answers = [
        c.labels[target].value
        if target in c.labels and structure_key(c) not in learnt
        else np.nan
        for c in crystals
    ]
    if not np.isfinite(answers).any():
        raise SurrogateError(
            f"adaptive intervals follow records with their label {target}, in the "
            "order in which they were answered; none of those given has one and is "
            "not in the training data"
        )
    try:
        _, truth, held = _held_out(surrogate)()
    except SurrogateError:
        truth, held = np.zeros(0), Prediction.apart(np.zeros(0), np.zeros(0))
    now = AdaptiveConformal.fit(truth, held, level)
    half = np.empty(len(found))
    for i, answer in enumerate(answers):
        half[i] = now.width * found.std[i]
        if np.isfinite(answer):
            now = now.updated(np.array([answer]), found.take([i]))
    return half, ["adaptive"] * len(found)
