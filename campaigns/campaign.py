"""Campaign: a run folder, to run, to continue and to look into.

``Campaign.open("runs/quickstart")`` in Jupyter gives tables, plots and structures
that show themselves; the command line uses the same class.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from typing_extensions import override

from campaigns.config import CampaignConfig
from campaigns.folder import CONFIG, POOL, SCREENING, refuse_foreign, refuse_other
from campaigns.ledger import VOLATILE, Event, Ledger
from campaigns.ledger_file import FILE, explained
from campaigns.state import State
from matdisco.data.dataset import Dataset
from matdisco.errors import CampaignError, LedgerDamaged

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from campaigns.displays import Proposal
    from campaigns.progress import Display


class Campaign:
    """One campaign in its run folder.

    Use :meth:`start` to begin or continue one, :meth:`open` to look at one.
    """

    def __init__(self, folder: Path, config: CampaignConfig, ledger: Ledger) -> None:
        self.folder = folder
        self.config = config
        self.ledger = ledger
        self._writable = False
        self._known: tuple[str, State] | None = None

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a run folder for reading, also while another process runs it.

        Raises:
            LedgerError: the folder holds no campaign, or its record is damaged.
        """
        folder = Path(folder)
        ledger = Ledger.open(folder)
        config = CampaignConfig.load(folder / CONFIG)
        return cls(folder, config, ledger)

    @classmethod
    def start(cls, config: CampaignConfig, folder: str | Path) -> Self:
        """Open a run folder for running; begin a new campaign or continue one.

        Raises:
            ConfigError: the folder holds a campaign with another configuration.
            LedgerLocked: another process runs it.
            LedgerDamaged: its record does not verify.
        """
        from campaigns.preparing import prepare

        folder = Path(folder)
        refuse_foreign(folder)
        fresh = not (folder / FILE).exists()
        if fresh:
            config.check()
        else:
            refuse_other(config, CampaignConfig.load(folder / CONFIG), folder)
        ledger = Ledger.writing(folder)
        try:
            campaign = cls(folder, config, ledger)
            campaign._writable = True
            prepare(campaign)
        except BaseException:
            ledger.close()
            raise
        return campaign

    def run(self, rounds: int | None = None, *, display: Display | None = None) -> str:
        """Run until a reason to stop; return the reason.

        The report is written and MLflow brought up to date on the way; neither can
        stop the campaign.

        Args:
            rounds: close at most this many rounds now.
            display: where progress goes; standard error when not given.

        Raises:
            Interrupted: stopped by the user; run again to continue.
        """
        from campaigns.driver import Driver
        from campaigns.interrupt import Interrupt, Interrupted
        from campaigns.progress import Display
        from campaigns.tracking import LiveTracker

        if not self._writable:
            raise CampaignError(
                f"{self.folder} was opened for reading; use Campaign.start to run it"
            )
        display = display or Display()
        interrupt = Interrupt()
        with LiveTracker(self, display.say) as tracker:
            driver = Driver(
                self.config, self.folder, self.ledger, self.pool, display, interrupt
            )

            def closed(number: int) -> None:
                self._repeat_findings()
                tracker.round_closed(number)

            driver.on_close = closed
            with explained(self.folder), interrupt.armed(display):
                try:
                    reason = driver.run(rounds)
                except Interrupted:
                    self.ledger.append("interrupted", {VOLATILE: {"pid": os.getpid()}})
                    reason = "stopped by the user"
                    raise
                finally:
                    self._repeat_findings()
                    if self.state.evaluations:
                        self._try_report(display)
        return reason

    @cached_property
    def pool(self) -> Dataset:
        """The candidates at the start; ``state.pool`` has those grown since, too."""
        pool = Dataset.open(self.folder / POOL)
        recorded = self.ledger.events("pool")
        if recorded and recorded[0].payload["content"] != pool.content_hash:
            raise LedgerDamaged(
                f"{self.folder / POOL}: not the pool this campaign began with "
                f"(content {pool.content_hash[:12]}, the ledger says "
                f"{recorded[0].payload['content'][:12]}); delete the file to have it "
                "made again"
            )
        return pool

    @property
    def events(self) -> list[Event]:
        """The whole record, in order."""
        return self.ledger.events()

    @property
    def state(self) -> State:
        """What is known now."""
        head = self.ledger.head()[1]
        if self._known is None or self._known[0] != head:
            state = State.of(self.pool, self.config.objective, self.events)
            self._known = (head, state)
        return self._known[1]

    def state_after(self, round_: int) -> State:
        """Return what was known when ``round_`` was closed."""
        return State.of(self.pool, self.config.objective, self.events, until=round_)

    @property
    def run_id(self) -> str:
        """Identity of this run, the same in MLflow."""
        return str(self.ledger.events("started")[0].payload[VOLATILE]["run_id"])

    @property
    def finished(self) -> str | None:
        """Why the campaign is over, or None while it is not."""
        events = self.ledger.events("finished")
        return str(events[-1].payload["reason"]) if events else None

    def verify(self) -> int:
        """Check the ledger's file, hash chain and pool; return the event count.

        Raises:
            LedgerDamaged: what does not verify, and where.
        """
        count = self.ledger.verify()
        _ = self.pool
        return count

    def proposals(self) -> pd.DataFrame:
        """Return every proposal: what was expected, why chosen, what came of it."""
        from campaigns.tables import proposals

        return proposals(self)

    def warnings(self) -> list[str]:
        """Say before which rounds the gate found the surrogate overconfident."""
        gated = self.ledger.events("gated")
        return [f"round {e.round}: {e.payload['sentence']}" for e in gated]

    def proposal(self, candidate: str) -> Proposal:
        """Return one proposal, which shows itself in a notebook.

        Raises:
            CampaignError: the candidate was never proposed.
        """
        from campaigns.displays import proposal

        found = proposal(self, candidate)
        if found is None:
            raise CampaignError(f"{self.folder}: {candidate} was never proposed")
        return found

    def screening(self) -> pd.DataFrame:
        """Return every finding of the screening, of the pool and of later rounds."""
        from campaigns.tables import screening

        return screening(self)

    def screened(self) -> list[str]:
        """Say in a line each what screening did to the pool and to later rounds."""
        from campaigns.tables import screened

        return screened(self)

    def evaluations(self) -> pd.DataFrame:
        """Return every answered candidate, best first."""
        return self.state.to_frame()

    def failures(self) -> pd.DataFrame:
        """Return every failed evaluation, with kind and message."""
        from campaigns.tables import failures

        return failures(self)

    def confirmations(self) -> pd.DataFrame:
        """Return what the rungs of the ladder say beside the fidelity below."""
        from campaigns.ladder.review import confirmations

        return confirmations(self)

    def agreement(self) -> list[str]:
        """Say in a sentence for each rung how far it agrees with the one below."""
        from campaigns.ladder.review import agreement

        return agreement(self)

    def rung(self, name: str) -> State:
        """Return what one rung of the ladder knows, and no other fidelity."""
        return State.of(self.pool, self.config.objective, self.events, rung=name)

    def spending(self) -> list[str]:
        """Say in a line each what the fidelities cost, and what the budget is."""
        from campaigns.costs import predicted
        from campaigns.spending import Purse

        return [*Purse.of(self.config, self.events).describe(), *predicted(self.events)]

    def rounds(self) -> pd.DataFrame:
        """Return one row per closed round: counts, best, errors, seconds."""
        from campaigns.tables import rounds

        return rounds(self)

    def rounds_shown(self) -> pd.DataFrame:
        """Return the same with the names and columns that suit the objective."""
        from campaigns.tables import rounds_shown

        return rounds_shown(self)

    def found(self) -> Dataset:
        """Return the stable compounds (the front, the best) as relaxed crystals."""
        from campaigns.tables import found

        return found(self)

    def front(self) -> pd.DataFrame:
        """Return the members of the front; empty where the objective is no front."""
        from campaigns.tables import front

        return front(self)

    def ranking(self) -> pd.DataFrame:
        """Return the final ranking of the candidates nobody evaluated."""
        import pandas as pd

        path = self.folder / "ranking.csv"
        return pd.read_csv(path) if path.exists() else pd.DataFrame()

    def plot_progress(self) -> Figure:
        """Plot what was found against evaluations spent, beside random choice."""
        from campaigns.plots import progress

        return progress(self)

    def plot_hull(self) -> Figure:
        """Plot the convex hull of everything evaluated."""
        from campaigns.plots import hull

        return hull(self)

    def plot_parity(self) -> Figure:
        """Plot predictions made before evaluation against the answers."""
        from campaigns.plots import parity

        return parity(self)

    def plot_calibration(self) -> Figure:
        """Plot how often the answers fell inside the predicted intervals."""
        from campaigns.plots import calibration

        return calibration(self)

    def report(self) -> Path:
        """Write ``report.html`` and return its path."""
        from campaigns.report import write_report

        return write_report(self)

    def track(self) -> str:
        """Bring MLflow up to date with the ledger; return the MLflow run id."""
        from campaigns.tracking import sync

        return sync(self)

    def close(self) -> None:
        """Close the ledger and give its lock back."""
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @override
    def __repr__(self) -> str:
        from campaigns.progress import headline

        state = self.state
        where = f"finished: {self.finished}" if self.finished else "not finished"
        return (
            f"Campaign {self.config.name} in {self.folder}: "
            f"{len(state.evaluations)} of {len(state.pool):,} candidates evaluated, "
            f"{len(state.failed)} failed; {headline(state)}; {where}"
        )

    def _repr_html_(self) -> str:
        from campaigns.displays import campaign_html

        return campaign_html(self)

    def _repeat_findings(self) -> None:
        """Write what screening found in bred candidates beside that of the pool."""
        from matdisco.evaluators.results import write_atomically

        if self.ledger.events("grown"):
            table = self.screening().to_csv(index=False, lineterminator="\n")
            write_atomically(self.folder / SCREENING, table)

    def _try_report(self, display: Display) -> None:
        try:
            self.report()
        except Exception as error:
            # The record is complete without it: `matdisco report RUN` writes it anew.
            display.say(f"report not written: {type(error).__name__}: {error}")
