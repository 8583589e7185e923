"""The worker process: one evaluator, kept loaded, fed one JSON line per job.

Started as ``python -m matdisco.evaluators.worker RECIPE_JSON``. Lines in:
``{"crystal": ..., "key": ..., "folder": ..., "attempt": n, "timeout": s, "cores": n}``.
Lines out: ``{"event": E, ...}`` with E one of ready, setup-error, started, no-room,
done. The answer itself goes into ``FOLDER/result.json``, so it survives the death of
the driver: an orphaned worker finishes its job, leaves the result, finds its input
closed and ends.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

GRACE = 5.0  # s; the driver kills at the timeout, the kernel's alarm this much later


def main() -> None:
    """Serve jobs until standard input closes."""
    recipe_json = sys.argv[1]
    # The protocol gets a private copy of standard output; whatever a calculator
    # prints goes to the log, which is standard error.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        from pydantic import TypeAdapter

        from matdisco.evaluators.recipes import AnyEvaluator

        recipe = TypeAdapter(AnyEvaluator).validate_json(recipe_json)
        evaluator = recipe.build()
        _import_early()
    except Exception as error:
        traceback.print_exc()
        _say(out, event="setup-error", message=f"{type(error).__name__}: {error}")
        return
    _say(out, event="ready")
    for line in sys.stdin:
        serve(json.loads(line), evaluator, out)


def _import_early() -> None:
    """Import what every job needs: else it counts against the limit of the first one.

    That is 0.1 s on a free core and seconds on a starved one.
    """
    from importlib import import_module

    for name in ("ase.atoms", "matdisco.crystal", "matdisco.evaluators.results"):
        import_module(name)


def serve(job: dict[str, Any], evaluator: Any, out: TextIO) -> None:
    """Do one job, unless its result is there already."""
    from matdisco.evaluators.results import read_result

    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # Held by a worker that outlived its driver? Then wait for its answer.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read_result(folder) is None:
            _say(out, event="started")
            try:
                _evaluate(job, evaluator, folder)
            except OSError as error:
                if not no_room(error):
                    raise
                # the disk has failed, not the calculation: nothing goes on record
                _say(out, event="no-room", message=str(error))
                return
    _say(out, event="done")


def no_room(error: BaseException) -> bool:
    """Tell whether a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _evaluate(job: dict[str, Any], evaluator: Any, folder: Path) -> None:
    from dataclasses import replace

    from matdisco.crystal import Crystal
    from matdisco.evaluators.base import (
        Evaluation,
        EvaluationFailed,
        Failure,
        FailureKind,
    )
    from matdisco.evaluators.results import write_result

    crystal = Crystal.from_dict(job["crystal"])
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    clock = time.perf_counter()
    # If the driver is dead nobody else enforces the limit: the alarm's default
    # action ends the process even inside compiled code.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, job["timeout"] + GRACE)
    try:
        evaluation = evaluator.evaluate(crystal, folder)
        _check_numbers(evaluation)
    except EvaluationFailed as error:
        failure = Failure(error.kind, str(error), traceback.format_exc())
        evaluation = Evaluation(job["key"], crystal.id, failure=failure)
    except MemoryError:
        failure = Failure(
            FailureKind.OUT_OF_MEMORY, "out of memory", traceback.format_exc()
        )
        evaluation = Evaluation(job["key"], crystal.id, failure=failure)
    except Exception as error:
        if no_room(error):
            raise
        message = f"{type(error).__name__}: {error}".rstrip(": ")
        failure = Failure(FailureKind.BACKEND_ERROR, message, traceback.format_exc())
        evaluation = Evaluation(job["key"], crystal.id, failure=failure)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = round(time.perf_counter() - clock, 4)
    evaluation = replace(
        evaluation,
        key=job["key"],
        seconds=seconds,
        spent=round(seconds * job.get("cores", 1), 4),
        attempts=job["attempt"],
        provenance={
            **evaluation.provenance,
            "host": platform.node(),
            "pid": os.getpid(),
            "started": started,
        },
    )
    write_result(folder, evaluation)


def _check_numbers(evaluation: Any) -> None:
    import math

    from matdisco.evaluators.base import EvaluationFailed, FailureKind

    for key, label in evaluation.labels.items():
        if not math.isfinite(label.value):
            raise EvaluationFailed(
                FailureKind.NOT_A_NUMBER, f"{key} came back as {label.value}"
            )


def _say(out: TextIO, **message: Any) -> None:
    try:
        print(json.dumps(message), file=out, flush=True)
    except (BrokenPipeError, ValueError):
        # The driver is gone; the result is on disk, and that is what counts.
        os._exit(0)


if __name__ == "__main__":
    main()
