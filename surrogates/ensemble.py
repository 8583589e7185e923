"""NetworkEnsemble: graph networks that learn together and disagree where unsure.

Deep ensembles (Lakshminarayanan et al., NeurIPS 2017, arXiv:1612.01474) with a mean and
a variance from every member. Disagreement is the shared part of the covariance, the
mean predicted variance each crystal's own. One scale, from records that the judging
members did not see, makes both agree with the errors.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import nn

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from matdisco.recipe import digest
from surrogates.base import (
    FitReport,
    HistoryRow,
    Prediction,
    Progress,
    labelled,
    require_records,
)
from surrogates.calibration import Scale
from surrogates.checkpoint import Checkpoint, read, write
from surrogates.ensemble_state import State
from surrogates.graph_store import GraphStore, shared_store
from surrogates.graphs import PackedGraphs
from surrogates.networks.recipes import NetworkEnsembleRecipe
from surrogates.pretraining import (
    left_out_members,
    pretraining_records,
    split_by_system,
)
from surrogates.training import Examples, Schedule, evaluate, threads, train
from surrogates.training_state import Resume

_LEAST = 8
"""Records below which a network from scratch is not worth its name."""
_BASE_PRIOR = Scale(k=1.0, n=5.0)
_NOT_BASE = frozenset(
    {
        "pretrain", "finetune_epochs", "finetune_learning_rate", "replay", "left_out",
        "calibration_prior", "threads",
    }
)  # fmt: skip
"""Recipe fields that do not change the pretrained base (its data has a hash)."""


class NetworkEnsemble:
    """See the module; made by :class:`~surrogates.NetworkEnsembleRecipe`.

    Args:
        recipe: all settings.
        seed: of the fit; the base has its own in the recipe.
        folder: where the base is kept, or None.
    """

    def __init__(
        self, recipe: NetworkEnsembleRecipe, seed: int = 0, folder: Path | None = None
    ) -> None:
        self.recipe, self.seed = recipe, seed
        self.folder = None if folder is None else Path(folder)
        self.state: State | None = None
        self._base: State | None = None

    # ---- the Surrogate protocol

    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Learn ``target``; from the pretrained base if the recipe names one.

        Every fit starts from the base, never from the last fit, so its result depends
        on recipe, seed, base and data alone. Without records the base is the result.
        """
        start = time.perf_counter()
        records, labels = labelled(dataset, target)
        with threads(self.recipe.threads):
            if self.recipe.pretrain is None:
                require_records(len(records), _LEAST, target, dataset.name)
                state, held, history = self._from_scratch(
                    records, labels, target, seed=self.seed, progress=progress
                )
            else:
                base, history = self._pretrained(target, progress)
                state, held = base, 0
                if len(records):
                    state, rows = self._fine_tuned(base, records, labels, progress)
                    held, history = len(records), (*history, *rows)
        self.state = state
        seconds = time.perf_counter() - start
        return FitReport(len(records), held, seconds, history, state.metrics)

    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return the joint, calibrated prediction.

        Raises:
            SurrogateError: not fitted, or a crystal holds an element never seen.
        """
        state = self._fitted()
        graphs = self._store().get(crystals)
        state.require_known(graphs, crystals)
        with threads(self.recipe.threads):
            means, logs = evaluate(self._network(state), graphs, self.recipe.members)
        return state.joint(means, logs).scaled(state.scale.k)

    def save(self, folder: Path) -> None:
        """Write a checkpoint folder, in one step."""
        write(Path(folder), self._fitted().checkpoint(self.recipe, self.seed))
        for stage in ("fit", "round"):
            self._forget(stage)

    def describe(self) -> Mapping[str, str]:
        """Return name → text for cards and MLflow tags."""
        recipe = self.recipe
        text = {
            "surrogate": f"{recipe.members} × {recipe.network.kind}",
            "recipe": recipe.digest()[:16],
            "pretrained": recipe.pretrain or "no",
        }
        if self.state is not None:
            text |= {
                "target": self.state.target,
                "elements": " ".join(self.state.elements),
                "dataset": self.state.dataset[:16],
                "records": str(self.state.n_train),
                "uncertainty_scale": f"{self.state.scale.k:.3f}",
            }
        return text

    @classmethod
    def restored(cls, recipe: NetworkEnsembleRecipe, checkpoint: Checkpoint) -> Self:
        """Rebuild from a checkpoint (:func:`surrogates.checkpoint.load`)."""
        ensemble = cls(recipe, int(checkpoint.state["seed"]))
        ensemble.state = State.restored(checkpoint)
        return ensemble

    # ---- learning

    def _from_scratch(
        self,
        records: Dataset,
        labels: np.ndarray,
        target: str,
        *,
        seed: int,
        progress: Progress | None,
    ) -> tuple[State, int, tuple[HistoryRow, ...]]:
        """Train fresh members; judge them on whole chemical systems left out."""
        recipe = self.recipe
        learn, judge = split_by_system(records, recipe.held_out, seed)
        centre = float(labels[learn].mean())
        spread = float(labels[learn].std()) or 1.0
        z = (labels - centre) / spread
        graphs = self._store().get(records.crystals)
        network = self._fresh(seed)
        weights = np.ones((recipe.members, len(learn)), dtype=np.int64)
        if recipe.diversity == "bootstrap":
            weights = np.random.default_rng([seed, 0]).poisson(1.0, weights.shape)
        history = train(
            network,
            Examples(graphs.take(learn), z[learn], weights),
            Schedule(
                recipe.epochs,
                recipe.learning_rate,
                recipe.batch_size,
                weight_decay=recipe.weight_decay,
                average=recipe.average,
                patience=recipe.patience,
                loss=recipe.loss,
                shape=recipe.schedule,
            ),
            seed=seed,
            stage="base" if recipe.pretrain else "fit",
            held_out=(graphs.take(judge), z[judge]),
            progress=progress,
            resume=self._resume("base" if recipe.pretrain else "fit"),
        )
        state = State(
            target, centre, spread, Scale(), records.elements, records.content_hash,
            len(learn), _weights(network),
        )  # fmt: skip
        raw = state.joint(*evaluate(network, graphs.take(judge), recipe.members))
        return state.judged(raw, labels[judge], _BASE_PRIOR), len(judge), history

    def _pretrained(
        self, target: str, progress: Progress | None
    ) -> tuple[State, tuple[HistoryRow, ...]]:
        """Return the base: from memory, from the folder, or trained and kept."""
        recipe = self.recipe
        records, labels, key = self._pretraining(target)
        print_ = digest(
            {
                "recipe": recipe.model_dump(mode="json", exclude=set(_NOT_BASE)),
                "dataset": records.content_hash,
                "target": key,
            }
        )
        if self._base is not None and self._base.base == print_:
            return self._base, ()
        home = None if self.folder is None else self.folder / "base"
        found = None if home is None else _kept(home)
        if found is not None and found.base == print_:
            self._base = found
            return found, ()
        require_records(len(records), _LEAST, key, records.name)
        state, _, history = self._from_scratch(
            records, labels, target, seed=recipe.base_seed, progress=progress
        )
        state = replace(state, base=print_)
        if home is not None:
            write(home, state.checkpoint(recipe, recipe.base_seed))
            self._forget("base")
        self._base = state
        return state, history

    def _fine_tuned(
        self,
        base: State,
        records: Dataset,
        labels: np.ndarray,
        progress: Progress | None,
    ) -> tuple[State, tuple[HistoryRow, ...]]:
        """Start from the base, learn the campaign's records and a few old ones.

        A fixed number of members misses each record; which ones is drawn anew for each.
        Their errors on it are the calibration.
        """
        recipe, n = self.recipe, len(records)
        draw = np.random.default_rng([self.seed, 1])
        out = round(recipe.left_out * recipe.members)
        missing = left_out_members(recipe.members, n, out, draw)
        old, old_labels, _ = self._pretraining(base.target)
        learn, _ = split_by_system(old, recipe.held_out, recipe.base_seed)
        chosen = np.sort(
            draw.choice(learn, size=min(recipe.replay, len(learn)), replace=False)
        )
        store = self._store()
        graphs = store.get(records.crystals)
        z = (np.concatenate([labels, old_labels[chosen]]) - base.centre) / base.spread
        weights = np.concatenate(
            [~missing, np.ones((recipe.members, len(chosen)), dtype=bool)], axis=1
        )
        network = self._network(base)
        history = train(
            network,
            Examples(
                PackedGraphs.concatenate(
                    [graphs, store.get([old.crystals[i] for i in chosen])]
                ),
                z,
                weights.astype(np.float32),
            ),
            Schedule(
                recipe.finetune_epochs,
                recipe.finetune_learning_rate,
                recipe.batch_size,
                weight_decay=recipe.weight_decay,
                average=0.95,
                loss=recipe.loss,
                shape=recipe.schedule,
            ),
            seed=self.seed,
            stage="round",
            progress=progress,
            resume=self._resume("round"),
        )
        state = State(
            base.target, base.centre, base.spread, base.scale,
            tuple(sorted({*base.elements, *records.elements})),
            records.content_hash, n, _weights(network), base=base.base,
        )  # fmt: skip
        means, logs = evaluate(network, graphs, recipe.members)
        judging = (means * missing).sum(axis=0) / out
        raw = state.joint(means, logs)
        raw = Prediction(
            state.centre + state.spread * judging, raw.factors, raw.residual
        )
        prior = base.scale.capped(recipe.calibration_prior)
        return state.judged(raw, labels, prior), history

    # ---- parts

    def _fitted(self) -> State:
        if self.state is None:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")
        return self.state

    def _store(self) -> GraphStore:
        return shared_store(
            neighbours=self.recipe.neighbours, cutoff=self.recipe.cutoff
        )

    def _resume(self, stage: str) -> Resume | None:
        return None if self.folder is None else Resume(self.folder / f".{stage}")

    def _forget(self, stage: str) -> None:
        """Remove what only served to go on after a kill: the result is on disk."""
        if (resume := self._resume(stage)) is not None:
            resume.clear()

    def _fresh(self, seed: int) -> nn.Module:
        recipe = self.recipe
        return recipe.network.build(
            members=recipe.members,
            cutoff=recipe.cutoff,
            bonds=float(recipe.neighbours or 12),
            generator=torch.Generator().manual_seed(seed),
        )

    def _network(self, state: State) -> nn.Module:
        network = self._fresh(0)
        tensors = {k: torch.from_numpy(v.copy()) for k, v in state.weights.items()}
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise SurrogateError(
                f"the weights do not fit the recipe: {error}"
            ) from error
        return network

    def _pretraining(self, target: str) -> tuple[Dataset, np.ndarray, str]:
        key = self.recipe.pretrain_target or target
        records, labels = pretraining_records(self.recipe.pretrain or "", key)
        return records, labels, key


def _weights(network: nn.Module) -> dict[str, np.ndarray]:
    return {k: v.detach().numpy().copy() for k, v in network.state_dict().items()}


def _kept(home: Path) -> State | None:
    """Return the base in ``home``; None where it is absent or damaged (learn again)."""
    try:
        return State.restored(read(home))
    except (SurrogateError, KeyError, TypeError):
        return None
