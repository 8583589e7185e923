"""How an ensemble of networks comes to know from a base, quickly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from matdisco.data.dataset import Dataset
from surrogates.base import HistoryRow, Prediction, Progress
from surrogates.calibration import OutOfBag, Scale, error_of_all
from surrogates.ensemble_spread import typical_spread
from surrogates.ensemble_state import State
from surrogates.ensemble_training import (
    PRIOR,
    fresh,
    loaded,
    store_of,
    taught,
    weights_of,
)
from surrogates.graphs import PackedGraphs
from surrogates.networks.learning import Examples, evaluate
from surrogates.networks.recipes import NetworkEnsembleRecipe
from surrogates.pretraining import left_out_members, split_by_system
from surrogates.spread import standardised
from surrogates.training import Schedule
from surrogates.training_state import Resume

_LONGER = 4
"""Passes for another target over those for the same: the output layer starts from
nothing, and without replayed records a pass is that much shorter."""
_AVERAGE = 0.95
"""Decay of the moving average in a fit: it has a few hundred steps, and 1 / (1 - 0.99)
of them would still hold much of the base."""


def fine_tuned(
    recipe: NetworkEnsembleRecipe,
    base: State,
    new: tuple[Dataset, np.ndarray],
    old: tuple[Dataset, np.ndarray],
    *,
    seed: int,
    progress: Progress | None,
    resume: Resume | None,
) -> tuple[State, tuple[HistoryRow, ...]]:
    """Start from the base, learn new records and a few old ones.

    A fixed number of members misses each record; which ones is drawn anew for each.
    Their errors on it are the calibration.

    Args:
        recipe: all settings.
        base: where to start.
        new: records and labels (n,).
        old: what the base learnt from, and labels (m,).
        seed: of what misses what, order and replay.
        progress: called with every row of the history.
        resume: where states are left, to go on from after a kill.
    """
    records, labels = new
    n = len(records)
    draw = np.random.default_rng([seed, 1])
    out, missing = _missing(recipe, n, draw)
    learn, _ = split_by_system(old[0], recipe.held_out, recipe.base_seed)
    chosen = np.sort(
        draw.choice(learn, size=min(recipe.replay, len(learn)), replace=False)
    )
    store = store_of(recipe)
    graphs = store.get(records.crystals)
    replayed = store.get([old[0].crystals[i] for i in chosen])
    z = (np.concatenate([labels, old[1][chosen]]) - base.centre) / base.spread
    weights = np.concatenate(
        [~missing, np.ones((recipe.members, len(chosen)), dtype=bool)], axis=1
    )
    network = loaded(recipe, base)
    history = taught(
        recipe,
        network,
        Examples(
            PackedGraphs.concatenate([graphs, replayed]),
            z[:, None],
            weights.astype(np.float32),
        ),
        _schedule(recipe, recipe.finetune_epochs),
        seed=seed,
        stage="round",
        progress=progress,
        resume=resume,
    )
    state = State(
        base.target, base.centre, base.spread, base.scale,
        tuple(sorted({*base.elements, *records.elements})),
        records.content_hash, n, weights_of(network), base=base.base,
    )  # fmt: skip
    means, logs = evaluate(network, graphs, recipe.members)
    judging = (means[..., 0] * missing).sum(axis=0) / out
    raw = state.joint(means, logs)
    raw = Prediction(state.centre + state.spread * judging, raw.factors, raw.residual)
    prior = base.scale.capped(recipe.calibration_prior)
    return state.judged(
        raw, labels, np.arange(n), prior, base.typical,
        kind=recipe.calibration, crystals=records.crystals, seed=seed,
    ), history  # fmt: skip


def retargeted(
    recipe: NetworkEnsembleRecipe,
    base: State,
    new: tuple[Dataset, np.ndarray],
    target: str,
    *,
    seed: int,
    progress: Progress | None,
    resume: Resume | None,
) -> tuple[State, tuple[HistoryRow, ...]]:
    """Start from a base that learnt another quantity.

    What it makes of crystals is kept; centre, spread, output layer and calibration
    come from the new records alone, and nothing is replayed: old labels are of another
    quantity. A fixed number of members misses each record, as in :func:`fine_tuned`.

    Args:
        recipe: all settings.
        base: where to start.
        new: records and labels (n,).
        target: what the labels are.
        seed: of the output layer, what misses what, and order.
        progress: called with every row of the history.
        resume: where states are left, to go on from after a kill.
    """
    records, labels = new
    n = len(records)
    out, missing = _missing(recipe, n, np.random.default_rng([seed, 1]))
    z, centre, scale = standardised(labels)
    graphs = store_of(recipe).get(records.crystals)
    network = loaded(recipe, base)
    network.head.out.load_state_dict(fresh(recipe, seed).head.out.state_dict())
    history = taught(
        recipe,
        network,
        Examples(graphs, z[:, None], (~missing).astype(np.float32)),
        _schedule(recipe, _LONGER * recipe.finetune_epochs),
        seed=seed,
        stage="round",
        progress=progress,
        resume=resume,
    )
    state = State(
        target, centre, scale, Scale(),
        tuple(sorted({*base.elements, *records.elements})),
        records.content_hash, n, weights_of(network), base=base.base,
    )  # fmt: skip
    means, logs = evaluate(network, graphs, recipe.members)
    bag = OutOfBag(np.arange(n), np.argsort(~missing, axis=0, kind="stable")[:out])
    raw = state.joint(bag.pick(means), bag.pick(logs))
    if out == 1:  # one has no spread; that of all is the nearest there is
        raw = Prediction(raw.mean, state.joint(means, logs).factors, raw.residual)
    ratio = error_of_all(raw, labels, recipe.members)
    typical = typical_spread(raw)  # two or three cannot tell their own from chance
    return state.judged(
        raw, labels, bag.rows, PRIOR, typical, ratio=ratio,
        kind=recipe.calibration, crystals=records.crystals, seed=seed, every=labels,
    ), history  # fmt: skip


def _missing(
    recipe: NetworkEnsembleRecipe, n: int, draw: np.random.Generator
) -> tuple[int, np.ndarray]:
    """Return how many members miss each of n records, and which, (S, n)."""
    out = round(recipe.left_out * recipe.members)
    return out, left_out_members(recipe.members, n, out, draw)


def _schedule(recipe: NetworkEnsembleRecipe, epochs: int) -> Schedule:
    peak = recipe.finetune_learning_rate
    plan = Schedule.of(recipe, epochs)
    return replace(plan, learning_rate=peak, average=_AVERAGE)
