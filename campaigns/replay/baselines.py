"""The baselines that every replay includes, whatever the strategies are.

Random choice is not among them: its curve is known exactly.
"""

from __future__ import annotations

from collections.abc import Mapping

from campaigns.acquisition.recipes import (
    AnyAcquisition,
    Greedy,
    MaxVariance,
    UpperConfidenceBound,
)
from campaigns.replay.features import available
from campaigns.replay.learner_recipes import (
    Cokriging,
    Features,
    Forest,
    Nothing,
    ZeroShot,
)
from campaigns.replay.peers.recipes import PeerRecipe
from campaigns.replay.pools import Pool
from campaigns.replay.recipes import ReplayConfig, Strategy

ENERGIES = ("e_form", "heat_all", "formation_energy_per_atom", "energy_per_atom")
"""Targets that an energy of a pretrained potential can rank without any label."""


def baselines(config: ReplayConfig, pool: Pool) -> Mapping[str, Strategy]:
    """Return the baselines that the pool allows, by name.

    Random forest on composition and on site-resolved elemental features, greedy and by
    upper confidence bound; the zero-shot potential where the target is an energy; and
    the first strategy's own learner, greedy and by largest variance. With cheaper
    fidelities: all of them asked first, then greedy; what a potential says of every
    candidate is then no baseline of its own, because it is not free.
    """
    found: dict[str, Strategy] = {}
    if not config.baselines:
        return found
    exploring: dict[str, AnyAcquisition] = {
        "greedy": Greedy(), "ucb": UpperConfidenceBound(beta=1.0)
    }  # fmt: skip
    tables: dict[str, Features] = {
        "composition": "composition", "sites": "sites", "columns": "columns"
    }  # fmt: skip
    for label, feature in tables.items():
        if available(pool, feature):
            for how, acquisition in exploring.items():
                found[f"forest-{label}-{how}"] = Strategy(
                    learner=Forest(features=(feature,)), acquisition=acquisition
                )
    # the answer of a hull may be the potential's own: it would not be a guess
    ranked = config.targets[0].column in ENERGIES and pool.truth is None
    priced = config.fidelities is not None
    if pool.has_structures and ranked and not priced:
        found["zero-shot"] = Strategy(learner=ZeroShot(), acquisition=Greedy())
    taken = {_key(s) for s in config.strategies.values()}
    learners = [s.learner for s in config.strategies.values()]
    for learner in learners:
        if isinstance(learner, Cokriging):
            all_first = Strategy(learner=learner, acquisition=Greedy())
            if _key(all_first) not in taken:
                found["ask-all-first"] = all_first
            break
    single = [r for r in learners if not isinstance(r, Cokriging | PeerRecipe)]
    first = single[0] if single else Nothing()
    if not isinstance(first, Forest | ZeroShot | Nothing):
        for how, acquisition in (("greedy", Greedy()), ("max-variance", MaxVariance())):
            own = Strategy(learner=first, acquisition=acquisition)
            if _key(own) not in taken:
                found[f"own-{how}"] = own
    return found


def _key(strategy: Strategy) -> str:
    rule = strategy.acquisition
    return strategy.learner.digest() + ("" if rule is None else rule.kind)
