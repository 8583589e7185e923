"""Learning: fit the surrogate on the answers so far, recalibrate, predict the pool.

Everything depends on (configuration, pool, earlier events) alone; all randomness comes
from ``SeedSequence([seed, round, purpose])``.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from campaigns.acquisition.recipes import HullProbability, NewPhases
from campaigns.config import CampaignConfig
from campaigns.fronts.recipe import FrontObjective
from campaigns.fronts.verdicts import combined, shared_level
from campaigns.fronts.views import about, events_about
from campaigns.gate import GateRecipe, Verdict, judge, pooled_scale
from campaigns.ledger import Event
from campaigns.state import State
from matdisco.crystal import Crystal
from surrogates.base import FitReport, Prediction, Progress, Surrogate


class Purpose(IntEnum):
    """What a stream of random numbers is for."""

    START = 0
    SURROGATE = 1
    ACQUISITION = 2
    OUTLOOK = 3
    GROWTH = 10


def stream(
    config: CampaignConfig, round_: int, purpose: Purpose
) -> np.random.Generator:
    """Return the generator of one purpose in one round."""
    return np.random.default_rng(
        np.random.SeedSequence([config.seed, round_, int(purpose)])
    )


@runtime_checkable
class KnowsCopies(Protocol):
    """A surrogate that may know which candidates are probably one structure."""

    def alike(self, crystals: Sequence[Crystal]) -> np.ndarray | None:
        """Return a group for each crystal, shape (n,), if any is known."""
        ...

    def predict_unlike(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return the prediction as if none were a copy of a crystal that was learnt."""
        ...


@dataclass(frozen=True, eq=False)
class Learned:
    """A fitted and recalibrated surrogate, and what it says of the pool."""

    surrogate: Surrogate
    """As fitted; ``scale`` is not applied inside it."""
    report: FitReport
    """How the fit went."""
    scale: float
    """Factor on every sigma, from the errors of this campaign's own proposals."""
    verdict: Verdict
    """What the gate says of the newest answers; its widening is in ``scale``."""
    prediction: Prediction
    """Of the target for the whole pool, recalibrated."""
    seconds: Mapping[str, float]
    """Wall seconds of learning and predicting."""
    alike: np.ndarray | None = None
    """Group of each candidate of the pool that is probably one structure, if known."""
    unlike: Prediction | None = None
    """As ``prediction``, if no candidate were a copy of an answered one: what rules for
    stable phases choose by, weighed by how often a copy comes to anything."""
    every: Mapping[str, Learned] = field(default_factory=dict)
    """Property to what was learned of it, where the objective is a front; the rest of
    this is then about its first target with a goal, but for ``verdict`` and
    ``seconds``, which are about all."""

    @property
    def predictions(self) -> dict[str, Prediction]:
        """Property to its prediction for the whole pool, where there are several."""
        return {key: part.prediction for key, part in self.every.items()}


def learn(
    config: CampaignConfig,
    state: State,
    events: Sequence[Event],
    folder: Path,
    round_: int,
    progress: Progress | None = None,
) -> Learned:
    """Fit the surrogate on all answers and predict the pool.

    For a front one surrogate of the recipe for every target, independent of the others.

    Args:
        config: the campaign.
        state: what is known.
        events: the ledger so far, for recalibration.
        folder: the run folder; the checkpoint goes to ``surrogates/``.
        round_: the round that is about to be proposed.
        progress: called while training.
    """
    seed = int(stream(config, 0, Purpose.SURROGATE).integers(2**31))
    home, objective = folder / "surrogates", config.objective
    if not isinstance(objective, FrontObjective):
        return _learn(config, config.gate, state, events, home, round_, seed, progress)
    gate = shared_level(config.gate, len(objective.targets))
    every = {}
    for i, target in enumerate(objective.ordered):
        # the first is where those who expect one surrogate look for it
        place = home / target.property if i else home
        every[target.property] = _learn(
            config, gate, about(state, target), events_about(events, target.property),
            place, round_, seed + i, progress,
        )  # fmt: skip
    return replace(
        every[objective.target],
        verdict=combined({key: part.verdict for key, part in every.items()}),
        seconds={
            phase: sum(part.seconds[phase] for part in every.values())
            for phase in ("learn", "predict")
        },
        every=every,
    )


def _learn(
    config: CampaignConfig,
    gate: GateRecipe,
    state: State,
    events: Sequence[Event],
    home: Path,
    round_: int,
    seed: int,
    progress: Progress | None,
) -> Learned:
    """Learn the one target of ``state``; its checkpoints go to ``home``."""
    clock = time.perf_counter()
    surrogate = config.surrogate.build(seed, home)
    report = surrogate.fit(
        state.learning_set(), state.objective.target, progress=progress
    )
    fitted = time.perf_counter()
    crystals = state.pool.crystals
    raw = surrogate.predict(crystals)
    scale = sigma_scale(state, events)
    verdict = judge(gate, events, _by_round(state, events), scale)
    scale *= verdict.widened
    alike = unlike = None
    if isinstance(surrogate, KnowsCopies):
        alike = surrogate.alike(crystals)
        if alike is not None and isinstance(
            config.acquisition, HullProbability | NewPhases
        ):
            unlike = surrogate.predict_unlike(crystals).scaled(scale)
    _save(surrogate, home / f"round-{round_:03d}")
    done = time.perf_counter()
    return Learned(
        surrogate,
        report,
        scale,
        verdict,
        raw.scaled(scale),
        {"learn": fitted - clock, "predict": done - fitted},
        alike,
        unlike,
    )


def sigma_scale(state: State, events: Sequence[Event]) -> float:
    """Return the factor that would have made past proposals' sigmas right.

    Each earlier proposal was a prediction made before its answer was known, so its
    error is out of sample. The maximum-likelihood factor is the root mean square of
    error / sigma (V. Kuleshov et al., ICML 2018, discuss recalibration on held-out
    data; the scalar form is in K. Tran et al., Mach. Learn.: Sci. Technol. 1, 025006
    (2020)), here shrunk towards 1 by :data:`campaigns.gate.SHRINKAGE`.
    """
    return pooled_scale(past_errors(state, events)[:, 2])


def _by_round(state: State, events: Sequence[Event]) -> Mapping[int, np.ndarray]:
    """Return the errors of answered proposals by round; rounds without any left out."""
    found = {e.round: past_errors(state, [e]) for e in events if e.kind == "proposed"}
    return {k: v for k, v in found.items() if len(v)}


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


def _save(surrogate: Surrogate, folder: Path) -> None:
    """Write a checkpoint so that the folder exists only when it is whole."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    surrogate.save(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
