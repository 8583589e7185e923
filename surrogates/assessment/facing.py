"""Let a subject predict a dataset: which records, which scale, which protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.errors import DataError, SurrogateError
from matdisco.properties import same_dimension
from surrogates.assessment.predictions import WBM_ENERGY, Table
from surrogates.assessment.subject import Guess, Subject, answered, predict_each
from surrogates.assessment.suite import SuiteRecipe
from surrogates.assessment.trial import Trial

_LEAST = 20
"""Test records below which no statistic of the battery means anything."""
_KEYS = {WBM_ENERGY: "formation_energy_per_atom"}
"""Names of true values in tables of others, and what they are here."""
_ALONE = 0.5
"""Leverage from which a record decides a reference energy mostly by itself."""


def face(
    suite: SuiteRecipe,
    subject: Subject,
    dataset: Dataset | None,
    *,
    table: Table | None = None,
    target: str | None = None,
    training: Dataset | None = None,
    pool: Dataset | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Trial:
    """Let the subject predict the dataset.

    Args:
        suite: the battery.
        subject: who.
        dataset: labelled test records; may be None for a table with its own truth.
        table: the predictions, where the subject is a table.
        target: label key; the subject's own when not given.
        training: what the subject learned from.
        pool: candidates it is to choose from.
        tell: called with a line before slow steps.

    Raises:
        DataError: no such label, too few records, ids that do not match.
        SurrogateError: the subject cannot predict this target.
    """
    if table is not None and (dataset is None or table.target is not None):
        return _from_table(suite, subject, table, dataset, target, training, pool)
    if dataset is None:
        raise DataError("a dataset is needed: only a predictions table may carry truth")
    chosen = target or subject.target or _only(dataset)
    key = _served(subject, chosen, dataset)
    labelled = _labelled(dataset, key)
    tell(f"predicting {len(labelled)} records")
    nothing = Guess(np.full(len(labelled), np.nan), None)
    base = Trial(
        suite, subject, key, labelled.ids, labelled.values(key).astype(float), nothing,
        "", labelled, tuple(c.formula for c in labelled), None,
        _above_hull(labelled, key), training, pool,
    )  # fmt: skip
    if subject.kind == "potential":
        return _aligned(base, labelled)
    if subject.predict is None:
        if subject.refit is None:
            raise SurrogateError(
                f"{subject.name}: not fitted, and cannot be fitted here"
            )
        return replace(
            base,
            guess=base.out_of_fold,
            protocol="fitted here: five-fold out-of-fold predictions, at most "
            f"{suite.refit_records} training records each",
            predict=base.fitted_on(np.arange(len(labelled))),
            fixed=False,
        )
    guess = predict_each(subject.predict, labelled.crystals)
    if not answered(guess).any():
        subject.predict(labelled.crystals[:1])  # let its own error say why
        raise SurrogateError(f"{subject.name}: no finite prediction for any record")
    return replace(
        base, guess=guess, protocol="predicted as delivered", predict=subject.predict
    )


def _from_table(
    suite: SuiteRecipe,
    subject: Subject,
    table: Table,
    dataset: Dataset | None,
    target: str | None,
    training: Dataset | None,
    pool: Dataset | None,
) -> Trial:
    """Take the truth from the table itself; structures from the dataset by id."""
    if table.target is None:
        raise DataError(
            f"{table.path}: no column of true values (target, true, y_true); give the "
            "dataset that holds them, or a table (--truth)"
        )
    y, ids = table.target, table.ids
    keep = np.flatnonzero(np.isfinite(y))
    known = None
    if dataset is not None:
        row = {name: i for i, name in enumerate(dataset.ids)}
        missing = [i for i in keep if ids[i] not in row]
        if len(missing) == len(keep):
            raise DataError(
                f"{table.path}: none of its ids (such as {ids[0]!r}) is in dataset "
                f"{dataset.name} (such as {dataset.ids[0]!r})"
            )
        keep = np.array([i for i in keep if ids[i] in row], dtype=int)
        known = dataset.take([row[ids[i]] for i in keep])
    _enough(len(keep), str(table.path))
    formulas = (
        tuple(c.formula for c in known)
        if known is not None
        else None if table.formula is None
        else tuple(table.formula[i] for i in keep)
    )  # fmt: skip
    return Trial(
        suite, subject, target or _KEYS.get(table.truth or "", table.truth) or "target",
        tuple(ids[i] for i in keep), y[keep],
        table.guess.take(keep), "predictions as given, truth from the same table",
        known, formulas, None if table.fold is None else table.fold[keep],
        None if table.hull is None else table.hull[keep], training, pool,
        unique=None if table.unique is None else table.unique[keep],
        decimals=table.decimals,
    )  # fmt: skip


def _aligned(base: Trial, data: Dataset) -> Trial:
    """Judge each record of a potential with references fitted on all the others.

    Energies of different codes differ by a constant per element. These are a linear
    least-squares fit; the prediction for a record leaves that record out, which has the
    closed form residual / (1 - leverage) (Allen, Technometrics 16, 125 (1974)). Records
    that decide an element's reference by themselves do not judge.
    """
    from matdisco.thermo import fractions

    ask = base.subject.predict
    assert ask is not None
    unit = data[0].labels[base.target].unit
    if not same_dimension(unit, "eV/atom"):
        raise SurrogateError(
            f"{base.subject.name} is a potential and predicts energies per atom; "
            f"target {base.target} is in {unit or 'no unit'}"
        )
    raw = predict_each(ask, data.crystals)
    good = np.isfinite(raw.mean)
    if good.sum() < 2 * _LEAST:
        ask(data.crystals[:1])
        raise SurrogateError(
            f"{base.subject.name}: answers {int(good.sum())} of {len(data)} records, "
            f"expected at least {2 * _LEAST}"
        )
    x = fractions([c.composition.remove_charges() for c in data], data.elements)
    difference = np.where(good, base.y - raw.mean, 0.0)
    gram = x[good].T @ x[good] + 1e-6 * np.eye(x.shape[1])  # ridge: unseen elements
    shift = np.linalg.solve(gram, x[good].T @ difference[good])
    leverage = np.einsum("ij,ji->i", x, np.linalg.solve(gram, x.T))
    judged = np.flatnonzero(~good | (leverage < _ALONE))
    left_out = (difference - x @ shift) / (1 - np.minimum(leverage, _ALONE))
    guess = np.where(good, base.y - left_out, np.nan)
    offset = {e: shift[i] for i, e in enumerate(data.elements)}

    def predict(crystals: Sequence[Crystal]) -> Guess:
        added = [
            sum(
                float(n) * offset.get(e.symbol, 0.0)
                for e, n in c.composition.fractional_composition.items()
            )
            for c in crystals
        ]
        return Guess(ask(crystals).mean + np.array(added), None)

    part, hull = data.take(judged), base.each_true
    return replace(
        base,
        ids=part.ids,
        y=base.y[judged],
        guess=Guess(guess[judged], None),
        protocol="single points on the structures as given; one reference energy per "
        f"element fitted on the other {int(good.sum()) - 1} records",
        dataset=part,
        formulas=tuple(c.formula for c in part),
        each_true=None if hull is None else hull[judged],
        predict=predict,
    )


def _above_hull(data: Dataset, key: str) -> np.ndarray | None:
    """Return true energies above hull, where labels say them and the target fits."""
    if key == "energy_above_hull":
        return data.values(key).astype(float)
    energies = ("formation_energy_per_atom", "energy_per_atom")
    if key in energies and "energy_above_hull" in data.properties:
        values = data.values("energy_above_hull").astype(float)
        return values if np.isfinite(values).all() else None
    return None


def _served(subject: Subject, key: str, dataset: Dataset) -> str:
    if key not in dataset.properties:
        raise DataError(
            f"dataset {dataset.name}: no label {key!r}; it has "
            f"{', '.join(dataset.properties) or 'none'} (choose with --target)"
        )
    return key


def _labelled(dataset: Dataset, key: str) -> Dataset:
    rows = np.flatnonzero(np.isfinite(dataset.values(key).astype(float)))
    _enough(len(rows), f"dataset {dataset.name}, label {key}")
    return dataset if len(rows) == len(dataset) else dataset.take(rows)


def _enough(n: int, what: str) -> None:
    if n < _LEAST:
        raise DataError(f"{what}: {n} labelled records, expected at least {_LEAST}")


def _only(dataset: Dataset) -> str:
    keys: Sequence[str] = dataset.properties
    if len(keys) == 1:
        return keys[0]
    raise DataError(
        f"dataset {dataset.name} has the labels {', '.join(keys) or 'none'}; choose "
        "one with --target"
    )
