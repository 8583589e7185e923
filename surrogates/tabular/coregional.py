"""Several labels at once: a Gaussian process with an output for each.

The intrinsic coregionalisation model (Bonilla et al., NeurIPS 2007; Álvarez et al.,
Found. Trends Mach. Learn. 4, 195 (2012)): the covariance of label s of crystal a and
label t of crystal b is B[s, t] k(a, b), with B = r rᵀ + diag(1 - r²). Each label is
the target's function times its correlation plus one of its own, so an auxiliary label
can be a related property or a cheap fidelity; records need not have all labels.

New crystals are the harder task: a record left out keeps none of its labels. Those
whose other labels were learnt get a factor of their own on sigma, from the same records
with the one label left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import FitReport, Prediction, Progress, labelled, require_records
from surrogates.calibration import Scale, z_scores
from surrogates.featurizers.table import Standardizer
from surrogates.gp.exact import root
from surrogates.gp.kernels import distances, matern52
from surrogates.gp.low_rank import JOINT_LIMIT, chosen, low_rank
from surrogates.tabular.base import Tabular
from surrogates.tabular.calibrated import Held
from surrogates.tabular.recipes import CoregionalRecipe

_LEAST = 3
_TUNED_ON = 600  # observations that choose the hyperparameters
_BOUND = 0.999  # of a correlation: at 1 the matrix is singular without noise


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
        if len(set(names)) < len(names):
            raise SurrogateError(f"auxiliary: {target} is the target itself")
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
        self._tell()
        n = len(parts[0][0])
        return FitReport(n, n, time.perf_counter() - start, (), dict(self.metrics))

    @override
    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return the calibrated joint prediction, in the order of ``crystals``.

        Only labels that were learnt count, not those that the crystals bring: a cheap
        label of a candidate helps once its record was in the dataset.
        """
        found = super().predict(crystals)
        return found.scaled(self._factors(crystals, 0)) if crystals else found

    def predict_all(self, crystals: Sequence[Crystal]) -> dict[str, Prediction]:
        """Return label → prediction, each calibrated on its own errors left out."""
        self._require_fit()
        out = {self.target: self.predict(crystals)}
        if not crystals:
            return out | dict.fromkeys(self.recipe.auxiliary, out[self.target])
        x, inverse = self._features(crystals), self._inverse()
        for t, name in enumerate(self.recipe.auxiliary, start=1):
            held = self._left_out(t, inverse)
            z = z_scores(self._y[held.rows], held.prediction)
            scale = Scale(1.0, self.recipe.calibration_prior).updated(z)
            factors = scale.k * self._factors(crystals, t)
            out[name] = self.transform.back(self._of_output(x, t).scaled(factors))
        return out

    @property
    def correlations(self) -> Mapping[str, float]:
        """Auxiliary label → its correlation with the target at equal crystals."""
        return dict(zip(self.recipe.auxiliary, self._theta["r"][1:], strict=True))

    @override
    def _learn(self, x: np.ndarray, y: np.ndarray, progress: Progress | None) -> Held:
        rows = np.unique(np.linspace(0, len(y) - 1, _TUNED_ON).astype(int))
        self._standardise()
        z = self._standard_labels()
        self._theta = _chosen(self._x[rows], z[rows], self._output[rows])
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

    def _standardise(self) -> None:
        self._standard = Standardizer.of(self._raw)
        self._x = self._standard(self._raw)
        groups = [self._y[self._output == t] for t in range(self._output.max() + 1)]
        self._centre = np.array([g.mean() for g in groups])
        self._spread = np.array([g.std() or 1.0 for g in groups])

    def _standard_labels(self) -> np.ndarray:
        z: np.ndarray = (self._y - self._centre[self._output]) / self._spread[
            self._output
        ]
        return z

    def _condition(self) -> None:
        covariance = _covariance(self._x, self._output, self._theta)
        self._lower = cholesky(covariance, lower=True)
        self._alpha = cho_solve((self._lower, True), self._standard_labels())

    def _inverse(self) -> np.ndarray:
        """Return the inverse of the covariance of all labels, (n, n)."""
        value: np.ndarray = cho_solve((self._lower, True), np.eye(len(self._y)))
        return value

    def _left_out(self, t: int, inverse: np.ndarray, *, whole: bool = True) -> Held:
        """Predict each label ``t`` without it, or without all of its crystal.

        A group's errors are (K⁻¹ of its rows)⁻¹ α and their covariance is that inverse
        (compare :meth:`surrogates.gp.exact.ExactGP.leave_groups_out`).
        """
        rows = np.flatnonzero(self._output == t)
        _, crystal = np.unique(self._hashes, axis=0, return_inverse=True)
        errors, variances = np.zeros(len(rows)), np.zeros(len(rows))
        for at, row in enumerate(rows):
            same = np.flatnonzero(crystal == crystal[row]) if whole else np.array([row])
            own = np.linalg.inv(inverse[np.ix_(same, same)])[same == row][0]
            errors[at] = own @ self._alpha[same]
            variances[at] = own[same == row][0]
        mean = self._y[rows] - self._spread[t] * errors
        return Held(rows, Prediction.apart(mean, self._spread[t] * np.sqrt(variances)))

    def _tell(self) -> None:
        """Match sigma of crystals whose other labels were learnt to their errors."""
        inverse = self._inverse()
        for t in range(len(self._centre)):
            held = self._left_out(t, inverse, whole=False)
            if t == 0:
                found = self._calibrated(self._held_raw(held))
            else:
                whole = self._left_out(t, inverse)
                z = z_scores(self._y[whole.rows], whole.prediction)
                scale = Scale(1.0, self.recipe.calibration_prior).updated(z)
                found = held.prediction.scaled(scale.k)
            more = self._others(self._hashes[held.rows], t)
            z = z_scores(self._y[held.rows], found)[more]
            self._told[t] = Scale(1.0, self.recipe.calibration_prior).updated(z).k

    def _others(self, hashes: np.ndarray, t: int) -> np.ndarray:
        """Say of each crystal whether a label other than ``t`` was learnt, (m,)."""
        learnt = {row.tobytes() for row in self._hashes[self._output != t]}
        return np.array([row.tobytes() in learnt for row in hashes], dtype=bool)

    def _factors(self, crystals: Sequence[Crystal], t: int) -> np.ndarray:
        """Return the factor on each sigma of label ``t``, shape (m,)."""
        more = self._others(_hashed(crystals), t)
        value: np.ndarray = np.where(more, self._told[t], 1.0)
        return value

    def _of_output(self, x: np.ndarray, t: int) -> Prediction:
        at, theta, spread = self._standard(x), self._theta, self._spread[t]
        link = _links(theta["r"])[t, self._output]  # (n,)
        gap = distances(at, self._x) / float(theta["length"])
        cross = float(theta["signal"]) * matern52(gap) * link
        v = solve_triangular(self._lower, cross.T, lower=True)
        noise = spread * float(np.sqrt(theta["noise"][t]))
        mean = self._centre[t] + spread * (cross @ self._alpha)
        some = chosen(len(x), JOINT_LIMIT)  # all, up to the limit
        near = matern52(distances(at[some], at) / float(theta["length"]))
        shared = spread**2 * (float(theta["signal"]) * near - v[:, some].T @ v)
        if len(some) == len(x):
            residual = np.full(len(x), noise)
            return Prediction(mean, root(shared, spread**2), residual)
        left = np.maximum(float(theta["signal"]) - (v**2).sum(axis=0), 0.0)
        factors, own = low_rank(shared[:, some], shared, spread**2 * left, spread**2)
        return Prediction(mean, factors, np.sqrt(own + noise**2))


