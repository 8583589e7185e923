"""Auto: the candidate surrogate with the best cross-validated likelihood, and why.

Every candidate is fitted without one fold after the other, its calibration and
hyperparameters chosen inside the rest (nested), and judged on the fold by the negative
log likelihood, which rewards accuracy and honest sigma together. Folds keep chemical
systems whole; of many records some folds are enough. The winner learns all records;
where it refuses, the next best does.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import MatdiscoError, SurrogateError
from surrogates.auto_folds import Fold, folds_of, names_of, over_limit
from surrogates.base import (
    FitReport,
    HistoryRow,
    Prediction,
    Progress,
    Surrogate,
    labelled,
    require_records,
)
from surrogates.checkpoint import Checkpoint, read, restored, write
from surrogates.displays import ShowsItself
from surrogates.featurizers.table import kept_rows
from surrogates.metrics import mae, nll
from surrogates.recipes import AutoRecipe, OneSurrogate
from surrogates.targets import auxiliary_of, joined, only_auxiliary
from surrogates.training_state import Resume

_LEAST = 10  # records; fewer leave folds of one or two
_JUDGED = 30_000
"""Records that a candidate is fitted to over all folds, at most, but for two folds: of
15,142 perovskites two leave 6,056 to judge by, in two fifths of the time."""


class Auto(ShowsItself):
    """See the module; made by :class:`~surrogates.recipes.AutoRecipe`."""

    def __init__(
        self, recipe: AutoRecipe, seed: int = 0, folder: Path | None = None
    ) -> None:
        self.recipe, self.seed, self.folder = recipe, seed, folder
        self.chosen: Surrogate | None = None
        self.scores: list[dict[str, Any]] = []
        self.folds: tuple[int, int] | None = None
        """Folds that judged, and folds there were."""

    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Compare the candidates, then fit the best one on all records.

        Records that have only auxiliary labels of a candidate are learnt, never judged.
        The report's history begins with the score of every candidate on every fold.

        Raises:
            SurrogateError: fewer than ten records, or no candidate could be fitted;
                the sentence says why for each.
        """
        start = time.perf_counter()
        records, _ = labelled(dataset, target)
        require_records(len(records), _LEAST, target, dataset.name)
        others = only_auxiliary(dataset, target, auxiliary_of(self.recipe))
        every = joined(records, others)
        candidates = self.recipe.options(len(records), card=_card)
        folds = folds_of(records, others, self.recipe.folds, self.seed)
        judging = folds[: max(2, _JUDGED // len(records))]
        history: list[HistoryRow] = []

        def compared(row: HistoryRow) -> None:
            history.append(row)
            if progress is not None:
                progress(row)

        def begun(stage: str, fold: int) -> None:
            if progress is not None:  # minutes may pass before there is a score
                progress({"stage": stage, "epoch": fold})

        self.scores, self.folds = [], (len(judging), len(folds))
        with kept_rows():
            for candidate, name in zip(candidates, names_of(candidates), strict=True):
                why = over_limit(candidate, every, target)
                self.scores.append(
                    {"name": name, "error": why}
                    if why
                    else self._judged(candidate, name, target, judging, compared, begun)
                )
            winner, report = self._fitted(candidates, every, target, progress, begun)
        self.chosen = winner
        return FitReport(
            report.n_train,
            report.n_held_out,
            time.perf_counter() - start,
            (*history, *report.history),
            report.metrics,
        )

    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return what the winner predicts."""
        return self._winner().predict(crystals)

    def held_out(self) -> tuple[np.ndarray, np.ndarray, Prediction]:
        """Return (rows, labels, calibrated predictions) of records that it left out.

        Raises:
            SurrogateError: not fitted yet, or the winner keeps none (networks).
        """
        held = getattr(self._winner(), "held_out", None)
        if held is None:
            raise SurrogateError(
                f"{self._winner().describe().get('surrogate', 'the winner')} keeps no "
                "predictions of records that it left out"
            )
        found: tuple[np.ndarray, np.ndarray, Prediction] = held()
        return found

    def save(self, folder: Path) -> None:
        """Write the winner's checkpoint inside this one, with the comparison."""
        with tempfile.TemporaryDirectory() as place:
            self._winner().save(Path(place) / "winner")
            inner = read(Path(place) / "winner")
        state = {
            "seed": self.seed,
            "scores": self.scores,
            "folds": self.folds,
            "recipe": dict(inner.recipe),
            "state": dict(inner.state),
        }
        recipe = self.recipe.model_dump(mode="json")
        write(Path(folder), Checkpoint(recipe, state, inner.arrays))
        if self.folder is not None:  # what losers and folds left, to go on from
            for stage in (".fit", ".round"):
                Resume(self.folder / stage).clear()

    @classmethod
    def restored(cls, recipe: AutoRecipe, checkpoint: Checkpoint) -> Self:
        """Rebuild from a checkpoint (:func:`surrogates.checkpoint.load`)."""
        state = checkpoint.state
        made = cls(recipe, int(state["seed"]))
        made.scores = list(state["scores"])
        if (folds := state.get("folds")) is not None:  # not kept by earlier versions
            made.folds = (int(folds[0]), int(folds[1]))
        inner = Checkpoint(state["recipe"], state["state"], checkpoint.arrays)
        made.chosen = restored(inner, "the winner in it")
        return made

    @override
    def describe(self) -> Mapping[str, str]:
        """Return name → text for cards and MLflow tags; ``why`` says the choice."""
        if self.chosen is None:
            names = ", ".join(names_of(self.recipe.options()))
            return {"surrogate": f"the best of: {names}"}
        return {**self.chosen.describe(), "why": self.why()}

    def why(self) -> str:
        """Return the comparison as one sentence per candidate, the chosen one first."""
        lines = []
        for s in sorted(self.scores, key=_rank):
            # one sentence per candidate: no semicolon inside
            failed = str(s.get("error", "")).replace("; ", ", ")
            said = [f"not fitted: {failed}"] if failed else []
            if "nll" in s:
                said.insert(
                    0,
                    f"negative log likelihood {s['nll']:.3f} ± {s['spread']:.3f}, "
                    f"mean absolute error {s['mae']:.4g}",
                )
            mark = "chosen: " if s.get("chosen") else ""
            lines.append(f"{mark}{s['name']}: {', but '.join(said)}")
        if self.folds is not None and self.folds[0] < self.folds[1]:
            lines.append(f"judged on {self.folds[0]} of {self.folds[1]} folds")
        return "; ".join(lines)

    def _winner(self) -> Surrogate:
        if self.chosen is None:
            raise SurrogateError("this surrogate was not fitted yet; call fit() first")
        return self.chosen

    def _judged(
        self,
        candidate: OneSurrogate,
        name: str,
        target: str,
        folds: Sequence[Fold],
        progress: Progress,
        begun: Callable[[str, int], None],
    ) -> dict[str, Any]:
        """Fit a candidate without each fold and score it there."""
        likelihoods, errors = [], []
        try:
            for k, (learn, test) in enumerate(folds):
                begun(f"compare {name}: learn {len(learn)} records", k)
                surrogate = candidate.build(self.seed, self.folder)
                surrogate.fit(learn, target)
                found, y = surrogate.predict(test.crystals), test.values(target)
                likelihoods.append(nll(y, found.mean, found.std))
                errors.append(mae(y, found.mean))
                progress(
                    {
                        "stage": f"compare {name}",
                        "epoch": k,
                        "nll": likelihoods[-1],
                        "mae": errors[-1],
                    }
                )
        except MatdiscoError as error:
            return {"name": name, "error": str(error)}
        return {
            "name": name,
            "nll": float(np.mean(likelihoods)),
            "spread": float(np.std(likelihoods) / np.sqrt(len(likelihoods))),
            "mae": float(np.mean(errors)),
        }

    def _fitted(
        self,
        candidates: Sequence[OneSurrogate],
        every: Dataset,
        target: str,
        progress: Progress | None,
        begun: Callable[[str, int], None],
    ) -> tuple[Surrogate, FitReport]:
        """Fit the best candidate on all records, or the best that does not refuse."""
        judged = [i for i, s in enumerate(self.scores) if "nll" in s]
        for i in sorted(judged, key=lambda i: float(self.scores[i]["nll"])):
            winner = candidates[i].build(self.seed, self.folder)
            begun(f"fit {self.scores[i]['name']} on {len(every)} records", 0)
            try:
                report = winner.fit(every, target, progress=progress)
            except MatdiscoError as error:
                self.scores[i]["error"] = f"on all records: {error}"
                continue
            self.scores[i]["chosen"] = True
            return winner, report
        reasons = "; ".join(f"{s['name']}: {s['error']}" for s in self.scores)
        raise SurrogateError(f"no candidate could be fitted ({reasons})")


def _rank(score: Mapping[str, Any]) -> tuple[bool, bool, float]:
    """Order scores: the chosen one, then what was fitted, each by likelihood."""
    return not score.get("chosen"), "error" in score, float(score.get("nll", np.inf))


def _card() -> bool:
    import torch

    return torch.cuda.is_available()
