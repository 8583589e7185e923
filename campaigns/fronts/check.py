"""What a campaign of several targets cannot have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.fronts.recipe import FrontObjective
from matdisco.errors import ConfigError

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


def check_base(config: CampaignConfig) -> None:
    """Refuse a pretraining dataset that lacks a target of a front.

    Raises:
        ConfigError: names the dataset, the label, and what to do.
    """
    objective, surrogate = config.objective, config.surrogate
    base = getattr(surrogate, "pretrain", None)
    told = getattr(surrogate, "pretrain_target", None)
    if not isinstance(objective, FrontObjective) or base is None or told is not None:
        return
    from matdisco.data.dataset import Dataset
    from matdisco.data.shipped import resolve

    known = Dataset.open(resolve(base)).properties
    for key in objective.labels:
        if key not in known:
            raise ConfigError(
                f"surrogate.pretrain: {base} has no label {key!r}, one of the targets, "
                f"but {', '.join(known)}; name one of these as "
                "surrogate.pretrain_target, or leave pretrain out"
            )
