"""Several labels at once: a Gaussian process with an output for each.

The intrinsic coregionalisation model (Bonilla et al., NeurIPS 2007; Álvarez et al.,
Found. Trends Mach. Learn. 4, 195 (2012)): the covariance of label s of crystal a and
label t of crystal b is B[s, t] k(a, b) (:mod:`surrogates.gp.intrinsic`). Each label is
the target's function times its correlation plus one of its own, so an auxiliary label
can be a related property or a cheap fidelity; records need not have all labels.

New crystals are the harder task: a record left out keeps none of its labels. Those
whose other labels were learnt get a factor of their own on sigma, from the same records
with the one label left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import FitReport, Prediction, Progress, labelled, require_records
from surrogates.calibration import Scale, few, z_scores
from surrogates.calibration.chemistry import anions
from surrogates.gp.coregional import CoregionalGP
from surrogates.spread import vary
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.recipes import CoregionalRecipe
from surrogates.targets import distinct

_LEAST = 3  # labels of each kind, as of any surrogate on features


class Coregional(Tabular[CoregionalRecipe]):
    """See the module; made by :class:`~surrogates.tabular.CoregionalRecipe`."""

    _output: np.ndarray  # which label each observation is of, (n,); 0 is the target
    _hashes: np.ndarray  # of the crystal of each observation, (n, 32) bytes
    _process: CoregionalGP
    _scales: np.ndarray  # factor on sigma of each label but the target's (1 there)
    _told: np.ndarray  # factor on sigma of each label where another was learnt

    @override
    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Learn ``target`` and the auxiliary labels; the target's are judged."""
        start = time.perf_counter()
        names = distinct(target, self.recipe.auxiliary)
        parts = [labelled(dataset, name) for name in names]
        for name, (records, _) in zip(names, parts, strict=True):
            require_records(len(records), _LEAST, name, dataset.name)
        count = sum(len(records) for records, _ in parts)
        if count > self.recipe.max_records:
            raise SurrogateError(
                f"dataset {dataset.name}: {count} labels, but max_records is "
                f"{self.recipe.max_records}; raise it or take fewer"
            )
        values = np.concatenate([labels for _, labels in parts])
        self._y = np.concatenate([self._transformed(y, data) for data, y in parts])
        self._output = np.repeat(np.arange(len(names)), [len(y) for _, y in parts])
        crystals = [c for data, _ in parts for c in data.crystals]
        self._hashes = _hashed(crystals)
        self._raw = self._features(crystals)
        self.target, self.dataset_hash = target, parts[0][0].content_hash
        self.held = self._learn(self._raw, self._y, progress)
        self._ready = True
        self._calibrate(values, parts[0][0])
        if self.unseen is not None:  # what any label was learnt of was seen
            self.unseen = replace(
                self.unseen,
                elements=frozenset(e for c in crystals for e in c.elements),
                anion_sets=frozenset(
                    anions(c.composition.get_el_amt_dict()) for c in crystals
                ),
            )
        self._tell()
        n = len(parts[0][0])
        return FitReport(n, n, time.perf_counter() - start, (), dict(self.metrics))

    @override
    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return the calibrated joint prediction, in the order of ``crystals``.

        Only labels that were learnt count, not those that the crystals bring: a cheap
        label of a candidate helps once its record was in the dataset.
        """
        if not crystals:
            return super().predict(crystals)
        self._require_fit()
        return self._predicted(crystals, self._features(crystals))

    def predict_all(self, crystals: Sequence[Crystal]) -> dict[str, Prediction]:
        """Return label → prediction, each calibrated on its own errors left out."""
        if not crystals:
            return dict.fromkeys(self._names, self.predict(crystals))
        self._require_fit()
        x = self._features(crystals)
        out = {self.target: self._predicted(crystals, x)}
        for t, name in enumerate(self.recipe.auxiliary, start=1):
            factors = self._scales[t] * self._factors(crystals, t)
            found = self._process.predict(x, t).scaled(factors * few(self._counts[t]))
            out[name] = self.transform.back(found)
        return out

    def _predicted(self, crystals: Sequence[Crystal], x: np.ndarray) -> Prediction:
        found = self._finished(self._answer(x), crystals)
        return found.scaled(self._factors(crystals, 0))

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.target, *self.recipe.auxiliary)

    @property
    def _counts(self) -> np.ndarray:
        """How many labels of each output were learnt, shape (outputs,)."""
        return np.bincount(self._output, minlength=len(self._names))

    @property
    def correlations(self) -> Mapping[str, float]:
        """Auxiliary label → its correlation with the target at equal crystals."""
        r = self._process.theta["r"]
        return dict(zip(self.recipe.auxiliary, r[0] * r[1:], strict=True))

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        self._process = CoregionalGP.fit(x, y, self._output)
        self._told = np.ones(len(self._names))
        return self._left_out(0, self._process.inverse())

    @override
    def _answer(self, x: np.ndarray) -> Prediction:
        return self._process.predict(x, 0)

    @override
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        theta = {k: np.asarray(v).tolist() for k, v in self._process.theta.items()}
        arrays = {"output": self._output, "hashes": self._hashes}
        factors = {"scales": self._scales.tolist(), "told": self._told.tolist()}
        return {"theta": theta, **factors}, arrays

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self._output, self._hashes = arrays["output"], arrays["hashes"]
        self._scales, self._told = np.array(state["scales"]), np.array(state["told"])
        theta = {k: np.asarray(v) for k, v in state["theta"].items()}
        self._process = CoregionalGP.fit(self._raw, self._y, self._output, theta)

    @override
    def _words(self) -> dict[str, str]:
        text = {
            "surrogate": f"gaussian process on {self.recipe.features} features with "
            f"auxiliary labels {', '.join(self.recipe.auxiliary)}"
        }
        if self._ready:
            pairs = self.correlations.items()
            text["correlations"] = ", ".join(f"{k} {v:.3f}" for k, v in pairs)
            text["uncertainty_with_other_labels"] = f"times {self._told[0]:.2f}"
            text["labels"] = str(len(self._y))
        return text

    @override
    def describe(self) -> Mapping[str, str]:
        """Return name → text; records are crystals, each with one label or several."""
        text = dict(super().describe())
        if self._ready:
            text["records"] = str(len(np.unique(self._hashes, axis=0)))
        return text

    @override
    def _of_target(self) -> np.ndarray:
        own: np.ndarray = self._y[self._output == 0]
        return own

    def _left_out(self, t: int, inverse: np.ndarray, *, whole: bool = True) -> Held:
        """Predict each label ``t`` without it, or without all of its crystal."""
        rows = np.flatnonzero(self._output == t)
        _, crystal = np.unique(self._hashes, axis=0, return_inverse=True)
        left = [
            np.flatnonzero(crystal == crystal[row]) if whole else np.array([row])
            for row in rows
        ]
        asked = list(rows[:, None])
        return Held(rows, self._process.without(t, inverse, left, asked))

    @override
    def _without(self, groups: Sequence[np.ndarray]) -> Prediction:
        _, crystal = np.unique(self._hashes, axis=0, return_inverse=True)
        left = [np.flatnonzero(np.isin(crystal, crystal[rows])) for rows in groups]
        return self._process.without(0, self._process.inverse(), left, groups)

    def _tell(self) -> None:
        """Match sigmas of auxiliary labels, and of crystals with others, to errors."""
        inverse, prior = self._process.inverse(), self.recipe.calibration_prior
        self._scales = np.ones(len(self._names))
        for t in range(len(self._names)):
            held = self._left_out(t, inverse, whole=False)
            y = self._y[held.rows]
            if t == 0:
                found = self.steps.left_out(held.prediction)
            else:
                self._scales[t] = self._scale_of(t, inverse).k
                found = held.prediction.scaled(float(self._scales[t]))
            if not vary(y):
                continue  # there are no errors
            more = self._others(self._hashes[held.rows], t)
            z = z_scores(y, found)[more]
            self._told[t] = Scale(1.0, prior).updated(z).k

    def _scale_of(self, t: int, inverse: np.ndarray) -> Scale:
        """Match sigma of label ``t`` to its errors, whole crystals left out."""
        held = self._left_out(t, inverse)
        y = self._y[held.rows]
        if not vary(y):
            return self._unvaried(held.prediction, y).scale
        prior = Scale(1.0, self.recipe.calibration_prior)
        return prior.updated(z_scores(y, held.prediction))

    def _others(self, hashes: np.ndarray, t: int) -> np.ndarray:
        """Say of each crystal whether a label other than ``t`` was learnt, (m,)."""
        learnt = {row.tobytes() for row in self._hashes[self._output != t]}
        return np.array([row.tobytes() in learnt for row in hashes], dtype=bool)

    def _factors(self, crystals: Sequence[Crystal], t: int) -> np.ndarray:
        """Return the factor on each sigma of label ``t``, shape (m,)."""
        more = self._others(_hashed(crystals), t)
        value: np.ndarray = np.where(more, self._told[t], 1.0)
        return value


def _hashed(crystals: Sequence[Crystal]) -> np.ndarray:
    """Return structure hashes as bytes, shape (n, 32)."""
    joined = b"".join(bytes.fromhex(c.structure_hash) for c in crystals)
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)
