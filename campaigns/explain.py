"""Explained proposals: why this candidate, and why before the next one.

The share of exploration takes expected improvement apart, whatever the rule that
chose: ``EI = (mean - best) Phi(z) + sigma phi(z)`` with ``z = (mean - best) / sigma``
(D. R. Jones et al., J. Global Optim. 13, 455 (1998)). The first term is what the
expected value promises, the second what uncertainty promises; the share is the second
over both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from campaigns.costs import costs_of, said
from campaigns.fronts import words as front_words
from campaigns.fronts.recipe import FrontObjective
from campaigns.objectives import AnyObjective
from campaigns.reasons import before, why
from campaigns.weights import Weights
from matdisco.errors import DataError
from matdisco.properties import get
from matdisco.similarity import Neighbours

if TYPE_CHECKING:
    from campaigns.acquisition.select import Choice
    from campaigns.campaign import Campaign
    from campaigns.state import State
    from campaigns.utility import Utility
    from surrogates.base import Prediction

INTERVAL = 0.9
"""Probability of the interval that a proposal states."""
NAMED = 3
"""Known materials that a proposal is compared with."""


def exploration_share(utility: Utility) -> np.ndarray:
    """Return how much of each candidate's case is uncertainty, 0 to 1, shape (n,).

    For a wanted range the depth inside it stands for ``mean - best``; for a front see
    :attr:`campaigns.fronts.belief.FrontBelief.exploration`.
    """
    if utility.front is not None:
        return utility.front.exploration
    mean, sigma = utility.belief.mean, np.maximum(utility.belief.std, 1e-12)
    gap = mean - utility.best
    if utility.wanted is not None:
        low, high = utility.wanted
        gap = np.minimum(mean - low, high - mean)
    z = gap / sigma
    known = np.maximum(gap, 0.0) * norm.cdf(z)
    unknown = sigma * norm.pdf(z)
    # far below the best both vanish: what little hope there is, is uncertainty
    share: np.ndarray = np.where(
        gap > 0, unknown / np.maximum(known + unknown, 1e-300), 1.0
    )
    return share


@dataclass(frozen=True, eq=False)
class Explainer:
    """Everything that proposals of one round are explained with."""

    state: State
    """What is known."""
    prediction: Prediction
    """Of the target for the whole pool."""
    utility: Utility
    """Of the available candidates."""
    rows: np.ndarray
    """Pool rows of the available candidates, shape (n,)."""
    screened: bool
    """Whether the candidates were screened."""
    alike: np.ndarray | None = None
    """Group of each candidate of the pool that is probably one structure, if known."""
    weights: Weights = field(default_factory=Weights)
    """What the rule's value was multiplied by."""

    def explain(
        self, proposals: list[dict[str, Any]], choices: Sequence[Choice]
    ) -> None:
        """Add the explanation to each proposal, in place.

        Args:
            proposals: with their candidates, in order of rank.
            choices: those of the proposals, then what would have come next, if known.
        """
        expected, share = self.utility.expected(), exploration_share(self.utility)
        weights = self.weights
        known = Neighbours.of([self.state.pool[int(i)] for i in self.state.answered])
        mine = [self.state.pool[int(self.rows[c.row])] for c in choices]
        far = known.distances(mine)
        spacing = _spacing(known.among())
        half = float(norm.ppf((1 + INTERVAL) / 2))
        facts: list[dict[str, Any]] = []
        for i, choice in enumerate(choices):
            row = int(self.rows[choice.row])
            mean, std = (
                float(self.prediction.mean[row]),
                float(self.prediction.std[row]),
            )
            order = np.argsort(far[i], kind="stable")[:NAMED]
            near = [self._known(int(k), float(far[i, k])) for k in order]
            facts.append(
                {
                    "mean": mean,
                    "std": std,
                    "low": mean - half * std,
                    "high": mean + half * std,
                    "expected_merit": float(expected[choice.row]),
                    "exploration": (
                        0.0
                        if choice.reason == "greedy"
                        else round(float(share[choice.row]), 4)
                    ),
                    "acquisition": choice.value,
                    "nearest": near[0]["candidate"],
                    "nearest_distance": near[0]["distance"],
                    "distance_ratio": round(near[0]["distance"] / spacing, 2),
                    "neighbours": near,
                    "screening": self._screening(mine[i].source.get("flags", {})),
                    "copy_of": self._copied(row),
                    "chance_of_answer": _at(weights.chance, row),
                    "relative_cost": _at(weights.cost, row),
                    "reason": choice.reason,
                    "candidate": mine[i].id,
                }
            )
            if weights.core_seconds is not None:
                cost = _at(weights.core_seconds, row)
                facts[-1]["predicted_core_seconds"] = cost
            if self.utility.front is not None:
                facts[-1] |= self.utility.front.facts(choice.row, half)
        objective = self.state.objective
        for i, proposal in enumerate(proposals):
            proposal |= facts[i]
            proposal["why"] = why(objective, facts[i], weighed=weights.any)
            later = facts[i + 1] if i + 1 < len(facts) else None
            left_out = i + 1 == len(proposals)
            proposal["before_next"] = (
                None if later is None
                else before(
                    objective, facts[i], later, left_out=left_out,
                    alone=i == 0 or weights.any or "fidelity" in facts[i]["reason"],
                )
            )  # fmt: skip

    def _copied(self, row: int) -> str | None:
        """Return what is answered and probably the same structure as a candidate."""
        if self.alike is None:
            return None
        answered = self.state.answered
        same = answered[self.alike[answered] == self.alike[row]]
        return self.state.pool[int(same[0])].id if len(same) else None

    def _known(self, position: int, distance: float) -> dict[str, Any]:
        """Describe an answered crystal by its position among the answered."""
        crystal = self.state.pool[int(self.state.answered[position])]
        return {
            "candidate": crystal.id,
            "formula": crystal.formula,
            "distance": round(distance, 4),
            **self._answers(position),
        }

    def _answers(self, position: int) -> dict[str, float]:
        """Return the target's value of an answered crystal, all values of a front."""
        front = self.state.front
        if front is None:
            values = [self.state.targets[position]]
            keys: tuple[str, ...] = (self.state.objective.target,)
        else:
            values, keys = list(front.values[position]), front.objective.labels
        return {k: round(float(v), 6) for k, v in zip(keys, values, strict=True)}

    def _screening(self, flags: Mapping[str, str]) -> str:
        if not self.screened:
            return "not screened"
        if not flags:
            return "passed every question"
        return "; ".join(f"flagged by {k}: {v}" for k, v in flags.items())


