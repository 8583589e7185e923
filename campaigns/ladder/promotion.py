"""Who goes up a rung: the best of the fidelity below, references first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from campaigns.costs import CostModel, core_time, cost_model
from campaigns.ladder.recipe import RungRecipe
from campaigns.ladder.worth import is_pure, worths
from campaigns.objectives import HullObjective
from campaigns.state import State
from matdisco.crystal import Crystal
from matdisco.evaluators.base import evaluation_key
from matdisco.evaluators.execution_recipe import ExecutionRecipe

SAME_ENERGY = 0.005
"""eV/atom; two structures of one formula further apart in energy than this are not
compared: relaxed to 0.05 eV/Å, equal ones differ by less than 1 meV/atom."""
_ROUNDED = 1e-12
"""What is at the limit of ``within`` but for rounding may climb."""


def promotions(
    rung: RungRecipe,
    below: State,
    above: State,
    *,
    last: bool,
    execution: ExecutionRecipe | None = None,
    asked: Sequence[tuple[str, str]] | None = None,
) -> list[dict[str, Any]]:
    """Choose what ``rung`` evaluates next.

    Args:
        rung: the fidelity that confirms.
        below: what the fidelity below knows.
        above: what the rung itself knows.
        last: the fidelity below will add nothing more, so that all that is left of
            the rung's evaluations may be used.
        execution: how its evaluations are run, for costs that are measured; the rung's
            own when None.
        asked: candidates that the acquisition has chosen, each with its reason, instead
            of the best.

    Returns:
        Proposals, each with the structure that is to be evaluated; references for a
        hull first, then the best candidates of the fidelity below that are within the
        rung's limit and are not, after relaxation, another one's duplicate.
    """
    left = rung.evaluations - len(above.proposed)
    chosen = [(row, f"reference for {e}") for e, row in _references(below, above)]
    best = (
        _best(rung, below, above, execution)
        if asked is None else _chosen(asked, below, above)
    )  # fmt: skip
    size = left - len(chosen) if last else min(rung.best, left - len(chosen))
    for row, reason in best:
        if size <= 0:
            break
        chosen.append((row, reason))
        size -= 1
    return [
        _proposal(rung, below, rank, row, reason)
        for rank, (row, reason) in enumerate(chosen[: max(0, left)])
    ]


def _rung_costs(
    rung: RungRecipe, above: State, execution: ExecutionRecipe | None
) -> CostModel | None:
    """Return what a rung's evaluations cost, where that is learnt."""
    if rung.cost != "measured":
        return None
    how = execution or rung.execution or ExecutionRecipe()
    return cost_model(rung.evaluator, how, above, rung.cost_exponent, measured=True)


def final_structure(state: State, name: str) -> Crystal:
    """Return a candidate as this fidelity left it."""
    found = state.evaluations[name].relaxed or state.structure(name)
    return Crystal(name, found.structure, {}, found.source)


def _references(below: State, above: State) -> Iterator[tuple[str, int]]:
    """Yield (element, pool row) of the pure elements whose energy is still needed.

    The lowest in energy below comes first; where its evaluation has failed above, the
    next takes its place.
    """
    if not isinstance(below.objective, HullObjective) or below.hull is None:
        return
    busy = {below.position[name] for name in above.proposed}
    served = {*(int(i) for i in above.answered), *(int(i) for i in above.pending)}
    for i, element in enumerate(below.elements):
        pure = [
            (value, int(row))
            for row, value in zip(below.answered, below.answers, strict=True)
            if below.x[row, i] > 1 - 1e-9
        ]
        if any(row in served for _, row in pure):
            continue
        free = sorted(p for p in pure if p[1] not in busy)
        if free:
            yield element, free[0][1]


def _chosen(
    asked: Sequence[tuple[str, str]], below: State, above: State
) -> Iterator[tuple[int, str]]:
    """Yield (pool row, reason) of what was asked and can be, in its order."""
    for name, reason in asked:
        if name not in above.proposed and name in below.evaluations:
            yield below.position[name], reason


