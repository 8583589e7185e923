"""The pool of a campaign: made from its recipe, screened, counted, recorded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from campaigns.config import CampaignConfig
from campaigns.objectives import HullObjective
from matdisco.candidates.base import CandidateRecipe, refuse_empty
from matdisco.candidates.streaming import PoolWriter
from matdisco.crystal import Crystal
from matdisco.errors import ConfigError
from matdisco.screening.recipe import ScreeningRecipe
from matdisco.screening.screen import (
    FindingsTable,
    Screened,
    ScreeningReport,
    describe,
)


@dataclass(frozen=True)
class MadePool:
    """What came of making the candidates; they themselves are in the file."""

    count: int
    """Candidates that passed."""
    content_hash: str
    """That of the dataset in the file."""
    screening: dict[str, Any] | None
    """Counts by rule for the ledger; None where nothing was asked."""
    findings: str
    """CSV with one line per finding; empty where nothing was asked."""


def make_pool(config: CampaignConfig, path: Path) -> MadePool:
    """Make and screen the candidates of a campaign, one at a time, into a dataset file.

    Args:
        config: the campaign.
        path: the Parquet file; it appears when all are made.

    Raises:
        ConfigError: nothing is left, or no structure of an element that energies
            above the hull are measured from.
    """
    report, file = ScreeningReport(), io.StringIO()
    table = FindingsTable(file)
    elements, pure = set[str](), set[str]()
    largest = (0, "")
    with PoolWriter(path, config.candidates.title()) as writer:
        stream = screened_stream(config.candidates, config.screening)
        for screened in kept_on_record(stream, report, table, writer):
            if screened.rejected is not None:
                continue
            elements.update(screened.crystal.elements)
            largest = max(largest, (screened.crystal.n_atoms, screened.crystal.id))
            if len(screened.crystal.elements) == 1:
                pure.update(screened.crystal.elements)
        asked = config.screening is not None
        if not writer.count:
            refuse_empty(0, why_nothing_left(config, report))
        _refuse_too_large(config, *largest)
        missing = sorted(elements - pure)
        if missing and isinstance(config.objective, HullObjective):
            raise ConfigError(
                f"candidates: no structure of pure {', '.join(missing)} in the "
                "pool: energies above the hull need a reference for every element"
            )
        writer.finish()
    return MadePool(
        writer.count,
        writer.content_hash,
        report.summary() if asked else None,
        file.getvalue() if asked else "",
    )


def why_nothing_left(config: CampaignConfig, report: ScreeningReport) -> str:
    """Say why a pool is empty: nothing was made, or screening rejected all of it."""
    if not report.made:
        return config.candidates.why_nothing()
    return (
        f"screening rejected all candidates: {describe(report.summary())}; matdisco "
        "candidates CONFIG shows the first, with reasons; set a rule's severity to "
        "flag to keep what it objects to"
    )


def _refuse_too_large(config: CampaignConfig, n_atoms: int, name: str) -> None:
    """Refuse a pool with cells that an evaluator is not made for."""
    rungs = ((f"ladder[{i}].", r.evaluator) for i, r in enumerate(config.ladder))
    for where, evaluator in (("", config.evaluator), *rungs):
        limit = evaluator.largest_cell()
        if limit is not None and n_atoms > limit:
            raise ConfigError(
                f"candidates: {name} has {n_atoms} atoms, more than the {limit} that "
                f"{where}evaluator takes; leave such cells out (candidates.where."
                f"max_atoms: {limit}) or raise {where}evaluator.max_atoms"
            )


def screened_stream(
    candidates: CandidateRecipe, screening: ScreeningRecipe | None
) -> Iterator[Screened]:
    """Yield every candidate with what the rules found, one at a time."""
    stream = with_bar(candidates)
    if screening is None:
        yield from (Screened(c, ()) for c in stream)
    else:
        yield from screening.build().stream(stream)


def kept_on_record(
    stream: Iterator[Screened],
    report: ScreeningReport,
    table: FindingsTable | None,
    writer: PoolWriter | None,
) -> Iterator[Screened]:
    """Yield what comes, counted, its findings noted, and written where it passed."""
    for screened in stream:
        report.add(screened)
        if table is not None:
            table.add(screened)
        if writer is not None and screened.rejected is None:
            writer.add(screened.crystal)
        yield screened


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
