"""The pool of a campaign: made from its recipe, screened, counted, recorded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from campaigns.config import CampaignConfig
from matdisco.candidates.base import CandidateRecipe, refuse_empty
from matdisco.crystal import Crystal
from matdisco.data.dataset import Dataset
from matdisco.screening.recipe import ScreeningRecipe
from matdisco.screening.screen import FindingsTable, Screened, ScreeningReport


@dataclass(frozen=True)
class MadePool:
    """The candidates that passed, and what was found in the others."""

    pool: Dataset
    """What the campaign may choose from."""
    screening: dict[str, Any] | None
    """Counts by rule for the ledger; None where nothing was asked."""
    findings: str
    """CSV with one line per finding; empty where nothing was asked."""


def make_pool(config: CampaignConfig) -> MadePool:
    """Make and screen the candidates of a campaign.

    Raises:
        ConfigError: nothing is left.
    """
    if config.screening is None:
        return MadePool(config.candidates.build(), None, "")
    report, file = ScreeningReport(), io.StringIO()
    table = FindingsTable(file)
    kept: list[Crystal] = []
    for screened in screened_stream(config.candidates, config.screening):
        report.add(screened)
        table.add(screened)
        if screened.rejected is None:
            kept.append(screened.crystal)
    summary = report.summary()
    refuse_empty(len(kept), f"screening rejected all of {report.made:,}")
    pool = Dataset(config.candidates.title(), tuple(kept))
    return MadePool(pool, summary, file.getvalue())


def screened_stream(
    candidates: CandidateRecipe, screening: ScreeningRecipe | None
) -> Iterator[Screened]:
    """Yield every candidate with what the rules found, one at a time."""
    stream = with_bar(candidates)
    if screening is None:
        yield from (Screened(c, ()) for c in stream)
    else:
        yield from screening.build().stream(stream)


def with_bar(candidates: CandidateRecipe) -> Iterator[Crystal]:
    """Stream candidates under a progress bar (on a terminal only)."""
    size = candidates.estimate()
    yield from tqdm(
        candidates.stream(),
        total=size.count,
        desc="candidates",
        unit="",
        disable=None,  # shown on a terminal only
        leave=False,
        dynamic_ncols=True,
    )
