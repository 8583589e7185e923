"""A pool that grows: new candidates between rounds, bred from the best so far.

What was bred is an event of the ledger, structures included, written before anything
is proposed from it. The state of later rounds reads it from there, so a killed and
continued campaign has bit for bit the candidates of one never killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from campaigns.config import CampaignConfig
from campaigns.learning import Purpose, stream
from campaigns.ledger import Event
from campaigns.state import State
from matdisco.candidates.base import counts_of
from matdisco.crystal import Crystal
from matdisco.screening.base import Finding
from matdisco.screening.recipe import ScreeningRecipe
from matdisco.screening.screen import Screen, Screened, ScreeningReport

EVALUATED = "evaluated, as relaxed"
"""Group of relaxed answers among what a child must not equal."""
SPACE = "chemical_space"
"""Name, among the rules, of what ``candidates`` allows."""


def is_due(config: CampaignConfig, events: Sequence[Event], round_: int) -> bool:
    """Tell whether the pool is to grow before ``round_`` and has not yet."""
    growth = config.growth
    if growth is None or round_ < 1 or (round_ - 1) % growth.every:
        return False
    return not any(e.kind == "grown" and e.round == round_ for e in events)


def grow(config: CampaignConfig, state: State, round_: int) -> dict[str, Any]:
    """Breed the candidates of a round; return the payload of the ``grown`` event.

    No child leaves what ``candidates`` allows (:meth:`CandidateRecipe.limits`).

    Args:
        config: the campaign.
        state: what is known.
        round_: the round about to be proposed.
    """
    growth = config.growth
    assert growth is not None
    screen = _screen(config, state)
    limits = config.candidates.limits()
    report = ScreeningReport()
    children: list[Crystal] = []
    findings: list[dict[str, Any]] = []

    def accept(child: Crystal) -> bool:
        # As the ledger will give it back: eight digits, whatever the generator made.
        crystal = Crystal.from_dict(child.to_dict())
        outside = limits(counts_of(crystal))
        if outside is None:
            screened = screen.judge(crystal)
        else:
            # Operators know elements, not compositions: what leaves the asked space
            # is as much a reject as what a rule objects to.
            finding = Finding(SPACE, "reject", f"outside the candidates: {outside}")
            screened = Screened(crystal, (finding,))
        report.add(screened)
        findings.extend(screened.rows())
        if screened.rejected is not None:
            return False
        children.append(screened.crystal)
        return True

    space = _space(config, state)
    rng = stream(config, round_, Purpose.GROWTH)
    for _ in growth.breed(
        _parents(state, growth.parents), space, rng, f"evolved-{round_:03d}", accept
    ):
        pass
    return {
        "crystals": [c.to_dict() for c in children],
        "screening": report.summary(),
        "findings": findings,
    }


def _space(config: CampaignConfig, state: State) -> tuple[str, ...]:
    """Return the elements that a child may hold: never more than the pool's."""
    asked = config.candidates.chemical_space()
    space = set(state.elements if asked is None else asked) & set(state.elements)
    policy = config.screening.elements if config.screening else None
    if policy is not None and policy.severity == "reject":
        space = {e for e in space if policy.objection(e) is None}
    return tuple(sorted(space))


def _parents(state: State, n: int) -> list[Crystal]:
    """Return the best answered candidates, relaxed where they were relaxed."""
    merits = state.merits
    usable = np.flatnonzero(np.isfinite(merits))
    order = usable[np.lexsort((usable, -merits[usable]))]
    parents = []
    for k in order[:n]:
        crystal = state.pool[int(state.answered[k])]
        relaxed = state.evaluations[crystal.id].relaxed
        structure = (relaxed or crystal).structure
        parents.append(Crystal(crystal.id, structure))
    return parents


def _screen(config: CampaignConfig, state: State) -> Screen:
    """Return a screen that knows the pool and every relaxed answer.

    Without a ``screening:`` block children are still refused when atoms overlap, when
    the density is absurd, or when they are there already.
    """
    recipe = config.screening or ScreeningRecipe.model_validate(
        {k: {"severity": "off"} for k in ("elements", "charge_balance",
                                          "electronegativity")}
    )  # fmt: skip
    screen = recipe.build()
    screen.remember(state.pool, "pool")
    relaxed = (state.evaluations[state.pool[int(i)].id].relaxed for i in state.answered)
    screen.remember((c for c in relaxed if c is not None), EVALUATED)
    return screen
