"""Out of distribution: leave a kind of material out, predict it, compare.

A random split flatters: materials resemble each other. What is left out here is an
element, a periodic group, chemical systems, prototypes, clusters of features, the
extremes of the target, or the newest records. Protocols after Meredig et al., Mol.
Syst. Des. Eng. 3, 819 (2018) (leave one cluster out) and Omee et al., npj Comput.
Mater. 10, 144 (2024).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import lru_cache

import numpy as np
from sklearn.metrics import roc_auc_score

from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.data.splits import SplitRecipe, prototype
from matdisco.errors import DataError
from surrogates import metrics
from surrogates.assessment.result import Section
from surrogates.assessment.subject import Guess
from surrogates.assessment.suite import Axis
from surrogates.assessment.trial import Trial

_SHARES = (0.05, 0.35)
"""Least and greatest share of the records that one left-out element or group may have:
less is noise, more leaves too little to learn from."""
_SLICE = 20  # records below which the error of a slice is not compared
_MEREDIG = "Meredig et al., Mol. Syst. Des. Eng. 3, 819 (2018)"
_OMEE = "Omee et al., npj Comput. Mater. 10, 144 (2024)"


def measure(trial: Trial, section: Section) -> None:
    """Fill the section."""
    if trial.can_refit:
        _leave_out(trial, section)
    else:
        section.skip("leave out", "the subject cannot be fitted here")
    _unseen(trial, section)
    _slices(trial, section)


def _leave_out(trial: Trial, section: Section) -> None:
    """Refit without each kind of material; compare with a random split."""
    assert trial.dataset is not None
    n, share = len(trial.y), trial.suite.test_fraction
    order = trial.generator(3).permutation(n)
    test = np.sort(order[: round(share * n)])
    base = _judged(trial, np.setdiff1d(np.arange(n), test), test)
    if base is None:
        section.skip("leave out", "no answers in the random split")
        return
    table = []
    outs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for axis in trial.suite.axes:
        try:
            out, what = left_out(trial, axis)
        except DataError as error:
            section.skip(axis, str(error))
            continue
        found = _judged(trial, np.setdiff1d(np.arange(n), out), out)
        if found is None:
            section.skip(axis, "no answers for what was left out")
            continue
        drop = found["mae"] / max(base["mae"], 1e-12)
        section.add(
            f"drop_{axis}", drop,
            f"error on {what}, over that of a random split", source=_OMEE,
        )  # fmt: skip
        row = {"axis": axis, "left_out": what, "records": len(out), **found}
        if "sigma" in found and "sigma" in base:
            row["noticed"] = found["sigma"] / base["sigma"]
        table.append({**row, "drop": drop})
        outs.append((found.pop("error"), found.pop("std"), np.ones(len(out))))
        row.pop("error"), row.pop("std")
        table[-1].pop("error", None), table[-1].pop("std", None)
    section.series["random_mae"] = base["mae"]
    section.series["left_out"] = table
    noticed = [float(r["coverage_90"]) for r in table if "coverage_90" in r]
    if not noticed:
        section.skip("sigma out of distribution", "no standard deviation")
        return
    section.add(
        "coverage_90_out",
        float(np.mean(noticed)),
        "mean share inside the 90 % interval on what was left out",
        source=_OMEE,
    )
    known = base["std"]
    auc = [
        float(roc_auc_score(np.r_[np.zeros(len(known)), one], np.r_[known, s]))
        for _, s, one in outs if len(s)
    ]  # fmt: skip
    section.add(
        "novelty_auc",
        float(np.mean(auc)),
        "how well sigma tells left-out from ordinary records (0.5: not at all)",
        source="Hendrycks and Gimpel, ICLR 2017 (arXiv:1610.02136)",
    )


def _judged(trial: Trial, train: np.ndarray, test: np.ndarray) -> dict | None:  # type: ignore[type-arg]
    guess = trial.predicted(trial.fitted_on(train), test)
    good = np.isfinite(guess.mean)
    if guess.std is not None:
        good &= np.isfinite(guess.std) & (guess.std > 0)
    if not good.any():
        return None
    y, mean = trial.y[test][good], guess.mean[good]
    out: dict[str, object] = {"mae": metrics.mae(y, mean), "error": np.abs(y - mean)}
    out["std"] = np.zeros(0)
    if guess.std is not None:
        std = guess.std[good]
        out |= {
            "coverage_90": metrics.coverage(y, mean, std),
            "sigma": metrics.sharpness(std),
            "std": std,
        }
    return out


def left_out(trial: Trial, axis: Axis) -> tuple[np.ndarray, str]:
    """Choose the rows to leave out, and say what they are.

    Raises:
        DataError: the dataset has nothing of that kind, or too little else.
    """
    data = trial.dataset
    assert data is not None
    if axis == "extremes":
        n = max(1, round(trial.suite.test_fraction * len(trial.y)))
        high = trial.quantity.better == "high"
        order = np.argsort(-trial.y if high else trial.y, kind="stable")
        side = "highest" if high else "lowest"
        return np.sort(order[:n]), f"the {side} {n} values"
    if axis in ("element", "group"):
        return _by_species(data, axis)
    share = trial.suite.test_fraction
    recipe = SplitRecipe(
        kind=axis,
        parts={"train": 1 - share, "test": share},
        guard=None,
        seed=trial.suite.seed,
    )
    rows = recipe.build(data)["test"]
    if not 0 < len(rows) < len(data):
        raise DataError(f"one {axis.replace('_', ' ')} holds (nearly) all records")
    words = {
        "chemical_system": "unseen chemical systems",
        "prototype": "unseen prototypes",
        "cluster": "unseen clusters of compositions",
        "time": "the newest records",
    }
    return rows, words[axis]


def _by_species(data: Dataset, axis: str) -> tuple[np.ndarray, str]:
    """Leave out the element or group whose share is nearest to 15 %."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, crystal in enumerate(data):
        names = crystal.elements if axis == "element" else _groups(crystal)
        for name in set(names):
            members[name].append(i)
    share = {k: len(v) / len(data) for k, v in members.items()}
    fit = {k: v for k, v in share.items() if _SHARES[0] <= v <= _SHARES[1]}
    if not fit:
        raise DataError(
            f"no {axis} is in {_SHARES[0]:.0%} to {_SHARES[1]:.0%} of the records"
        )
    chosen = min(sorted(fit), key=lambda k: abs(fit[k] - 0.15))
    what = f"all records with {chosen}" if axis == "element" else f"all with {chosen}"
    return np.array(members[chosen]), what


