"""What a campaign and its proposals show of themselves in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from campaigns.progress import headline
from matdisco.crystal import Crystal
from matdisco.displays import picture_html, table_html
from matdisco.drawing import legend
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign

PICTURES = 6
"""Finds that a campaign shows as pictures."""
LARGE = 150
"""Width of a proposal's picture, px."""
SIDE = "display:flex;gap:1.5em;align-items:center;flex-wrap:wrap"


@dataclass(frozen=True)
class Proposal:
    """One proposal of a campaign: what was expected, why, and what came of it."""

    crystal: Crystal
    """The candidate, as proposed."""
    target: str
    """What was predicted."""
    others: tuple[str, ...]
    """What was predicted besides, where there are several targets."""
    facts: Mapping[str, Any]
    """A row of :meth:`campaigns.Campaign.proposals`; missing values are None."""

    @override
    def __repr__(self) -> str:
        mean, std = self.facts.get("mean"), self.facts.get("std")
        expected = "" if mean is None else f", expected {mean:.3f} ± {std:.3f}"
        return (
            f"Proposal({self.crystal.id}, round {self.facts['round']}{expected}, "
            f"{self.facts['reason']}; {self.facts['status']})"
        )

    def _repr_html_(self) -> str:
        prop = get(self.target)
        rows = [("Round", str(self.facts["round"])), ("Rule", self.facts["reason"])]
        if self.facts.get("mean") is not None:
            text = f"{self.facts['mean']:.3f} ± {self.facts['std']:.3f} {prop.unit}"
            rows.append((f"Expected {prop.label.lower()}", text))
        for key in self.others:
            if self.facts.get(f"{key}_mean") is not None:
                mean, std = (self.facts[f"{key}_{name}"] for name in ("mean", "std"))
                text = f"{mean:.3f} ± {std:.3f} {get(key).unit}"
                rows.append((f"Expected {get(key).label.lower()}", text))
        for key in (self.target, *self.others):
            if self.facts.get(key) is not None:
                name = f"Answer, {get(key).label.lower()}" if self.others else "Answer"
                rows.append((name, f"{self.facts[key]:.3f} {get(key).unit}"))
        names = {
            "why": "Why",
            "before_next": "Before the next",
            "neighbours": "Nearest",
        }
        rows += [(n, str(self.facts[k])) for k, n in names.items() if self.facts.get(k)]
        rows.append(("Status", str(self.facts["status"])))
        heading = f"Proposal {self.crystal.id}"
        return (
            f'<div style="{SIDE}">'
            f"{picture_html(self.crystal, legend(self.crystal), LARGE)}"
            f"{table_html(rows, heading)}</div>"
        )


def proposal(campaign: Campaign, candidate: str) -> Proposal | None:
    """Return the latest proposal of a candidate, None if it never was proposed."""
    table = campaign.proposals()
    if table.empty or candidate not in set(table["candidate"]):
        return None
    row = table[table["candidate"] == candidate].iloc[-1]
    facts = {str(k): _plain(v) for k, v in row.items()}
    crystal = campaign.state.structure(candidate)
    objective = campaign.config.objective
    return Proposal(crystal, objective.target, objective.labels[1:], facts)


def campaign_html(campaign: Campaign) -> str:
    """Return where a campaign stands, with pictures of what it found."""
    state, config = campaign.state, campaign.config
    closed = len(campaign.ledger.events("closed"))
    rows = [
        ("Folder", str(campaign.folder)),
        ("Wanted", get(state.objective.headline).axis if state.front is None
                   else state.front.objective.describe()),
        ("Evaluated", f"{len(state.evaluations)} of {len(state.pool):,} candidates, "
                      f"{len(state.failed)} failed, {closed} rounds"),
        ("Budget", f"{config.budget.evaluations} evaluations"),
        ("Found", headline(state)),
        ("Surrogate", config.surrogate.kind.replace("_", " ")),
        ("Acquisition", config.acquisition.kind.replace("_", " ")),
        ("State", campaign.finished or "not finished"),
    ]  # fmt: skip
    known = len(state.found) > 0
    pictures = "".join(
        picture_html(c, legend(c))
        for c in (campaign.found()[:PICTURES] if known else ())
    )
    return table_html(rows, f"Campaign {config.name}") + f"<div>{pictures}</div>"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    return value
