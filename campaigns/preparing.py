"""Bringing a run folder to where the loop can start: configuration, record, pool."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from campaigns.copies import told_beforehand
from campaigns.environment import describe_environment
from campaigns.folder import CONFIG, POOL, SCREENING
from campaigns.ledger import VOLATILE
from campaigns.ledger_file import explained
from campaigns.pool import make_pool
from matdisco.errors import CampaignError
from matdisco.evaluators import results

if TYPE_CHECKING:
    from campaigns.campaign import Campaign


def prepare(campaign: Campaign) -> None:
    """Begin a campaign, or go on with it; safe to repeat.

    Args:
        campaign: its ledger is open for writing.

    Raises:
        LedgerDamaged: its record does not verify.
        CampaignError: the pool, or another evaluator's answers, are not those that it
            began with.
    """
    folder, ledger = campaign.folder, campaign.ledger
    with explained(folder):
        count = ledger.verify()
        if not (folder / CONFIG).exists() or count == 0:
            results.write_atomically(folder / CONFIG, campaign.config.dump())
        if count == 0:
            about = {"run_id": uuid.uuid4().hex, **describe_environment()}
            ledger.append(
                "started",
                {
                    "config": campaign.config.digest(),
                    "name": campaign.config.name,
                    VOLATILE: about,
                },
            )
        else:
            ledger.append("continued", {VOLATILE: describe_environment()})
        _prepare_pool(campaign)


def _prepare_pool(campaign: Campaign) -> None:
    """Make the pool, or see that it is the one on record."""
    recorded = campaign.ledger.events("pool")
    path = campaign.folder / POOL
    if recorded and path.exists():
        _told(campaign, recorded[0].payload.get("answers"))
        return
    made = make_pool(campaign.config, path)
    payload: dict[str, Any] = {
        "content": made.content_hash,
        "candidates": made.count,
    }
    if made.screening is not None:
        results.write_atomically(campaign.folder / SCREENING, made.findings)
        payload["screening"] = made.screening
    if not recorded:
        if (told := _told(campaign, None)) is not None:
            payload["answers"] = told
        campaign.ledger.append("pool", payload)
    elif recorded[0].payload["content"] != made.content_hash:
        raise CampaignError(
            f"{path} is missing, and the pool made again is another one: the "
            "packages that make candidates have changed since the campaign began"
        )


def _told(campaign: Campaign, before: str | None) -> str | None:
    """Return the hash of another evaluator's answers; refuse other ones."""
    told = told_beforehand(campaign.config, campaign.pool)
    if before is not None and told != before:
        raise CampaignError(
            "surrogate.answers: the dataset is not the one this campaign began "
            f"with (content {str(told)[:12]}, the ledger says {before[:12]}); "
            "restore it, or begin another campaign"
        )
    return told
