"""The end of a run in plain text, as a scientist would write it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.objectives import HullObjective
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.comparison import Comparison


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
            f"  {row.formula:10s} {getattr(row, key):10.4g}  {row.candidate}"
            for row in frame.head(5).itertuples()
        ]
    comparison = compare(campaign)
    if comparison is not None:
        lines += ["", *_beside_random(comparison)]
    lines += _known(campaign)
    lines += ["", f"report      {campaign.folder / 'report.html'}"]
    if not campaign.finished:
        lines.append(f"continue    matdisco run {campaign.folder}")
    if campaign.config.tracking.enabled:
        lines.append("dashboard   matdisco ui")
    return "\n".join(lines)


def _beside_random(comparison: Comparison) -> list[str]:
    n = comparison.evaluations
    found, total = int(comparison.found[-1]), len(comparison.targets)
    low, high = comparison.low[n], comparison.high[n]
    lines = [
        f"of the {total} stable compounds that evaluating all {comparison.pool:,} "
        f"candidates shows, it found {found}; random choice at equal cost finds "
        f"{comparison.expected[n]:.1f} (90 % of the time {low:.0f} to {high:.0f})"
    ]
    factor = comparison.acceleration()
    if factor is not None and found:
        lines.append(
            f"that is {comparison.enhancement:.1f} times as many; random choice needs "
            f"{factor:.1f} times the evaluations to find as many"
        )
    if comparison.missed:
        lines.append("missed: " + " ".join(t.name for t in comparison.missed))
    return lines


def _known(campaign: Campaign) -> list[str]:
    from campaigns.comparison import known_phases

    outcomes = known_phases(campaign)
    if not outcomes:
        return []
    lines = ["", "phases known from experiment:"]
    for outcome in outcomes:
        if not outcome.in_pool:
            fate = "not in the pool"
        elif outcome.above_hull is None:
            fate = "not evaluated"
        else:
            fate = f"{outcome.above_hull * 1000:5.0f} meV/atom above the hull"
            fate = ("rediscovered, " if outcome.rediscovered else "evaluated, ") + fate
        lines.append(f"  {outcome.formula:10s} {outcome.name:24s} {fate}")
    return lines
