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
from campaigns.replay.pools import Pool
from campaigns.replay.recipes import (
    Features,
    Forest,
    Nothing,
    ReplayConfig,
    Strategy,
    ZeroShot,
)

ENERGIES = ("e_form", "heat_all", "formation_energy_per_atom", "energy_per_atom")
"""Targets that an energy of a pretrained potential can rank without any label."""


def baselines(config: ReplayConfig, pool: Pool) -> Mapping[str, Strategy]:
    """Return the baselines that the pool allows, by name.

    Random forest on composition and on site-resolved elemental features, greedy and by
    upper confidence bound; the zero-shot potential where the target is an energy; and
    the first strategy's own learner, greedy and by largest variance.
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
    if pool.has_structures and ranked:
        found["zero-shot"] = Strategy(learner=ZeroShot(), acquisition=Greedy())
    taken = {_key(s) for s in config.strategies.values()}
    first = next(iter(config.strategies.values()))
    if not isinstance(first.learner, Forest | ZeroShot | Nothing):
        for how, acquisition in (("greedy", Greedy()), ("max-variance", MaxVariance())):
            own = Strategy(learner=first.learner, acquisition=acquisition)
            if _key(own) not in taken:
                found[f"own-{how}"] = own
    return found


def _key(strategy: Strategy) -> str:
    return strategy.learner.digest() + strategy.acquisition.kind
