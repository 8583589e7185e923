"""What a surrogate is: fit on a dataset, predict crystals with joint uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from typing_extensions import override

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError, TooFewRecords

HistoryRow = Mapping[str, float | str]
"""One line of a training history: stage, epoch, losses."""
Progress = Callable[[HistoryRow], None]
"""Called with every history row while training goes on."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Joint Gaussian prediction for n crystals, in the unit of the target.

    The covariance is ``factors.T @ factors + diag(residual**2)``: what candidates
    share (members of an ensemble, a kernel) is in ``factors``, what is their own
    (noise, misfit) is in ``residual``. ``std`` is the root of its diagonal.
    """

    mean: np.ndarray
    """Expected value of each crystal, shape (n,)."""
    factors: np.ndarray
    """Square root of the shared covariance, shape (r, n); r may be 0."""
    residual: np.ndarray
    """Standard deviation that each crystal has for itself, shape (n,)."""
    std: np.ndarray = field(init=False)
    """Total standard deviation, shape (n,)."""

    def __post_init__(self) -> None:
        n = len(self.mean)
        if self.factors.shape[1:] != (n,) or self.residual.shape != (n,):
            raise SurrogateError(
                f"Expected factors (r, {n}) and residual ({n},) for {n} means "
                f"(got {self.factors.shape} and {self.residual.shape})"
            )
        if not all(
            np.isfinite(a).all() for a in (self.mean, self.factors, self.residual)
        ):
            raise SurrogateError("a prediction holds NaN or infinity; fit again")
        variance = (self.factors**2).sum(axis=0) + self.residual**2
        object.__setattr__(self, "std", np.sqrt(variance))

    @classmethod
    def apart(cls, mean: np.ndarray, std: np.ndarray) -> Prediction:
        """Return a prediction whose crystals share nothing, both shapes (n,)."""
        return cls(mean, np.zeros((0, len(mean))), std)

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> np.ndarray:
        """The dense covariance, shape (n, n); for small n."""
        dense: np.ndarray = self.factors.T @ self.factors
        return dense + np.diag(self.residual**2)

    def deviations(
        self, rng: np.random.Generator, draws: int | None = None
    ) -> np.ndarray:
        """Return joint draws less the means, shape (n,) or (draws, n).

        What is shared is drawn before what each crystal has for itself.
        """
        size = () if draws is None else (draws,)
        shared = rng.standard_normal((*size, len(self.factors))) @ self.factors
        own = self.residual * rng.standard_normal((*size, len(self)))
        return np.asarray(shared + own)

    def scaled(self, k: float | np.ndarray) -> Prediction:
        """Return the same means with standard deviations times ``k``, one or (n,)."""
        return Prediction(self.mean, k * self.factors, k * self.residual)

    def take(self, rows: Sequence[int] | np.ndarray) -> Prediction:
        """Return the joint prediction of the crystals at ``rows``."""
        at = np.asarray(rows, dtype=np.int64)
        return Prediction(self.mean[at], self.factors[:, at], self.residual[at])

    def given(self, rows: Sequence[int] | np.ndarray) -> Prediction:
        """Return the prediction as if the answers of ``rows`` were their means.

        Means stay, shared uncertainty shrinks: the belief to choose with while those
        answers are awaited (T. Desautels et al., J. Mach. Learn. Res. 15, 3873
        (2014)). Each row is one exact rank-one update of the factors:
        ``I - v v^T / s`` with ``s = |v|^2 + residual^2`` has the symmetric square root
        ``I - (1 - residual / sqrt(s)) u u^T``, ``u = v / |v|``.
        """
        factors = self.factors
        for row in rows:
            v = factors[:, row]
            shared = float(v @ v)
            if shared < 1e-24:
                continue
            u = v / np.sqrt(shared)
            left = self.residual[row] / np.sqrt(shared + self.residual[row] ** 2)
            factors = factors - (1.0 - left) * np.outer(u, u @ factors)
        return Prediction(self.mean, factors, self.residual)


@dataclass(frozen=True)
class FitReport:
    """What one fit did, and how good it was on data that it did not see."""

    n_train: int
    """Records that changed the weights (replayed ones not counted)."""
    n_held_out: int
    """Records that only judged: no weight saw them."""
    seconds: float
    """Wall time of the fit, s."""
    history: tuple[HistoryRow, ...] = ()
    """One row per epoch."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Metrics on the held-out records (:func:`surrogates.metrics.evaluate`)."""

    @override
    def __str__(self) -> str:
        text = f"{self.n_train} records learnt in {self.seconds:.1f} s"
        if self.metrics:
            shown = ", ".join(f"{k} {v:.3g}" for k, v in self.metrics.items())
            text += f"; on {self.n_held_out} held-out records: {shown}"
        return text


@runtime_checkable
class Surrogate(Protocol):
    """Anything that learns a property from crystals and says how sure it is."""

    def fit(
        self, dataset: Dataset, target: str, *, progress: Progress | None = None
    ) -> FitReport:
        """Learn ``target`` from the labelled records of ``dataset``.

        Raises:
            SurrogateError: nothing to learn from, or a record cannot be used.
        """
        ...

    def predict(self, crystals: Sequence[Crystal]) -> Prediction:
        """Return the joint prediction, in the order of ``crystals``."""
        ...

    def save(self, folder: Path) -> None:
        """Write a checkpoint folder that :func:`surrogates.load` reads."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Return name → text for cards and MLflow tags."""
        ...


def labelled(dataset: Dataset, target: str) -> tuple[Dataset, np.ndarray]:
    """Return the records that have a label ``target``, and its values (n,).

    Records without the label are left out; a label that is not a number is an error.

    Raises:
        SurrogateError: a label is NaN or infinite; the sentence names the crystal.
    """
    rows = [i for i, c in enumerate(dataset.crystals) if target in c.labels]
    kept = dataset if len(rows) == len(dataset) else dataset.take(rows)
    values = kept.values(target).astype(float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise SurrogateError(
            f"crystal {kept[int(bad[0])].id}: label {target} is {values[bad[0]]}; "
            "a surrogate needs finite labels (curate the dataset first)"
        )
    return kept, values


def require_records(n: int, least: int, target: str, name: str) -> None:
    """Refuse to fit on too little.

    Raises:
        TooFewRecords: fewer than ``least`` labelled records.
    """
    if n < least:
        raise TooFewRecords(
            f"dataset {name}: {n} record{'s' * (n != 1)} with label {target}, "
            f"expected at least {least} to fit this surrogate"
        )
