"""Wider sigmas for chemistry that the training set lacks.

Leaving out one record at a time shows how a surrogate errs among its like, and says
nothing of an element that it never met. Here each element, and each mixture of anions,
is left out of the training records in turn, and what its 90 % interval would then have
needed is known. That differs from one chemistry to the next: the factor for a new
element serves it with 95 %, as conformal prediction for groups has it (R. Dunn,
L. Wasserman and A. Ramdas, J. Am. Stat. Assoc. 118, 2491 (2023)). The usual mixtures of
anions need more than elements, and rare ones, of which there may be many, do not tell
of them: a new mixture is to be served with 99 % as if it were any of these chemistries.

What it does on 18,928 perovskites is in docs/surrogates.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import ndtri

from matdisco.crystal import Crystal
from surrogates.base import Prediction
from surrogates.calibration.chemistry import anions
from surrogates.calibration.conformal import conformal_quantile
from surrogates.calibration.scale import z_scores

_SERVED = 0.95  # share of new elements whose interval is to be wide enough
_SERVED_MIXTURES = 0.99  # with less than 99 chemistries that is the worst of them
_LEAST_GROUPS = 10  # below, even the worst of them says little of the next
_LEAST_RECORDS = 5  # in a group, for the 90th percentile of its errors
_MOST = 0.5  # of all records in one group: what is left would be another data set


@dataclass(frozen=True)
class UnseenChemistry:
    """The factor on sigma, and which chemistry was seen."""

    elements: frozenset[str]
    """Symbols that the training records hold."""
    anion_sets: frozenset[str]
    """Their anions, as :func:`~surrogates.calibration.chemistry.anions` writes them."""
    factor: float
    """On the standard deviation of a crystal with another element; at least 1."""
    mixture_factor: float
    """On that of one with another set of anions; at least 1."""
    groups: int
    """Chemistries that were left out in turn."""

    @classmethod
    def fit(
        cls,
        crystals: Sequence[Crystal],
        y: np.ndarray,
        without: Callable[[Sequence[np.ndarray]], Prediction | None],
    ) -> Self | None:
        """Leave out every element and anion set; None where that says nothing.

        Args:
            crystals: the training records.
            y: their labels, shape (n,).
            without: rows of each group → calibrated predictions of the records of all
                groups, one after the other, each group by a surrogate that learnt the
                others alone; None where the kind cannot.
        """
        sets = [_anions(c) for c in crystals]
        every = sorted({e for c in crystals for e in c.elements})
        held = [np.array([e in c.elements for c in crystals]) for e in every]
        made = [np.array([s == a for s in sets]) for a in sorted(set(sets))]
        held_groups, made_groups = (
            [
                np.flatnonzero(m)
                for m in members
                if _LEAST_RECORDS <= m.sum() <= _MOST * len(crystals)
            ]
            for members in (held, made)
        )
        groups = held_groups + made_groups
        left = without(groups) if len(groups) >= _LEAST_GROUPS else None
        if left is None:
            return None
        z = z_scores(y[np.concatenate(groups)], left)
        ends = np.cumsum([len(rows) for rows in groups])[:-1]
        needed = np.array(
            [np.quantile(np.abs(part), 0.9) / ndtri(0.95) for part in np.split(z, ends)]
        )
        worst = float(needed.max())
        parts = (needed[: len(held_groups)], _SERVED), (needed, _SERVED_MIXTURES)
        element, mixture = (
            max(1.0, conformal_quantile(part, share) or worst) for part, share in parts
        )
        return cls(frozenset(every), frozenset(sets), element, mixture, len(groups))

    def factors(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Return the factor on each standard deviation, shape (n,); 1 where seen."""
        element = [not self.elements.issuperset(c.elements) for c in crystals]
        mixture = [_anions(c) not in self.anion_sets for c in crystals]
        value: np.ndarray = np.maximum(
            np.where(element, self.factor, 1.0),
            np.where(mixture, self.mixture_factor, 1.0),
        )
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "elements": sorted(self.elements),
            "anion_sets": sorted(self.anion_sets),
            "factor": self.factor,
            "mixture_factor": self.mixture_factor,
            "groups": self.groups,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make one from what :meth:`to_dict` gave."""
        return cls(
            frozenset(data["elements"]), frozenset(data["anion_sets"]),
            float(data["factor"]),
            float(data.get("mixture_factor", data["factor"])),  # one for both before
            int(data["groups"]),
        )  # fmt: skip


def by_missing(
    groups: Sequence[np.ndarray],
    n: int,
    learn: Callable[[Sequence[np.ndarray]], Sequence[Any]],
    predict: Callable[[Any, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> Prediction:
    """Predict each group by a model that missed it and some of the others.

    So many models that each learns about half of the records; one for each group would
    take ten times as long.

    Args:
        groups: rows of each group, which may overlap.
        n: records.
        learn: rows that each model misses → the models.
        predict: a model and rows → their means and sigmas.
    """
    sizes = [len(rows) for rows in groups]
    shares = shared_out(sizes, math.ceil(2 * sum(sizes) / n))
    missed = [np.unique(np.concatenate([groups[g] for g in s])) for s in shares]
    found = {}
    for model, share in zip(learn(missed), shares, strict=True):
        for g in share:
            found[g] = predict(model, groups[g])
    parts = zip(*(found[g] for g in range(len(groups))), strict=True)
    return Prediction.apart(*map(np.concatenate, parts))


def shared_out(sizes: Sequence[int], shares: int) -> list[list[int]]:
    """Deal out groups, the largest first, each to who has fewest records so far."""
    dealt: list[list[int]] = [[] for _ in range(min(shares, len(sizes)))]
    for g in sorted(range(len(sizes)), key=lambda g: -sizes[g]):
        min(dealt, key=lambda own: sum(sizes[k] for k in own)).append(g)
    return dealt


def _anions(crystal: Crystal) -> str:
    return anions(crystal.composition.get_el_amt_dict())
