"""Whether a surrogate can tell the candidates of one formula apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import gcd

from campaigns.acquisition.recipes import RandomChoice
from campaigns.config import CampaignConfig
from campaigns.fronts.recipe import FrontObjective
from surrogates.tabular.recipes import OnFeatures


def doubt_of_polymorphs(config: CampaignConfig) -> str | None:
    """Say that a whole batch may be of one formula, and what to do; None if it cannot.

    Candidates with equal features are predicted to be equally good, so the rule takes
    them one after the other.
    """
    rule, surrogate = config.acquisition, config.surrogate
    if (
        not isinstance(surrogate, OnFeatures)
        or not surrogate.blind
        or isinstance(rule, RandomChoice)
        or getattr(rule, "per_formula", None) is not None
    ):
        return None
    where = config.candidates.where
    looked, _ = config.candidates.compositions()
    share = sharing(c for c in looked if where is None or where.allows(c))
    if share < max(2.0, rule.batch_size / 2):  # less than half a batch does no harm
        return None
    limited = hasattr(rule, "per_formula") and not isinstance(
        config.objective, FrontObjective
    )
    other = ", or acquisition.per_formula: 1" if limited else ""
    return (
        f"doubt: features: {surrogate.features} are equal for all structures of one "
        "formula, and "
        f"a typical formula has {share:.0f}; a batch of {rule.batch_size} may hold "
        f"little else. Use features that see structure, for example "
        f"{surrogate.features}+environments{other}"
    )


def sharing(compositions: Iterable[Mapping[str, int]]) -> float:
    """Return how many candidates have the formula of a typical one, itself included.

    >>> sharing([{"Cu": 1}, {"Cu": 1, "Au": 3}, {"Cu": 2, "Au": 6}, {"Cu": 3, "Au": 9}])
    2.5
    """
    counts = Counter(_reduced(c) for c in compositions)
    return sum(n * n for n in counts.values()) / max(1, counts.total())


def _reduced(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    unit = gcd(*counts.values())
    return tuple(sorted((e, n // unit) for e, n in counts.items()))