def _hashed(crystals: Sequence[Crystal]) -> np.ndarray:
    """Return structure hashes as bytes, shape (n, 32)."""
    joined = b"".join(bytes.fromhex(c.structure_hash) for c in crystals)
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)


def _links(r: np.ndarray) -> np.ndarray:
    """Return B, shape (outputs, outputs), with ones on its diagonal."""
    links = np.outer(r, r)
    np.fill_diagonal(links, 1.0)
    return links


def _covariance(
    x: np.ndarray, output: np.ndarray, theta: Mapping[str, np.ndarray]
) -> np.ndarray:
    links = _links(theta["r"])[np.ix_(output, output)]
    gap = distances(x, x) / float(theta["length"])
    covariance: np.ndarray = float(theta["signal"]) * links * matern52(gap)
    covariance[np.diag_indices_from(covariance)] += theta["noise"][output]
    return covariance


def _chosen(x: np.ndarray, z: np.ndarray, output: np.ndarray) -> dict[str, np.ndarray]:
    """Return length, signal, correlations and noises of greatest likelihood."""
    n = int(output.max()) + 1
    gap = distances(x, x)
    positive = gap[gap > 1e-9]
    unit = float(np.median(positive)) if len(positive) else 1.0

    def unpacked(theta: np.ndarray) -> dict[str, np.ndarray]:
        r = np.concatenate([[1.0], _BOUND * np.tanh(theta[2 : n + 1])])
        return {
            "length": unit * np.exp(theta[0]),
            "signal": np.exp(theta[1]),
            "r": r,
            "noise": np.exp(theta[n + 1 :]),
        }

    def loss(theta: np.ndarray) -> float:
        try:
            lower = cholesky(_covariance(x, output, unpacked(theta)), lower=True)
        except np.linalg.LinAlgError:
            return 1e10
        half = solve_triangular(lower, z, lower=True)
        return float(0.5 * half @ half + np.log(np.diag(lower)).sum())

    start = np.concatenate([[0.0, 0.0], np.full(n - 1, 0.8), np.full(n, -4.0)])
    bounds = [(-2.0, 3.0), (-4.0, 4.0), *[(-4.0, 4.0)] * (n - 1), *[(-11.0, 1.0)] * n]
    found = minimize(
        loss, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 30}
    )
    return unpacked(found.x)