def _at(values: np.ndarray | None, row: int) -> float | None:
    """Return what weighs on a row, None where nothing does."""
    if values is None or np.isnan(values[row]):
        return None
    return round(float(values[row]), 4)


def _spacing(among: np.ndarray) -> float:
    """Return the median distance of a known crystal to the nearest other one."""
    if len(among) < 2:
        return 1.0
    np.fill_diagonal(among, np.inf)
    return max(float(np.median(among.min(axis=1))), 1e-3)


def explained_round(campaign: Campaign, round_: int) -> str:
    """Return everything that is on record about the proposals of a round, as text.

    Raises:
        DataError: there is no such round.
    """
    events = campaign.ledger.events("proposed", round=round_)
    if not events:
        count = len(campaign.ledger.events("proposed"))
        raise DataError(f"no round {round_}: rounds 0 to {count - 1} were proposed")
    payload, objective = events[0].payload, campaign.config.objective
    lines = [f"round {round_} of {campaign.config.name}"]
    for gated in campaign.ledger.events("gated", round=round_):
        lines.append(f"  {gated.payload['sentence']}")
    ahead = payload.get("outlook")
    if ahead and isinstance(objective, FrontObjective):
        lines.append(f"  {front_words.outlook(objective, ahead)}")
    elif ahead:
        unit = get(objective.headline).unit
        lines.append(
            f"  best single candidate promises {ahead['expected_improvement']:.3g} "
            f"{unit}; nothing better is left with probability "
            f"{ahead['probability_best_found']:.1%}".replace("  ", " ")
        )
    lines += [f"  {line}" for line in said(costs_of(payload))]
    if sentence := payload.get("unrelated"):
        lines.append(f"  no fidelity is chosen yet: {sentence}")
    for proposal in payload["proposals"]:
        lines += ["", *_lines(proposal, objective)]
    for climb in payload.get("climbs", ()):
        lines += [
            "",
            f"  {climb['fidelity']}: {climb['candidate']}  {climb['formula']}",
            f"     {climb['asked_because']}",
        ]
    return "\n".join(lines)


def _lines(proposal: Mapping[str, Any], objective: AnyObjective) -> list[str]:
    lines = [
        f"{proposal['rank'] + 1:3d}. {proposal['candidate']}  {proposal['formula']}",
        f"     {proposal.get('why') or proposal['reason']}",
    ]
    if proposal["mean"] is None or "low" not in proposal:
        return lines
    intervals = {objective.target: proposal} | (proposal.get("targets") or {})
    for key, one in intervals.items():
        name = f"{get(key).label.lower()} " if len(intervals) > 1 else ""
        lines.append(
            f"     {name}{INTERVAL:.0%} interval {one['low']:.3f} to {one['high']:.3f} "
            f"{get(key).unit}".rstrip()
        )
    for near in proposal["neighbours"]:
        values = ", ".join(
            f"{near[key]:.3f} {get(key).unit}".rstrip() for key in intervals
        )
        lines.append(
            f"     like {near['candidate']}: distance {near['distance']:.2f}, {values}"
        )
    lines.append(f"     screening: {proposal['screening']}")
    if proposal["before_next"]:
        lines.append(f"     {proposal['before_next']}")
    return lines
