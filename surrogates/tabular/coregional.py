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
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.stats import t as student
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import FitReport, Prediction, Progress, labelled, require_records
from surrogates.calibration import Scale, z_scores
from surrogates.calibration.chemistry import anions
from surrogates.featurizers.table import Standardizer
from surrogates.gp.exact import root
from surrogates.gp.intrinsic import MEAN, choose, covariance, left_out, links
from surrogates.gp.kernels import distances, matern52
from surrogates.gp.low_rank import JOINT_LIMIT, chosen, low_rank
from surrogates.spread import spread, vary
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held, unvaried
from surrogates.tabular.recipes import CoregionalRecipe
from surrogates.tabular.transforms import NINETY

_LEAST = 3
_TUNED_ON = 600  # observations that choose the hyperparameters


class Coregional(Tabular[CoregionalRecipe]):
    """See the module; made by :class:`~surrogates.tabular.CoregionalRecipe`."""

    _output: np.ndarray  # which label each observation is of, (n,); 0 is the target
    _hashes: np.ndarray  # of the crystal of each observation, (n, 32) bytes
    _told: dict[int, float]  # label → factor on sigma where another label was learnt

    @override
    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Learn ``target`` and the auxiliary labels; the target's are judged."""
        start = time.perf_counter()
        names = (target, *self.recipe.auxiliary)
        for at, name in enumerate(names):
            if name in names[:at]:
                what = "the target itself" if name == target else "named twice"
                raise SurrogateError(f"auxiliary: {name} is {what}")
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
        x, inverse = self._features(crystals), self._inverse()
        out = {self.target: self._predicted(crystals, x)}
        for t, name in enumerate(self.recipe.auxiliary, start=1):
            factors = self._scale_of(t, inverse).k * self._factors(crystals, t)
            found = self._of_output(x, t).scaled(factors * _few(self._counts[t]))
            out[name] = self.transform.back(found)
        return out

    def _predicted(self, crystals: Sequence[Crystal], x: np.ndarray) -> Prediction:
        found = self._finished(self._answer(x), crystals)
        return found.scaled(self._factors(crystals, 0))

    @property
    @override
    def averaging(self) -> float:
        """How much wider than errors left out says an interval from few of them is."""
        return _few(self._counts[0])

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
        r = self._theta["r"]
        return dict(zip(self.recipe.auxiliary, r[0] * r[1:], strict=True))

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        rows = np.unique(np.linspace(0, len(y) - 1, _TUNED_ON).astype(int))
        self._standardise()
        z = self._standard_labels()
        self._theta = choose(self._x[rows], z[rows], self._output[rows])
        self._condition()
        self._told = {}
        return self._left_out(0, self._inverse())

    @override
    def _answer(self, x: np.ndarray) -> Prediction:
        return self._of_output(x, 0)

    @override
    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        theta = {k: np.asarray(v).tolist() for k, v in self._theta.items()}
        told = [self._told.get(t, 1.0) for t in range(len(self._centre))]
        arrays = {"output": self._output, "hashes": self._hashes}
        return {"theta": theta, "told": told}, arrays

    @override
    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self._output, self._hashes = arrays["output"], arrays["hashes"]
        self._told = dict(enumerate(state["told"]))
        self._theta = {k: np.asarray(v) for k, v in state["theta"].items()}
        self._standardise()
        self._condition()

    @override
    def _words(self) -> dict[str, str]:
        text = {
            "surrogate": f"gaussian process on {self.recipe.features} features with "
            f"auxiliary labels {', '.join(self.recipe.auxiliary)}"
        }
        if self._ready:
            pairs = self.correlations.items()
            text["correlations"] = ", ".join(f"{k} {v:.3f}" for k, v in pairs)
            text["uncertainty_with_other_labels"] = (
                f"times {self._told.get(0, 1.0):.2f}"
            )
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

    def _standardise(self) -> None:
        self._standard = Standardizer.of(self._raw)
        self._x = self._standard(self._raw)
        groups = [self._y[self._output == t] for t in range(self._output.max() + 1)]
        self._centre = np.array([g.mean() for g in groups])
        self._spread = np.array([spread(g) for g in groups])

    def _standard_labels(self) -> np.ndarray:
        z = np.zeros(len(self._y))
        for t, spread_of in enumerate(self._spread):
            rows = self._output == t
            if vary(self._y[rows]):
                z[rows] = (self._y[rows] - self._centre[t]) / spread_of
        return z

    def _condition(self) -> None:
        whole = covariance(self._x, self._output, self._theta)
        self._lower = cholesky(whole, lower=True, overwrite_a=True)
        self._alpha = cho_solve((self._lower, True), self._standard_labels())

    def _inverse(self) -> np.ndarray:
        """Return the inverse of the covariance of all labels, (n, n)."""
        value: np.ndarray = cho_solve((self._lower, True), np.eye(len(self._y)))
        return value

    def _left_out(self, t: int, inverse: np.ndarray, *, whole: bool = True) -> Held:
        """Predict each label ``t`` without it, or without all of its crystal."""
        rows = np.flatnonzero(self._output == t)
        _, crystal = np.unique(self._hashes, axis=0, return_inverse=True)
        left = [
            np.flatnonzero(crystal == crystal[row]) if whole else np.array([row])
            for row in rows
        ]
        return Held(rows, self._with_out(t, inverse, left, list(rows[:, None])))

    @override
    def _without(self, groups: Sequence[np.ndarray]) -> Prediction:
        _, crystal = np.unique(self._hashes, axis=0, return_inverse=True)
        left = [np.flatnonzero(np.isin(crystal, crystal[rows])) for rows in groups]
        return self._with_out(0, self._inverse(), left, groups)

    def _with_out(
        self,
        t: int,
        inverse: np.ndarray,
        left: Sequence[np.ndarray],
        asked: Sequence[np.ndarray],
    ) -> Prediction:
        """Predict labels ``t``, ``asked`` rows of each set of rows ``left`` out."""
        parts = [
            left_out(inverse, self._alpha, out, np.searchsorted(out, rows))
            for out, rows in zip(left, asked, strict=True)
        ]
        errors, std = (np.concatenate(part) for part in zip(*parts, strict=True))
        mean = self._y[np.concatenate(asked)] - self._spread[t] * errors
        return Prediction.apart(mean, self._spread[t] * std)

    def _tell(self) -> None:
        """Match sigma of crystals whose other labels were learnt to their errors."""
        inverse = self._inverse()
        for t in range(len(self._centre)):
            held = self._left_out(t, inverse, whole=False)
            if t == 0:
                found = self.steps.left_out(held.prediction)
            else:
                found = held.prediction.scaled(self._scale_of(t, inverse).k)
            if not vary(self._y[held.rows]):
                continue  # there are no errors
            more = self._others(self._hashes[held.rows], t)
            z = z_scores(self._y[held.rows], found)[more]
            self._told[t] = Scale(1.0, self.recipe.calibration_prior).updated(z).k

    def _scale_of(self, t: int, inverse: np.ndarray) -> Scale:
        """Match sigma of label ``t`` to its errors, whole crystals left out."""
        held, prior = self._left_out(t, inverse), self.recipe.calibration_prior
        y = self._y[held.rows]
        if not vary(y):
            unit = 1.0 if self.recipe.transform == "log" else spread(y)
            return unvaried(held.prediction, unit, prior, len(y))
        return Scale(1.0, prior).updated(z_scores(y, held.prediction))

    def _others(self, hashes: np.ndarray, t: int) -> np.ndarray:
        """Say of each crystal whether a label other than ``t`` was learnt, (m,)."""
        learnt = {row.tobytes() for row in self._hashes[self._output != t]}
        return np.array([row.tobytes() in learnt for row in hashes], dtype=bool)

    def _factors(self, crystals: Sequence[Crystal], t: int) -> np.ndarray:
        """Return the factor on each sigma of label ``t``, shape (m,)."""
        more = self._others(_hashed(crystals), t)
        value: np.ndarray = np.where(more, self._told.get(t, 1.0), 1.0)
        return value

    def _of_output(self, x: np.ndarray, t: int) -> Prediction:
        at, theta, spread = self._standard(x), self._theta, self._spread[t]
        same = (self._output == t).astype(float)  # (n,)
        link = links(theta)[t]  # (outputs,)
        gap = distances(at, self._x) / float(theta["length"])
        cross = matern52(gap) * link[self._output] + MEAN * same
        v = solve_triangular(self._lower, cross.T, lower=True)
        noise = spread * float(np.sqrt(theta["noise"][t]))
        mean = self._centre[t] + spread * (cross @ self._alpha)
        some = chosen(len(x), JOINT_LIMIT)  # all, up to the limit
        near = matern52(distances(at[some], at) / float(theta["length"]))
        shared = spread**2 * (link[t] * near + MEAN - v[:, some].T @ v)
        unit = spread**2 * float(link[t])
        if len(some) == len(x):
            residual = np.full(len(x), noise)
            return Prediction(mean, root(shared, unit), residual)
        left = np.maximum(link[t] + MEAN - (v**2).sum(axis=0), 0.0)
        factors, own = low_rank(shared[:, some], shared, spread**2 * left, unit)
        return Prediction(mean, factors, np.sqrt(own + noise**2))


def _few(n: int) -> float:
    """Return the 90 % interval by n errors over that by endless ones (Student's t).

    >>> round(_few(12), 2), round(_few(100), 2)
    (1.08, 1.01)
    """
    return float(student.ppf(0.95, n) / NINETY)


def _hashed(crystals: Sequence[Crystal]) -> np.ndarray:
    """Return structure hashes as bytes, shape (n, 32)."""
    joined = b"".join(bytes.fromhex(c.structure_hash) for c in crystals)
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)
