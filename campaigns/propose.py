"""Proposing a round: learn from the answers so far, score the pool, choose.

Everything here depends on (configuration, pool, earlier events) alone. All
randomness comes from ``SeedSequence([seed, round, purpose])``, so a continued
campaign proposes bit for bit what the uninterrupted one would have.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from campaigns.acquisition.recipes import AnyAcquisition, RandomChoice
from campaigns.assessment import check_round, refuse
from campaigns.config import CampaignConfig
from campaigns.ledger import VOLATILE, Event
from campaigns.objectives import HullObjective
from campaigns.state import State
from matdisco.candidates.volume import packing_fraction
from matdisco.errors import CampaignError
from matdisco.evaluators.base import evaluation_key
from matdisco.properties import get
from surrogates.base import FitReport, Prediction, Progress, Surrogate


class Purpose(IntEnum):
    """What a stream of random numbers is for."""

    START = 0
    SURROGATE = 1
    ACQUISITION = 2
    GROWTH = 10


def stream(
    config: CampaignConfig, round_: int, purpose: Purpose
) -> np.random.Generator:
    """Return the generator of one purpose in one round."""
    return np.random.default_rng(
        np.random.SeedSequence([config.seed, round_, int(purpose)])
    )


@dataclass(frozen=True, eq=False)
class Learned:
    """A fitted and recalibrated surrogate, and what it says of the pool."""

    surrogate: Surrogate
    """As fitted; ``scale`` is not applied inside it."""
    report: FitReport
    """How the fit went."""
    scale: float
    """Factor on every sigma, from the errors of this campaign's own proposals."""
    prediction: Prediction
    """Of the target for the whole pool, recalibrated."""
    seconds: Mapping[str, float]
    """Wall seconds of learning and predicting."""


def learn(
    config: CampaignConfig,
    state: State,
    events: Sequence[Event],
    folder: Path,
    round_: int,
    progress: Progress | None = None,
) -> Learned:
    """Fit the surrogate on all answers and predict the pool.

    Args:
        config: the campaign.
        state: what is known.
        events: the ledger so far, for recalibration.
        folder: the run folder; the checkpoint goes to ``surrogates/``.
        round_: the round that is about to be proposed.
        progress: called while training.
    """
    clock = time.perf_counter()
    seed = int(stream(config, 0, Purpose.SURROGATE).integers(2**31))
    surrogate = config.surrogate.build(seed, folder / "surrogates")
    report = surrogate.fit(
        state.learning_set(), config.objective.target, progress=progress
    )
    fitted = time.perf_counter()
    raw = surrogate.predict(state.pool.crystals)
    scale = sigma_scale(state, events)
    _save(surrogate, folder / "surrogates" / f"round-{round_:03d}")
    done = time.perf_counter()
    return Learned(
        surrogate,
        report,
        scale,
        raw.scaled(scale),
        {"learn": fitted - clock, "predict": done - fitted},
    )


SHRINKAGE = 16.0
"""Weight, in proposals, of the belief that the surrogate's own calibration is
right: after 16 answered proposals, experience and belief count the same."""


def sigma_scale(state: State, events: Sequence[Event]) -> float:
    """Return the factor that would have made past proposals' sigmas right.

    Each earlier proposal was a prediction made before its answer was known, so its
    error is out of sample. The maximum-likelihood factor is the root mean square of
    error / sigma (V. Kuleshov et al., ICML 2018, discuss recalibration on held-out
    data; the scalar form is in K. Tran et al., Mach. Learn.: Sci. Technol. 1, 025006
    (2020)), here shrunk towards 1 by :data:`SHRINKAGE`.
    """
    squares = past_errors(state, events)[:, 2] ** 2
    # A single wild error must not blow every sigma up: 5 sigma is as bad as it gets.
    squares = np.minimum(squares, 25.0)
    return float(np.sqrt((SHRINKAGE + squares.sum()) / (SHRINKAGE + len(squares))))