def _groups(crystal: Crystal) -> list[str]:
    return [_group(e) for e in crystal.elements]


@lru_cache(maxsize=128)
def _group(symbol: str) -> str:
    from pymatgen.core import Element

    element = Element(symbol)
    if element.is_lanthanoid or element.is_actinoid:
        return "lanthanides" if element.is_lanthanoid else "actinides"
    return f"group {element.group}"


def _unseen(trial: Trial, section: Section) -> None:
    """Compare test records whose chemistry the training data hold, and the others."""
    if trial.training is None or trial.dataset is None or not trial.fixed:
        section.skip("unseen", "the training data were not given (--trained-on)")
        return
    known = {c.chemical_system for c in trial.training}
    fresh = np.array([c.chemical_system not in known for c in trial.dataset])
    fresh = fresh[trial.rows]
    if min(fresh.sum(), (~fresh).sum()) < _SLICE:
        section.skip(
            "unseen",
            f"{int(fresh.sum())} of {len(fresh)} test records are of "
            "unseen chemical systems: too one-sided to compare",
        )
        return
    error = np.abs(trial.truth - trial.mean)
    section.add(
        "drop_unseen",
        float(error[fresh].mean() / error[~fresh].mean()),
        f"error on {int(fresh.sum())} records of unseen chemical systems over "
        "that on seen ones",
        source=_MEREDIG,
    )


def _slices(trial: Trial, section: Section) -> None:
    """Compare errors element by element (and prototype by prototype)."""
    if trial.formulas is None:
        section.skip("slices", "no formulas")
        return
    from pymatgen.core import Composition

    error = np.abs(trial.truth - trial.mean)
    members: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(trial.rows):
        for element in Composition(trial.formulas[int(row)]).elements:
            members[f"element {element.symbol}"].append(i)
    if trial.dataset is not None:
        kinds = [prototype(trial.dataset[int(r)]) for r in trial.rows]
        frequent = Counter(kinds)
        for i, kind in enumerate(kinds):
            if frequent[kind] >= _SLICE:
                members[f"prototype {kind}"].append(i)
    whole = float(error.mean())
    guess = Guess(trial.mean, trial.std)
    table = [
        {
            "slice": name,
            "records": len(rows),
            "mae": float(error[rows].mean()),
            "sigma": None if guess.std is None else metrics.sharpness(guess.std[rows]),
        }
        for name, rows in sorted(members.items())
        if _SLICE <= len(rows) < 0.8 * len(error)
    ]
    section.series["slices"] = table
    if not table:
        section.skip("slices", f"no element or prototype with {_SLICE} records")
        return
    last = max(table, key=lambda row: float(str(row["mae"])))
    section.add(
        "worst_slice",
        float(str(last["mae"])) / max(whole, 1e-12),
        f"error of the worst slice ({last['slice']}, {last['records']} records) "
        "over that of all",
        source=_OMEE,
    )
