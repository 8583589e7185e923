"""``matdisco candidates``: look at a pool and at what screening rejects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer


def candidates(
    config: Annotated[Path, typer.Argument(help="Campaign YAML file.")],
    to: Annotated[
        Path | None,
        typer.Option(help="Keep the pool: .parquet; findings go to a .csv beside it."),
    ] = None,
    show: Annotated[
        int, typer.Option(min=0, help="Candidates and findings to print.")
    ] = 10,
) -> None:
    """Make and screen a campaign's candidates, one at a time; spend nothing.

    A pool without a candidate is an error that says why.
    """
    from campaigns.config import CampaignConfig
    from campaigns.pool import kept_on_record, screened_stream, why_nothing_left
    from matdisco.candidates.base import refuse_empty
    from matdisco.candidates.streaming import PoolWriter
    from matdisco.errors import ConfigError
    from matdisco.screening.screen import FindingsTable, ScreeningReport, describe

    if to is not None and to.suffix != ".parquet":
        raise ConfigError(f"--to: expected a file name ending in .parquet, got {to}")
    loaded = CampaignConfig.load(config)
    print(f"estimate    {loaded.candidates.estimate()}")
    report, systems = ScreeningReport(), Counter[str]()
    kept: list[str] = []
    rejected: list[str] = []
    file = None if to is None else to.with_suffix(".csv").open("w", encoding="utf-8")
    table = None if file is None else FindingsTable(file)
    writer = None if to is None else PoolWriter(to, loaded.candidates.title())
    try:
        stream = screened_stream(loaded.candidates, loaded.screening)
        for screened in kept_on_record(stream, report, table, writer):
            crystal, finding = screened.crystal, screened.rejected
            if finding is not None:
                if len(rejected) < show:
                    rejected.append(
                        f"  {crystal.id:38s} {finding.rule}: {finding.message}"
                    )
                continue
            systems["-".join(crystal.elements)] += 1
            if len(kept) < show:
                kept.append(
                    f"  {crystal.id:38s} {crystal.formula:12s} "
                    f"{crystal.n_atoms:3d} atoms  "
                    f"{crystal.structure.volume / crystal.n_atoms:6.1f} Å³/atom"
                )
        if writer is not None and report.kept:
            writer.finish()
    finally:
        if writer is not None:
            writer.close()
        if file is not None:
            file.close()
    print(f"screening   {describe(report.summary())}")
    print(f"pool        {report.kept:,} candidates, {len(systems):,} chemical systems")
    if kept:
        print("\n".join(kept))
    if rejected:
        print("rejected, the first ones:")
        print("\n".join(rejected))
    if to is not None and not report.kept:
        print(f"written     {to.with_suffix('.csv')}; no {to}: it would be empty")
    elif to is not None:
        print(f"written     {to}, {to.with_suffix('.csv')}")
    if not report.kept:
        refuse_empty(0, why_nothing_left(loaded, report))
