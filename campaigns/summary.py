"""The end of a run in plain text, as a scientist would write it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.fronts.words import volume
from campaigns.objectives import HullObjective
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.comparison import Comparison
    from campaigns.fronts.front import Front


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
    elif state.front is not None:
        lines += of_front(campaign, state.front)
    elif len(frame):
        unit = get(key).unit
        lines.append(f"the best {get(key).label.lower()} ({unit}):")
        lines += [
            f"  {row.formula:10s} {getattr(row, key):10.4g}  {row.candidate}"
            for row in frame.head(5).itertuples()
        ]
    comparison = compare(campaign)
    if comparison is not None:
        hull = isinstance(state.objective, HullObjective)
        what = "stable compounds" if hull else "best candidates"
        if state.front is not None:
            what = "members of the front"
        lines += ["", *_beside_random(comparison, what)]
    lines += _known(campaign)
    lines.append("")
    if (report := campaign.folder / "report.html").exists():
        lines.append(f"report      {report}")
    if not campaign.finished:
        lines.append(f"continue    matdisco run {campaign.folder}")
    if campaign.config.tracking.enabled:
        lines.append("dashboard   matdisco ui")
    return "\n".join(lines)


def of_front(campaign: Campaign, front: Front) -> list[str]:
    """Return the members of the front, or the best inside the limits, line by line."""
    if not front.members.any():
        return ["no answer inside the limits"]
    objective, frame = front.objective, campaign.state.to_frame()
    if front.goals > 1:
        members = frame[frame["on_front"]]
        lines = [f"the front it found ({len(members)}), hypervolume {volume(front)}:"]
    else:
        inside = frame[frame["candidate"].isin(_useful(campaign, front))]
        members = inside.head(5)
        lines = ["the best inside the limits:"]
    keys = list(objective.labels)
    heads = [f"{get(k).label.lower()} ({get(k).unit})".replace(" ()", "") for k in keys]
    lines.append("  " + " ".join(f"{h:>22s}" for h in heads))
    for row in members.to_dict("records"):
        numbers = " ".join(f"{row[k]:22.4g}" for k in keys)
        lines.append(f"  {numbers}  {row['formula']:10s} {row['candidate']}")
    return lines


def _useful(campaign: Campaign, front: Front) -> list[str]:
    state = campaign.state
    return [state.pool[int(i)].id for i in state.answered[front.useful]]


def _beside_random(comparison: Comparison, what: str) -> list[str]:
    n = comparison.evaluations
    found, total = int(comparison.found[-1]), len(comparison.targets)
    low, high = comparison.low[n], comparison.high[n]
    lines = [
        f"of the {total} {what} that evaluating all {comparison.pool:,} "
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
