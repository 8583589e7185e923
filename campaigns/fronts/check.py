"""What a campaign of several targets cannot have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.fronts.recipe import FrontObjective

if TYPE_CHECKING:
    from campaigns.config import CampaignConfig


def check_front(config: CampaignConfig) -> None:
    """Refuse blocks that are about one value; says nothing of other objectives.

    Raises:
        ValueError: names the key, and what to do.
    """
    if not isinstance(config.objective, FrontObjective):
        return
    if config.ladder:
        raise ValueError(
            "ladder: promotes the best by one value, which objective front does not "
            "have; leave the ladder out, or confirm the front in a campaign of its own"
        )
    if config.assessment.card is not None or config.assessment.each_round:
        raise ValueError(
            "assessment: card and each_round are about one surrogate, objective front "
            f"has {len(config.objective.targets)}; leave them out"
        )
    if getattr(config.surrogate, "answers", None) is not None:
        raise ValueError(
            "surrogate.answers: other answers are of one property, objective front "
            f"has {len(config.objective.targets)}; leave answers out"
        )
    if config.review.known_phases:
        raise ValueError(
            "review.known_phases: is about stable phases; expected with objective "
            "energy_above_hull only"
        )
