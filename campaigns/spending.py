"""What a campaign has spent and may still spend: core-hours and money, as measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from campaigns.answers import ASKED
from campaigns.config import CampaignConfig
from campaigns.ladder.recipe import SCREENING
from campaigns.ledger import VOLATILE, Event

HOUR = 3600.0
ANSWERS = tuple(answered for _, answered in ASKED)
"""Kinds of event that cost something."""


@dataclass
class Account:
    """What one fidelity has cost."""

    price: float
    """Of a core-hour."""
    estimate: float
    """Core-seconds that one evaluation is expected to take, before any is measured."""
    evaluations: int = 0
    """How many were paid for."""
    core_seconds: float = 0.0
    """Of all attempts, failed ones included."""
    largest: float = 0.0
    """Core-seconds of the dearest evaluation."""

    @property
    def core_hours(self) -> float:
        """Measured core-hours."""
        return self.core_seconds / HOUR

    @property
    def money(self) -> float:
        """Measured core-hours times their price."""
        return self.core_hours * self.price

    @property
    def next(self) -> float:
        """Core-seconds to set aside for one more evaluation: the dearest so far."""
        return self.largest if self.evaluations else self.estimate

    def add(self, core_seconds: float) -> None:
        """Take one evaluation into the account."""
        self.evaluations += 1
        self.core_seconds += core_seconds
        self.largest = max(self.largest, core_seconds)


@dataclass
class Purse:
    """The accounts of all fidelities against the campaign's budget.

    Nothing is begun for which the budget would not be enough if it, and everything
    that runs, took as long as the dearest evaluation of its fidelity so far. So a
    budget is overdrawn by no more than what the evaluations in flight exceed that.
    """

    core_hours: float | None
    """The budget; None is no limit."""
    money: float | None
    """The budget in ``currency``; None is no limit."""
    currency: str
    """What money is counted in."""
    accounts: Mapping[str, Account] = field(default_factory=dict)
    """Fidelity to what it has cost."""
    running: dict[str, int] = field(default_factory=dict)
    """Fidelity to how many evaluations are on their way."""

    @classmethod
    def of(cls, config: CampaignConfig, events: Sequence[Event]) -> Purse:
        """Return what a ledger says was spent."""
        mean_atoms = config.candidates.estimate().mean_atoms
        rungs = {SCREENING: (config.evaluator, config.execution)}
        for rung in config.ladder:
            rungs[rung.name] = (rung.evaluator, rung.execution or config.execution)
        accounts = {
            name: Account(
                execution.price_per_core_hour,
                0.0
                if evaluator.by_hand
                else evaluator.seconds_per_evaluation(mean_atoms) * execution.cores,
            )
            for name, (evaluator, execution) in rungs.items()
        }
        for event in events:
            if event.kind in ANSWERS:
                name = event.payload.get("fidelity", SCREENING)
                accounts[name].add(spent(event))
        budget = config.budget
        return cls(budget.core_hours, budget.money, budget.currency, accounts)

    @property
    def limited(self) -> bool:
        """Whether there is a budget to keep."""
        return self.core_hours is not None or self.money is not None

    def objection(self, fidelity: str) -> str | None:
        """Say why one more evaluation cannot be paid for, or None."""
        hours, money = self._committed(fidelity)
        total = sum(a.core_hours for a in self.accounts.values())
        cost = sum(a.money for a in self.accounts.values())
        if self.core_hours is not None and hours > self.core_hours:
            return (
                f"{total:.3g} of {self.core_hours:g} core-hours are spent; what is "
                f"left may not be enough for another evaluation ({fidelity})"
            )
        if self.money is not None and money > self.money:
            return (
                f"{cost:.3g} of {self.money:g} {self.currency} are spent; what is left "
                f"may not be enough for another evaluation ({fidelity})"
            )
        return None

    def affordable(self, fidelity: str, most: int) -> int:
        """Return how many more evaluations, up to ``most``, can be paid for."""
        if not self.limited:
            return most
        count, before = 0, self.running.get(fidelity, 0)
        while count < most and self.objection(fidelity) is None:
            count += 1
            self.running[fidelity] = before + count
        self.running[fidelity] = before
        return count

    def describe(self) -> list[str]:
        """Say in a line each what the fidelities cost, and what the budget is."""
        lines = []
        for name, account in self.accounts.items():
            price = f", {account.money:.2f} {self.currency}" if account.price else ""
            each = account.core_seconds / max(account.evaluations, 1)
            lines.append(
                f"{name}: {account.evaluations} evaluations, "
                f"{account.core_hours:.3g} core-hours{price}, {each:.3g} core-seconds "
                "each"
            )
        if self.core_hours is not None:
            total = sum(a.core_hours for a in self.accounts.values())
            lines.append(f"budget: {total:.3g} of {self.core_hours:g} core-hours")
        if self.money is not None:
            cost = sum(a.money for a in self.accounts.values())
            lines.append(f"budget: {cost:.2f} of {self.money:g} {self.currency}")
        return lines

    def _committed(self, fidelity: str) -> tuple[float, float]:
        """Return (core-hours, money) with all that runs and one more evaluation."""
        hours = money = 0.0
        for name, account in self.accounts.items():
            more = self.running.get(name, 0) + (name == fidelity)
            all_hours = (account.core_seconds + more * account.next) / HOUR
            hours += all_hours
            money += all_hours * account.price
        return hours, money


def spent(event: Event) -> float:
    """Return the core-seconds of an answer on record."""
    volatile = event.payload[VOLATILE]
    return float(volatile.get("spent", volatile["seconds"]))
