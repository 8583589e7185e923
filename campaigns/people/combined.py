"""What the measurements of a laboratory campaign say together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matdisco.evaluators.base import Evaluation, Failure, FailureKind, evaluation_key
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.state import State
    from matdisco.crystal import Crystal
    from matdisco.evaluators.laboratory import LaboratoryRecipe

Samples = dict[tuple[str, str, str], tuple[float, float | None]]
"""Property, batch and replicate to value and sigma."""
Failures = dict[tuple[str, str], str]
"""Batch and replicate to the reason why there is no value."""


def evaluations(
    told: Iterable[Mapping[str, Any]], state: State, recipe: LaboratoryRecipe
) -> Iterator[Evaluation]:
    """Yield what all measurements together say, one evaluation per complete candidate.

    A candidate is complete when every property has ``recipe.replicates`` values, or
    when as many samples failed and none gave a value.

    Args:
        told: payloads of the ``told`` events, as :func:`campaigns.people.results.judge`
            makes them.
        state: what the campaign knows.
        recipe: what is measured.
    """
    samples, failures = _gathered(told)
    known = [n for n in {*samples, *failures} if n in state.position]
    for name in sorted(known, key=lambda n: state.position[n]):
        yield from _combined(
            state.pool[state.position[name]],
            samples.get(name, {}),
            failures.get(name, {}),
            recipe,
        )


def lacking(
    told: Sequence[Mapping[str, Any]], recipe: LaboratoryRecipe
) -> dict[str, list[str]]:
    """Return what candidates of the newest file still need before they are answers.

    Args:
        told: as in :func:`evaluations`; the newest file comes last.
        recipe: what is measured.

    Returns:
        Candidate to words for each property of which values lack.
    """
    samples, failures = _gathered(told)
    names = {row["credited"]: None for row in told[-1]["rows"] if row["credited"]}
    found = {}
    for name in names:
        values, failed = samples.get(name, {}), failures.get(name, {})
        if not values and len(failed) >= recipe.replicates:
            continue
        counts = {p: len(v) for p, v in _by_property(values, recipe).items()}
        words = [
            p if recipe.replicates == 1 else f"{p}: {n} of {recipe.replicates} values"
            for p, n in counts.items()
            if n < recipe.replicates
        ]
        if words:
            found[name] = words
    return found


def _gathered(
    told: Iterable[Mapping[str, Any]],
) -> tuple[dict[str, Samples], dict[str, Failures]]:
    """Return values and failures of each credited candidate; what is later counts."""
    samples: dict[str, Samples] = {}
    failures: dict[str, Failures] = {}
    for payload in told:
        for row in payload["rows"]:
            name = row["credited"]
            if name is None:
                continue
            sample = (row["batch"], row["replicate"])
            for key, (value, sigma) in row["values"].items():
                samples.setdefault(name, {})[key, *sample] = (value, sigma)
            if row["failure"]:
                failures.setdefault(name, {})[sample] = row["failure"]
    return samples, failures


def _by_property(
    samples: Samples, recipe: LaboratoryRecipe
) -> dict[str, list[tuple[float, float | None]]]:
    """Return the values of every property, by batch and replicate."""
    return {
        p: [v for (k, _, _), v in sorted(samples.items()) if k == p]
        for p in recipe.returns
    }


def _combined(
    crystal: Crystal,
    samples: Samples,
    failures: Failures,
    recipe: LaboratoryRecipe,
) -> Iterator[Evaluation]:
    from matdisco.crystal import Label

    key = evaluation_key(crystal, recipe)
    by_property = _by_property(samples, recipe)
    if all(len(v) >= recipe.replicates for v in by_property.values()):
        labels = {}
        for name, values in by_property.items():
            mean, sigma = mean_of(values)
            method = f"measured, {len(values)} replicate{'s' * (len(values) > 1)}"
            labels[name] = Label(mean, get(name).unit, method, sigma)
        yield Evaluation(key, crystal.id, labels)
    elif not samples and len(failures) >= recipe.replicates:
        reasons = "; ".join(dict.fromkeys(failures.values()))
        failure = Failure(FailureKind.NOT_MADE, reasons)
        yield Evaluation(key, crystal.id, failure=failure)


def mean_of(values: Sequence[tuple[float, float | None]]) -> tuple[float, float | None]:
    """Return mean and standard error of (value, sigma) replicates.

    With every sigma known, the weighted mean and the larger of the internal error and
    the external one (R. T. Birge, Phys. Rev. 40, 207 (1932)): replicates that scatter
    more than their sigmas say are trusted less. Without, the plain mean and its
    standard error; None for a single value of unknown sigma.

    >>> mean_of([(1.0, 0.1), (3.0, 0.1)])
    (2.0, 1.0)
    """
    n = len(values)
    numbers = [v for v, _ in values]
    sigmas = [s for _, s in values if s is not None]
    if len(sigmas) == n:
        weights = [s**-2 for s in sigmas]
        total = sum(weights)
        mean = sum(w * v for w, v in zip(weights, numbers, strict=True)) / total
        internal = total**-0.5
        if n == 1:
            return mean, internal
        chi2 = sum(w * (v - mean) ** 2 for w, v in zip(weights, numbers, strict=True))
        return mean, round(internal * max(1.0, math.sqrt(chi2 / (n - 1))), 12)
    mean = sum(numbers) / n
    if n == 1:
        return mean, None
    variance = sum((v - mean) ** 2 for v in numbers) / (n - 1)
    return mean, math.sqrt(variance / n)
