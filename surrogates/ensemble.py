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
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import (
    FitReport,
    HistoryRow,
    Prediction,
    Progress,
    labelled,
    require_records,
)
from surrogates.checkpoint import Checkpoint, write
from surrogates.compute import threads
from surrogates.displays import ShowsItself
from surrogates.ensemble_base import fingerprint, kept
from surrogates.ensemble_state import State
from surrogates.ensemble_training import from_scratch, loaded, store_of
from surrogates.ensemble_tuning import fine_tuned, retargeted
from surrogates.networks.base import CrystalNetwork
from surrogates.networks.learning import evaluate
from surrogates.networks.recipes import NetworkEnsembleRecipe
from surrogates.pretraining import pretraining_records
from surrogates.targets import several
from surrogates.training_state import Resume

_LEAST = 8
"""Records below which a network from scratch is not worth its name."""


class NetworkEnsemble(ShowsItself):
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
        self._network: tuple[State, CrystalNetwork] | None = None  # of that state

    # ---- the Surrogate protocol

    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Learn ``target``; from the pretrained base if the recipe names one.

        Every fit starts from the base, never from the last fit, so its result depends
        on recipe, seed, base and data alone. Without records the base is the result,
        unless it learnt another target, which says nothing without them.

        Raises:
            SurrogateError: too few records, or one that cannot be used.
        """
        start = time.perf_counter()
        recipe = self.recipe
        with threads(recipe.threads):
            if recipe.pretrain is None:
                records, labels = several(
                    dataset, target, recipe.auxiliary, least=_LEAST
                )
                state, held, history = from_scratch(
                    recipe, records, labels, (target, *recipe.auxiliary),
                    seed=self.seed, progress=progress, resume=self._resume("fit"),
                )  # fmt: skip
            else:
                records, known = labelled(dataset, target)
                if self._base_target(target) != target:
                    require_records(len(records), _LEAST, target, dataset.name)
                base, history = self._pretrained(target, progress)
                state, held = base, 0
                if len(records):
                    state, rows = self._tuned(base, (records, known), target, progress)
                    held, history = len(records), (*history, *rows)
        self.state = state
        seconds = time.perf_counter() - start
        learnt = state.n_train if recipe.pretrain is None else len(records)
        return FitReport(learnt, held, seconds, history, state.metrics)

    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return the joint, calibrated prediction.

        Raises:
            SurrogateError: not fitted, or a crystal holds an element never seen.
        """
        state = self._fitted()
        return state.calibrated(*self._outputs(crystals), crystals)

    def predict_all(self, crystals: Sequence[Crystal]) -> dict[str, Prediction]:
        """Return label → prediction, each calibrated on its own errors left out.

        Raises:
            SurrogateError: as :meth:`predict`.
        """
        state, outputs = self._fitted(), self._outputs(crystals)
        return {
            name: state.calibrated(*outputs, crystals, name) for name in state.names
        }

    def members(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Return what each member says, shape (S, n), unit of the target.

        As far apart as the joint prediction's shared part: around its mean, with
        ``numpy.cov(members, rowvar=False)`` equal to ``factors.T @ factors``. What each
        crystal has for itself is in none of them.

        Raises:
            SurrogateError: as :meth:`predict`.
        """
        found = self.predict(crystals)
        apart = np.sqrt(max(len(found.factors) - 1, 1)) * found.factors
        return np.asarray(found.mean + apart)

    def held_out(self) -> tuple[np.ndarray, np.ndarray, Prediction]:
        """Return (rows, labels, calibrated predictions) of the records that judged.

        What conformal intervals and plots are made from; unit of the target. Rows
        count the records with the target's label that the fit was given (without any:
        the base's); checkpoints from before these were kept have none.

        Raises:
            SurrogateError: not fitted yet.
        """
        held = self._fitted().held
        return held.rows, held.labels, Prediction.apart(held.mean, held.std)

    def save(self, folder: Path) -> None:
        """Write a checkpoint folder, in one step."""
        write(Path(folder), self._fitted().checkpoint(self.recipe, self.seed))
        for stage in ("fit", "round"):
            self._forget(stage)

    @override
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
                "uncertainty_scale": self.state.caution or f"{self.state.scale.k:.3f}",
                **self.state.words(),
            }
        return text

    @classmethod
    def restored(cls, recipe: NetworkEnsembleRecipe, checkpoint: Checkpoint) -> Self:
        """Rebuild from a checkpoint (:func:`surrogates.checkpoint.load`)."""
        ensemble = cls(recipe, int(checkpoint.state["seed"]))
        ensemble.state = State.restored(checkpoint)
        return ensemble

    # ---- learning

    def _pretrained(
        self, target: str, progress: Progress | None
    ) -> tuple[State, tuple[HistoryRow, ...]]:
        """Return the base: from memory, from the folder, or trained and kept."""
        recipe = self.recipe
        records, labels, key = self._pretraining(target)
        print_ = fingerprint(recipe, records.content_hash, key)
        if self._base is not None and self._base.base == print_:
            return self._base, ()
        home = None if self.folder is None else self.folder / "base"
        found = None if home is None else kept(home)
        if found is not None and found.base == print_:
            self._base = found
            return found, ()
        require_records(len(records), _LEAST, key, records.name)
        state, _, history = from_scratch(
            recipe, records, labels[:, None], (key,), seed=recipe.base_seed,
            progress=progress, resume=self._resume("base"),
        )  # fmt: skip
        state = replace(state, base=print_)
        if home is not None:
            write(home, state.checkpoint(recipe, recipe.base_seed))
            self._forget("base")
        self._base = state
        return state, history

    def _tuned(
        self,
        base: State,
        new: tuple[Dataset, np.ndarray],
        target: str,
        progress: Progress | None,
    ) -> tuple[State, tuple[HistoryRow, ...]]:
        """Return the base tuned on new records, for its target or for another."""
        recipe, seed, resume = self.recipe, self.seed, self._resume("round")
        if self._base_target(target) != target:
            return retargeted(
                recipe, base, new, target, seed=seed, progress=progress, resume=resume
            )
        old, labels, _ = self._pretraining(target)
        return fine_tuned(
            recipe, base, new, (old, labels),
            seed=seed, progress=progress, resume=resume,
        )  # fmt: skip

    # ---- parts

    def _outputs(self, crystals: Sequence[Crystal]) -> tuple[np.ndarray, np.ndarray]:
        """Return the members' standardised means and log variances, (S, n, T)."""
        state, recipe = self._fitted(), self.recipe
        graphs = store_of(recipe).get(crystals)
        state.require_known(graphs, crystals)
        with threads(recipe.threads):
            if self._network is None or self._network[0] is not state:
                self._network = state, loaded(recipe, state)
            return evaluate(self._network[1], graphs, recipe.members)

    def _fitted(self) -> State:
        if self.state is None:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")
        return self.state

    def _resume(self, stage: str) -> Resume | None:
        return None if self.folder is None else Resume(self.folder / f".{stage}")

    def _forget(self, stage: str) -> None:
        """Remove what only served to go on after a kill: the result is on disk."""
        if (resume := self._resume(stage)) is not None:
            resume.clear()

    def _base_target(self, target: str) -> str:
        return self.recipe.pretrain_target or target

    def _pretraining(self, target: str) -> tuple[Dataset, np.ndarray, str]:
        key = self._base_target(target)
        records, labels = pretraining_records(self.recipe.pretrain or "", key)
        return records, labels, key
