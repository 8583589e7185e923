"""The end of a run in plain text, as a scientist would write it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.objectives import HullObjective
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign


def summarise(campaign: Campaign, reason: str) -> str:
    """Return what was found, beside random choice, and where to look next."""
    from campaigns.comparison import compare

    state = campaign.state
    lines = [
        "",
        f"{campaign.config.name}: {len(state.evaluations)} of "
        f"{len(state.pool):,} candidates evaluated, {len(state.failed)} failed "
        f"({reason})",
    ]
    frame = state.to_frame()
    key = state.objective.headline
    if isinstance(state.objective, HullObjective) and state.hull is not None:
        names = [state.pool[int(i)].id for i in state.found]
        stable = frame[frame["candidate"].isin(names)].sort_values("formula")
        lines.append(f"the hull it found ({len(stable)} compounds):")
        lines += [
            f"  {row.formula:10s} {row.formation_energy_per_atom:8.3f} eV/atom  "
            f"{row.prototype}"
            for row in stable.itertuples()
        ]
    elif len(frame):
        unit = get(key).unit
        lines.append(f"the best {get(key).label.lower()} ({unit}):")
        lines += [
            f"  {getattr(row, 'formula'):10s} {getattr(row, key):10.4g}  {row.candidate}"
            for row in frame.head(5).itertuples()
        ]
    comparison = compare(campaign)
    if comparison is not None:
        lines += ["", *comparison.lines()]
    lines += ["", f"report      {campaign.folder / 'report.html'}"]
    if not campaign.finished:
        lines.append(f"continue    matdisco run {campaign.folder}")
    if campaign.config.tracking.enabled:
        lines.append("dashboard   matdisco ui")
    return "\n".join(lines)
