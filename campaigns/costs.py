"""What an evaluation will cost, learnt from what those so far have cost.

One line per fidelity: log core-seconds are linear in log atoms, as powers of the size
are what electronic structure costs (R. M. Martin, Electronic Structure, 2nd ed. (2020),
chapter 23). The prior is what the configuration says: the evaluator's own estimate for
planning, and the exponent given. Errors are Student's t, so that a worker that was
starting up, or a machine that was busy, moves the line little (K. L. Lange, R. J. A.
Little and J. M. G. Taylor, J. Am. Stat. Assoc. 84, 881 (1989)).

Everything comes from the ledger, so a campaign that was killed and goes on with the
same ledger proposes the same. Measured times are not those of another machine or
another day: a campaign that is run again from the start may propose otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaigns.answers import evaluation_of
from campaigns.ladder.recipe import SCREENING
from campaigns.ledger import Event
from campaigns.state import State
from matdisco.evaluators.base import Evaluation, EvaluatorRecipe, FailureKind
from matdisco.evaluators.execution_recipe import ExecutionRecipe

HOUR = 3600.0
_LEVEL = 2.0
"""Prior standard deviation of the log cost at the usual size: estimates for planning
are right within a factor of seven or so, on machines of all kinds."""
_SLOPE = 1.0
"""Prior standard deviation of the exponent around the one given."""
_SCATTER, _COUNTS = 0.3, 4.0
"""Prior scatter of the log cost at one size (a third up or down: relaxations differ in
steps), and as how many evaluations it counts."""
_TAILS = 4.0
"""Degrees of freedom of the errors; Lange, Little and Taylor recommend 4."""
_STEPS = 60
"""Of the iteration, which converges to six digits in some twenty."""


@dataclass(frozen=True)
class CostModel:
    """Core-seconds of an evaluation as a power of the atoms: median, not mean."""

    usual_atoms: float
    """Geometric mean of the atoms of the pool's candidates."""
    usual: float
    """Core-seconds of an evaluation of that size."""
    exponent: float
    """Of the atoms."""
    scatter: float
    """Standard deviation of the log cost at one size."""
    evaluations: int
    """How many were measured; 0 leaves what the configuration says."""

    def core_seconds(self, atoms: np.ndarray) -> np.ndarray:
        """Return what evaluations of crystals of so many atoms cost, shape (n,)."""
        size = np.asarray(atoms, dtype=float) / self.usual_atoms
        return np.asarray(self.usual * size**self.exponent)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the ledger."""
        return {
            "usual_atoms": self.usual_atoms,
            "core_seconds": self.usual,
            "exponent": self.exponent,
            "scatter": self.scatter,
            "evaluations": self.evaluations,
        }


def predicted(events: Sequence[Event]) -> list[str]:
    """Say what costs the newest round was proposed with, where they are learnt."""
    for event in reversed(events):
        if event.kind == "proposed" and (found := costs_of(event.payload)):
            return said(found)
    return []


def costs_of(payload: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return fidelity to the costs a round was proposed with; "" is the only one."""
    if "cost" in payload:
        return {"": payload["cost"]}
    found: Mapping[str, Mapping[str, Any]] = payload.get("costs", {})
    return found


