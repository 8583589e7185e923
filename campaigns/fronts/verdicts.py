"""The gate where there are several targets: each is tested, any failure counts.

The level is shared out, so that the share of false alarms stays that of one target
(Bonferroni). A target that fails has its own sigmas widened; what else the gate asks
for (a share of the batch at random, stopping) is done once if any target fails.
"""

from __future__ import annotations

from collections.abc import Mapping

from campaigns.gate import GateRecipe, Verdict
from matdisco.properties import get


def shared_level(gate: GateRecipe, targets: int) -> GateRecipe:
    """Return the gate of one of so many targets."""
    return gate.model_copy(update={"level": gate.level / targets})


def combined(verdicts: Mapping[str, Verdict]) -> Verdict:
    """Return the verdict that speaks for all: the least probable of the worst kind."""
    order = ("overconfident", "underconfident", "pass", "untested")
    return min(verdicts.values(), key=lambda v: (order.index(v.outcome), v.p))


def sentence(gate: GateRecipe, verdicts: Mapping[str, Verdict]) -> str:
    """Say which targets failed, and what is done about each."""
    own = shared_level(gate, len(verdicts))
    failed = [
        f"{get(key).label.lower()}: {verdict.sentence(own)}"
        for key, verdict in verdicts.items()
        if verdict.failed
    ]
    return "; ".join(failed)
