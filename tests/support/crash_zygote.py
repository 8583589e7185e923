"""Runs campaigns in forked children and kills them with SIGKILL where asked.

Imports everything once, then serves JSON lines ``{"config", "folder", "kill"}`` on
standard input; each is a fork of this process, so a run does not pay for importing
torch again. Prints the child's exit status: -9 where it was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_workers() -> None:
    """Kill this process and every worker it has started, as a node failure would."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        child.kill()
    die()


def arm(kill: dict) -> None:
    """Put the bomb where ``kill`` says; it goes off at the ``at``-th pass."""
    where, at = kill["where"], kill.get("at", 1)
    end = die_with_workers if kill.get("workers") else die
    count = 0

    def strike() -> bool:
        nonlocal count
        count += 1
        return count == at

    def before(owner, name):
        whole = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if strike():
                end()
            return whole(*args, **kwargs)

        setattr(owner, name, wrapped)

    def after(owner, name):
        whole = getattr(owner, name)

        def wrapped(*args, **kwargs):
            result = whole(*args, **kwargs)
            if strike():
                end()
            return result

        setattr(owner, name, wrapped)

    import campaigns.acquisition.select as select
    import campaigns.campaign as campaign
    import campaigns.feeding as feeding
    import campaigns.learning as learning
    import matdisco.evaluators.results as results
    from campaigns.ledger import Ledger
    from matdisco.candidates.streaming import PoolWriter
    from matdisco.evaluators.execution import WorkerPool

    if where == "before-append":
        before(Ledger, "append")
    elif where == "after-append":
        after(Ledger, "append")
    elif where == "config-written":
        after(results, "write_atomically")
    elif where == "pool":
        before(PoolWriter, "finish")
    elif where == "pool-saved":
        after(PoolWriter, "finish")
    elif where == "proposing":
        before(select, "select_and_next")
    elif where == "chosen":
        after(select, "select_and_next")
    elif where == "breeding":
        import campaigns.growth as growth
        from matdisco.screening.screen import ScreeningReport

        class Counted(ScreeningReport):
            def add(self, screened):
                if strike():
                    end()
                super().add(screened)

        growth.ScreeningReport = Counted
    elif where == "learning":
        before(learning, "sigma_scale")
    elif where == "training":
        import campaigns.progress as progress

        before(progress.Display, "training")
    elif where == "checkpoint":
        after(learning, "_save")
    elif where == "submitting":
        after(WorkerPool, "submit")
    elif where == "answer":
        before(feeding, "write_evaluation")
    elif where == "report":
        before(campaign.Campaign, "report")
    elif where == "seconds":
        threading.Timer(at, end).start()
    else:
        raise ValueError(where)


def child(job: dict) -> None:
    from campaigns.campaign import Campaign
    from campaigns.config import CampaignConfig
    from campaigns.progress import Display

    config = CampaignConfig.load(job["config"])
    if job.get("kill"):
        arm(job["kill"])
    with Campaign.start(config, job["folder"]) as campaign:
        if not campaign.finished:
            campaign.run(display=Display(quiet=True))


def main() -> None:
    # what a campaign imports on its way, so that the children find it loaded
    import botorch  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import sklearn  # noqa: F401
    import torch_geometric  # noqa: F401
    from drawing import blank

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print("ready", file=out)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with blank():
                    child(json.loads(line))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=out)


if __name__ == "__main__":
    main()
