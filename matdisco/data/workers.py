"""Run one function over many items on all cores, in order, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import TextIO, TypeVar

from tqdm import tqdm

from matdisco.errors import MatdiscoError

T = TypeVar("T")
R = TypeVar("R")

_SHARED: ContextVar[list[ProcessPoolExecutor] | None] = ContextVar(
    "shared", default=None
)
_WORTH_A_POOL = 200  # items; a worker needs ~2 s to import pymatgen, an item ~10 ms
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerDied(MatdiscoError):
    """A worker process crashed or did not answer in time."""


def cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def each(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int = 1,
    label: str = "",
    patience: float | None = None,
) -> Iterator[R]:
    """Yield ``function(item)`` in the order of the items.

    Only a few batches are in flight, so memory does not grow with the input.

    Args:
        function: importable (a module's function or a ``partial`` of one).
        items: what to work on.
        workers: processes; 1, or few items, stays in this process.
        label: what the progress bar says; empty for none. Bars show on a terminal
            only, so logs stay readable.
        patience: seconds that one item may take in a worker; None for any time.

    Raises:
        WorkerDied: a worker crashed or lost patience; results so far were yielded.
    """
    bar = tqdm(
        total=len(items), desc=label, unit="", disable=not (label and terminal())
    )
    with bar:
        if workers <= 1 or len(items) < _WORTH_A_POOL:
            source: Iterable[R] = map(function, items)
        else:
            source = _pooled(function, items, workers, patience, label)
        for result in source:
            bar.update()
            yield result


def _pooled(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int,
    patience: float | None,
    label: str,
) -> Iterator[R]:
    size = max(1, min(50, len(items) // (workers * 8)))
    timeout = patience and patience * size
    keeper = _SHARED.get()
    pool = keeper[-1] if keeper else _start(workers)
    if keeper is not None and not keeper:
        keeper.append(pool)
    waiting: deque[Future[list[R]]] = deque()
    try:
        for batch in chunks(items, size):
            waiting.append(pool.submit(_batch, function, batch))
            if len(waiting) >= 4 * workers:
                yield from waiting.popleft().result(timeout)
        while waiting:
            yield from waiting.popleft().result(timeout)
        if keeper is None:
            pool.shutdown()
    except (BrokenProcessPool, TimeoutError) as error:
        _end(pool)
        if keeper:
            keeper.clear()
        raise WorkerDied(
            f"{label or 'comparing'}: a worker process was ended from outside or did "
            "not answer in time (often memory: try fewer --workers); the same command "
            "continues where this one stopped"
        ) from error
    except BaseException:
        _end(pool)
        if keeper:
            keeper.clear()
        raise


@contextmanager
def shared_workers() -> Iterator[None]:
    """Let all calls of :func:`each` inside share one set of workers.

    Starting a worker costs about 3 s: it imports pymatgen.
    """
    keeper: list[ProcessPoolExecutor] = []
    token = _SHARED.set(keeper)
    try:
        yield
    finally:
        _SHARED.reset(token)
        for pool in keeper:
            pool.shutdown()


def _start(workers: int) -> ProcessPoolExecutor:
    # spawn: the only start method that is safe with threads and exists everywhere
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare)


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop the workers now, whatever they are doing."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


def _batch(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]


def _prepare() -> None:
    for name in _THREAD_VARIABLES:
        os.environ.setdefault(name, "1")
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End this worker when the process that started it is gone, killed or not."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def terminal(stream: TextIO | None = None) -> bool:
    """Tell whether somebody is looking: bars show on a terminal or in a notebook.

    Args:
        stream: where the bar would go; standard error if not given.
    """
    stream = stream or sys.stderr
    return stream.isatty() or type(stream).__module__.startswith("ipykernel")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut an iterable into lists of at most ``size``.

    >>> list(chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
