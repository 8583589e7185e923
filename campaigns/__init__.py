"""campaigns: deciding what to evaluate next, and the record of having done so.

Public names load on first use, so that ``matdisco validate`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.config import CampaignConfig
    from campaigns.ledger import Ledger

__all__ = ["Campaign", "CampaignConfig", "Ledger"]

_HOMES = {
    "Campaign": "campaigns.campaign",
    "CampaignConfig": "campaigns.config",
    "Ledger": "campaigns.ledger",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'campaigns' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