def said(costs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say in a line for each fidelity what its evaluations are predicted to cost."""
    return [
        f"predicted cost{f' of {name}' if name else ''}: {words(cost)}"
        for name, cost in sorted(costs.items(), key=lambda c: c[0] != SCREENING)
    ]


def accuracy(events: Sequence[Event], proposed: Event) -> float | None:
    """Return what a round's answers took over what was predicted of them, or None."""
    guesses = {
        p["candidate"]: p["predicted_core_seconds"]
        for p in proposed.payload["proposals"]
        if p.get("predicted_core_seconds")
    }
    pairs = []
    for event in events:
        if event.kind == "evaluated" and event.round == proposed.round:
            answer = evaluation_of(event)
            if answer.crystal_id in guesses and tells(answer):
                pairs.append((answer.spent, guesses[answer.crystal_id]))
    if not pairs:
        return None
    taken, expected = (float(sum(v)) for v in zip(*pairs, strict=True))
    return taken / expected


def words(cost: Mapping[str, Any]) -> str:
    """Say what :meth:`CostModel.to_dict` wrote.

    >>> words({"usual_atoms": 4.0, "core_seconds": 7200.0, "exponent": 2.1,
    ...        "scatter": 0.2, "evaluations": 12})
    '2 core-hours for 4 atoms, as atoms to the 2.1 (12 measured, each within a factor \
of 1.2)'
    """
    known = (
        f"{cost['evaluations']} measured, each within a factor of "
        f"{np.exp(cost['scatter']):.2g}"
        if cost["evaluations"]
        else "none measured: as the configuration says"
    )
    return (
        f"{core_time(cost['core_seconds'])} for {cost['usual_atoms']:.2g} atoms, as "
        f"atoms to the {cost['exponent']:.2g} ({known})"
    )


def core_time(core_seconds: float) -> str:
    """Return a time for people.

    >>> core_time(0.4567), core_time(9000)
    ('0.457 core-seconds', '2.5 core-hours')
    """
    if core_seconds < HOUR:
        return f"{core_seconds:.3g} core-seconds"
    return f"{core_seconds / HOUR:.3g} core-hours"


def cost_model(
    evaluator: EvaluatorRecipe,
    execution: ExecutionRecipe,
    state: State,
    exponent: float | None = None,
    *,
    measured: bool,
) -> CostModel:
    """Return what evaluations of one fidelity cost.

    Args:
        evaluator: what answers; its estimate is the prior.
        execution: how it is run, for the cores.
        state: the pool, and what this fidelity has answered.
        exponent: of the atoms, before anything is measured; that of the evaluator's
            estimate when None.
        measured: whether to learn from the answers.
    """
    atoms = np.array([c.n_atoms for c in state.pool], dtype=float)
    usual = float(np.exp(np.log(atoms).mean()))
    guess = evaluator.seconds_per_evaluation(usual) * execution.cores
    if exponent is None:
        twice = evaluator.seconds_per_evaluation(2 * usual) * execution.cores
        exponent = float(np.log2(max(twice, 1e-9) / max(guess, 1e-9)))
    size, spent = told(state) if measured else (np.zeros(0), np.zeros(0))
    return fitted(size, spent, usual, max(guess, 1e-9), exponent)


def told(state: State) -> tuple[np.ndarray, np.ndarray]:
    """Return atoms and core-seconds of what says something of the cost, each (n,).

    In the order of the pool, whatever the order of the workers.
    """
    rows = sorted((*state.answered, *state.failed))
    found = [(state.pool[int(r)].n_atoms, _of(state, int(r))) for r in rows]
    kept = [(atoms, e.spent) for atoms, e in found if tells(e)]
    table = np.array(kept, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _of(state: State, row: int) -> Evaluation:
    return state.evaluations[state.pool[row].id]


def tells(evaluation: Evaluation) -> bool:
    """Tell whether an evaluation says what an answer costs.

    What took no time was looked up, or told by people. A failure may have come at once,
    so it tells nothing, unless it is that the time was up: an answer takes that at
    least.
    """
    if evaluation.spent <= 0:
        return False
    failure = evaluation.failure
    return failure is None or failure.kind == FailureKind.TIMEOUT


def fitted(
    atoms: np.ndarray,
    core_seconds: np.ndarray,
    usual_atoms: float,
    guess: float,
    exponent: float,
) -> CostModel:
    """Fit the line, by expectation maximisation.

    Args:
        atoms: of what was measured, shape (n,).
        core_seconds: what it took, above 0, shape (n,).
        usual_atoms: where the prior of the level is stated.
        guess: core-seconds of an evaluation of that size, before anything is measured.
        exponent: of the atoms, likewise.
    """
    n, prior = len(atoms), np.array([0.0, exponent])
    if n == 0:
        return CostModel(usual_atoms, guess, exponent, _SCATTER, 0)
    trust = np.diag([_LEVEL**-2, _SLOPE**-2])
    design = np.column_stack([np.ones(n), np.log(atoms / usual_atoms)])
    y = np.log(core_seconds / guess)
    weights, square = np.ones(n), _SCATTER**2
    found = prior
    for _ in range(_STEPS):
        seen = design.T * (weights / square)
        found = np.linalg.solve(trust + seen @ design, trust @ prior + seen @ y)
        left = (y - design @ found) ** 2
        weights = (_TAILS + 1) / (_TAILS + left / square)
        square = (_COUNTS * _SCATTER**2 + float(weights @ left)) / (_COUNTS + n)
    level, slope = (float(v) for v in found)
    return CostModel(
        usual_atoms, guess * float(np.exp(level)), slope, float(np.sqrt(square)), n
    )