def distances(below: State) -> np.ndarray:
    """Return how far each answer is from the hull or the best, (n,); NaN: no hull."""
    merits = below.merit(below.headline)
    hull = isinstance(below.objective, HullObjective)
    top = 0.0 if hull or len(merits) == 0 else float(merits.max())
    return np.asarray(top - merits)


def _best(
    rung: RungRecipe, below: State, above: State, execution: ExecutionRecipe | None
) -> Iterator[tuple[int, str]]:
    """Yield (pool row, reason) in the rung's order, duplicates left out."""
    rows, merits = below.answered, below.merit(below.headline)
    hull = isinstance(below.objective, HullObjective)
    if len(rows) == 0 or (hull and below.hull is None):
        return
    far = distances(below)
    taken = [name for name in above.proposed if name in below.evaluations]
    by_worth = rung.order == "expected_improvement"
    costs = _rung_costs(rung, above, execution) if by_worth else None
    worth = worths(rung, below, above, costs) if by_worth else None
    order = np.lexsort((rows, -merits) if worth is None else (rows, -merits, -worth))
    for place in order:
        row, distance = int(rows[place]), float(far[place])
        if not may_climb(rung, below, above, row, distance, taken):
            continue
        taken.append(below.pool[row].id)
        where = "above the hull" if hull else "from the best"
        reason = f"{max(distance, 0.0):.3f} {where} by the fidelity below"
        if worth is not None:
            reason += f", log expected improvement per cost {worth[place]:.2f}"
        if worth is not None and costs is not None:
            cost = float(costs.core_seconds(np.array([below.pool[row].n_atoms]))[0])
            reason += f", {core_time(cost)} predicted"
        yield row, reason


def may_climb(
    rung: RungRecipe,
    below: State,
    above: State,
    row: int,
    distance: float,
    taken: Sequence[str],
) -> bool:
    """Tell whether a rung may be asked about what the fidelity below has answered.

    Args:
        rung: the fidelity that confirms.
        below: what the fidelity below knows.
        above: what the rung itself knows.
        row: of the pool, answered below.
        distance: from the hull or the best, see :func:`distances`.
        taken: candidates that climb or have climbed; their copies do not.
    """
    name = below.pool[row].id
    return not (
        name in above.proposed
        or name in above.vetoed
        or is_pure(below, row)
        or (rung.within is not None and distance > rung.within + _ROUNDED)
        or copies(below, name, taken)
    )


def copies(state: State, name: str, others: Sequence[str]) -> bool:
    """Tell whether a candidate has relaxed to what another one has relaxed to."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    # volumes are not scaled: both were relaxed by the same evaluator
    matcher = StructureMatcher(ltol=0.1, stol=0.2, scale=False)
    energy = "energy_per_atom"
    mine = state.evaluations[name]
    for other in others:
        theirs = state.evaluations[other]
        if energy not in mine.labels or energy not in theirs.labels:
            continue
        if state.pool[state.position[other]].formula != _formula(state, name):
            continue
        gap = abs(mine.labels[energy].value - theirs.labels[energy].value)
        if gap < SAME_ENERGY and matcher.fit(
            final_structure(state, name).structure,
            final_structure(state, other).structure,
        ):
            return True
    return False


def _formula(state: State, name: str) -> str:
    return state.pool[state.position[name]].formula


def _proposal(
    rung: RungRecipe, below: State, rank: int, row: int, reason: str
) -> dict[str, Any]:
    crystal = final_structure(below, below.pool[row].id)
    return {
        "rank": rank,
        "candidate": crystal.id,
        "formula": crystal.formula,
        "key": evaluation_key(crystal, rung.evaluator),
        "reason": reason,
        "crystal": crystal.to_dict(),
    }