def past_errors(state: State, events: Sequence[Event]) -> np.ndarray:
    """Return (predicted, true, error / uncalibrated sigma) of answered proposals.

    Shape (n, 3), in the order of the ledger's rounds and ranks.
    """
    truth = dict(
        zip((int(i) for i in state.answered), state.targets, strict=True)
        if len(state.answered)
        else ()
    )
    rows = []
    for event in events:
        if event.kind != "proposed":
            continue
        for proposal in event.payload["proposals"]:
            row = state.position[proposal["candidate"]]
            if proposal["mean"] is None or row not in truth:
                continue
            sigma = proposal["std"] / event.payload["surrogate"]["scale"]
            error = truth[row] - proposal["mean"]
            rows.append((proposal["mean"], truth[row], error / sigma))
    return np.array(rows).reshape(-1, 3)


def first_round(config: CampaignConfig, state: State) -> list[dict[str, Any]]:
    """Choose what is evaluated before there is anything to learn from."""
    pool = state.pool
    chosen: dict[int, str] = {}
    for name in config.start.include:
        if name not in state.position:
            raise CampaignError(f"start.include: no candidate {name!r} in the pool")
        chosen[state.position[name]] = "asked for"
    if isinstance(config.objective, HullObjective):
        for i, element in enumerate(state.elements):
            pure = np.flatnonzero(state.x[:, i] > 1 - 1e-9)
            if len(pure) == 0:
                raise CampaignError(
                    f"the pool has no structure of pure {element}: the hull needs a "
                    "reference for every element; add one to the candidates"
                )
            packing = [-packing_fraction(pool[int(p)].structure) for p in pure]
            # equal to 3 digits counts as equal: fcc and hcp differ by float noise
            order = np.lexsort((pure, np.round(packing, 3)))
            for p in pure[order[: config.start.per_element]]:
                chosen.setdefault(int(p), f"reference for {element}")
    rest = np.array([i for i in range(len(pool)) if i not in chosen])
    rng = stream(config, 0, Purpose.START)
    for p in rng.choice(rest, size=min(config.start.random, len(rest)), replace=False):
        chosen[int(p)] = "random start"
    return [
        _proposal(config, state, rank, row, reason)
        for rank, (row, reason) in enumerate(chosen.items())
    ]


def next_round(
    config: CampaignConfig,
    state: State,
    events: Sequence[Event],
    folder: Path,
    round_: int,
    size: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Learn, score and choose; return the payload of the ``proposed`` event."""
    rng = stream(config, round_, Purpose.ACQUISITION)
    pins = [state.position[name] for name in state.pins][:size]
    if isinstance(config.acquisition, RandomChoice):
        free = np.setdiff1d(state.available, pins)
        rows = [*pins, *rng.choice(free, size=size - len(pins), replace=False)]
        return {
            "proposals": [
                _proposal(
                    config, state, rank, int(row), "pinned" if row in pins else "random"
                )
                for rank, row in enumerate(rows)
            ],
            VOLATILE: {"seconds": {}},
        }
    learned = learn(config, state, events, folder, round_, progress)
    from campaigns.acquisition.select import Choice, select
    from campaigns.utility import utility
    from matdisco.similarity import Neighbours

    clock = time.perf_counter()
    available = state.available
    # what is asked for already, by this campaign or by a person, is as good as known:
    # its answers shrink the sigmas of everything like it
    asked = np.array([*state.pending, *pins], dtype=int)
    belief = learned.prediction.given(asked)
    free = np.setdiff1d(available, asked)
    worth = utility(state, learned.prediction.take(available), available)
    check = _check(config, learned, state, events, round_)
    rule: AnyAcquisition = config.acquisition
    if check.get("verdict") == "fail" and config.assessment.on_failure == "explore":
        rule = RandomChoice(batch_size=size)
    choices = [Choice(row, None, "pinned") for row in _where(available, pins)]
    if size > len(pins):
        left = utility(state, belief.take(free), free)
        chosen = select(left, rule, rng, batch_size=size - len(pins))
        places = _where(available, [int(free[c.row]) for c in chosen])
        choices += [
            Choice(place, c.value, c.reason)
            for place, c in zip(places, chosen, strict=True)
        ]
    expected = worth.expected()
    nearest = Neighbours.of([state.pool[int(i)] for i in state.answered])
    proposals = []
    for rank, choice in enumerate(choices):
        row = int(available[choice.row])
        proposal = _proposal(config, state, rank, row, choice.reason)
        known, distance = nearest.nearest(state.pool[row])
        proposal |= {
            "mean": float(learned.prediction.mean[row]),
            "std": float(learned.prediction.std[row]),
            "expected_merit": float(expected[choice.row]),
            "acquisition": choice.value,
            "nearest": state.pool[int(state.answered[known])].id,
            "nearest_distance": round(distance, 4),
        }
        proposal["why"] = _why(config, proposal)
        proposals.append(proposal)
    return {
        "proposals": proposals,
        "surrogate": {
            "scale": learned.scale,
            "n_train": learned.report.n_train,
            "metrics": dict(learned.report.metrics),
        },
        **({"assessment": check} if check else {}),
        VOLATILE: {
            "seconds": {
                **{k: round(v, 3) for k, v in learned.seconds.items()},
                "acquire": round(time.perf_counter() - clock, 3),
            }
        },
    }


def _check(
    config: CampaignConfig,
    learned: Learned,
    state: State,
    events: Sequence[Event],
    round_: int,
) -> dict[str, Any]:
    """Assess the fitted surrogate, where the configuration asks for it.

    Raises:
        CampaignError: it failed, and the campaign is to stop then.
    """
    if not config.assessment.each_round:
        return {}
    check = check_round(
        config.assessment, learned.surrogate, learned.prediction, state,
        past_errors(state, events), learned.scale, config.seed + round_,
    )  # fmt: skip
    if check["verdict"] == "fail" and config.assessment.on_failure == "stop":
        refuse(round_, check)
    return check


def _proposal(
    config: CampaignConfig, state: State, rank: int, row: int, reason: str
) -> dict[str, Any]:
    crystal = state.pool[row]
    return {
        "rank": rank,
        "candidate": crystal.id,
        "formula": crystal.formula,
        "key": evaluation_key(crystal, config.evaluator),
        "reason": reason,
        "mean": None,
        "std": None,
        "expected_merit": None,
        "acquisition": None,
        "nearest": None,
        "nearest_distance": None,
        "why": reason,
    }


def _why(config: CampaignConfig, proposal: Mapping[str, Any]) -> str:
    """Say in a sentence what spoke for a candidate."""
    value, unit = proposal["acquisition"], get(config.objective.target).unit
    rules = {
        "hull_probability": f"on the hull in {value or 0:.0%} of the joint draws",
        "log_expected_improvement": "largest joint expected improvement",
        "upper_confidence_bound": "highest joint upper confidence bound",
        "probability_of_improvement": "most probable to beat the best so far",
        "max_variance": "most uncertain, given the choices before it",
        "level_set": "closest to the level, in view of its uncertainty",
        "thompson": "best of one joint draw of all candidates",
        "greedy": "best expected value",
        "random": "drawn at random, as a check",
        "pinned": "pinned by a person",
    }
    expected = f"{proposal['mean']:.3f} ± {proposal['std']:.3f} {unit}".strip()
    parts = [rules[proposal["reason"]], f"predicted {expected}"]
    if isinstance(config.objective, HullObjective):
        depth = proposal["expected_merit"] * 1000
        side = "below" if depth > 0 else "above"
        parts.append(f"{abs(depth):.0f} meV/atom {side} today's hull")
    known, distance = proposal["nearest"], proposal["nearest_distance"]
    parts.append(f"most like {known} (distance {distance:.2f})")
    return "; ".join(parts)


def _where(rows: np.ndarray, wanted: Sequence[int]) -> list[int]:
    """Return the positions of ``wanted`` in the ascending ``rows``."""
    return [int(i) for i in np.searchsorted(rows, wanted)]


def _save(surrogate: Surrogate, folder: Path) -> None:
    """Write a checkpoint so that the folder exists only when it is whole."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    surrogate.save(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
