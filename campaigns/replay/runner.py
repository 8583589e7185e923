"""Running a replay: strategies x seeds in parallel, each a file once it is done.

Killed at any moment and started again, a replay does only what is missing; a file
counts only if it was made under the same pool, protocol and strategy.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from campaigns.replay.baselines import baselines
from campaigns.replay.feature_names import FORMATION
from campaigns.replay.features import table
from campaigns.replay.learner_recipes import AnyLearner, Cokriging, ZeroShot
from campaigns.replay.learners import learner
from campaigns.replay.peers.base import require
from campaigns.replay.peers.recipes import PeerRecipe
from campaigns.replay.pools import Pool, load
from campaigns.replay.recipes import ReplayConfig, Strategy
from campaigns.replay.simulate import simulate
from campaigns.replay.trace import Trace
from matdisco.data.workers import terminal
from matdisco.errors import CampaignError
from matdisco.recipe import digest

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def strategies(config: ReplayConfig, pool: Pool) -> Mapping[str, Strategy]:
    """Return what is compared, baselines last."""
    return {**config.strategies, **baselines(config, pool)}


def protocol(config: ReplayConfig, pool: Pool) -> str:
    """Return the hash of all that a trace depends on besides its strategy and seed."""
    asked = {"targets", "wanted", "initial", "batch_size", "rounds"}
    if config.fidelities is not None:
        asked.add("fidelities")
    kept = config.model_dump(mode="json", include=asked)
    return digest({"pool": pool.content_hash, **kept})


def run(config: ReplayConfig, folder: Path, *, workers: int) -> list[Trace]:
    """Run everything that is missing; return all traces.

    Args:
        config: the replay.
        folder: where traces are kept, ``traces/STRATEGY/SEED.json``.
        workers: processes, each with one thread.

    Raises:
        MissingExtra: a strategy is a peer that is not installed.
        CampaignError: a strategy failed; says which and why. The others are kept.
    """
    for strategy in config.strategies.values():
        if isinstance(strategy.learner, PeerRecipe):
            require(strategy.learner)
    pool = load(config, folder / "features")
    compared = strategies(config, pool)
    common = protocol(config, pool)
    traces: list[Trace] = []
    missing: list[tuple[str, int]] = []
    for name, strategy in compared.items():
        for seed in range(config.first_seed, config.first_seed + config.seeds):
            trace = _kept(folder, name, seed, _key(common, strategy))
            if trace is None:
                missing.append((name, seed))
            else:
                traces.append(trace)
    # seed by seed: what is there after an hour is comparable
    missing.sort(key=lambda pair: pair[1])
    if missing:
        recipes = [compared[name].learner for name, _ in missing]
        # each once: opening and hashing what a prior is learnt from takes seconds
        _featurise(pool, list({r.digest(): r for r in recipes}.values()))
    failures: list[str] = []
    for name, seed, found in _results(config, compared, missing, workers, folder):
        if isinstance(found, Trace):
            _keep(folder, found, _key(common, compared[name]))
            traces.append(found)
        else:
            failures.append(f"strategy {name}, seed {seed}: {found}")
    if failures:
        raise CampaignError(
            "\n".join(failures[:5]) + "\nwhat finished is kept; the same command "
            "continues"
        )
    place = {n: i for i, n in enumerate(compared)}
    return sorted(traces, key=lambda t: (place[t.strategy], t.seed))


def _results(
    config: ReplayConfig,
    compared: Mapping[str, Strategy],
    missing: list[tuple[str, int]],
    workers: int,
    folder: Path,
) -> Iterator[tuple[str, int, Trace | str]]:
    if workers == 1:
        with _one_thread():
            _prepare(config.model_dump(), str(folder / "features"))
            for name, seed in missing:
                yield name, seed, _task(name, compared[name].model_dump(), seed)
        return
    bar = tqdm(total=len(missing), unit="replay", disable=not terminal())
    done = 0
    with _one_thread(), bar:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers, max(len(missing), 1)),
            context,
            _work,
            (config.model_dump(), str(folder / "features"), os.getpid()),
        ) as executor:
            futures = {
                executor.submit(_task, name, compared[name].model_dump(), seed): (
                    name,
                    seed,
                )
                for name, seed in missing
            }
            for future in as_completed(futures):
                name, seed = futures[future]
                done += 1
                bar.update()
                error = future.exception()
                if not terminal():
                    print(
                        f"{done} of {len(missing)}: {name}, seed {seed}",
                        file=sys.stderr, flush=True,
                    )  # fmt: skip
                yield name, seed, str(error) if error else future.result()


_state: dict[str, Any] = {}


def _featurise(pool: Pool, recipes: Sequence[AnyLearner]) -> None:
    """Make the feature tables once, before the processes that read them start."""
    learners = [r.process if isinstance(r, Cokriging) else r for r in recipes]
    for name in dict.fromkeys(f for r in learners for f in getattr(r, "features", ())):
        table(pool, (name,))
    for recipe in learners:
        prior = getattr(recipe, "prior", "")
        if isinstance(recipe, ZeroShot) or prior == "zero_shot":
            table(pool, ("chgnet_formation",))
        if trend := getattr(recipe, "trend", None):
            table(pool, (FORMATION[trend],))
        if prior == "transfer":
            learner(recipe, pool, 0)


def _follow(parent: int) -> None:
    """End this process soon after its parent, which may be killed without a word."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _work(config: dict[str, Any], cache: str, parent: int) -> None:
    """Make a worker process ready; ``parent`` may have been killed meanwhile."""
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    _prepare(config, cache)


def _prepare(config: dict[str, Any], cache: str) -> None:
    import torch

    torch.set_num_threads(1)
    _state["config"] = ReplayConfig.model_validate(config)
    _state["pool"] = load(_state["config"], Path(cache))


def _task(name: str, strategy: dict[str, Any], seed: int) -> Trace:
    recipe = Strategy.model_validate(strategy)
    return simulate(_state["config"], _state["pool"], name, recipe, seed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Give worker processes one thread each: they fill the cores by their number."""
    before = {k: os.environ.get(k) for k in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _key(common: str, strategy: Strategy) -> str:
    said = strategy.model_dump(mode="json")
    if said["limits"] == "heed":
        del said["limits"]  # traces from before there were limits count on
    return digest({"protocol": common, "strategy": said})


def _file(folder: Path, name: str, seed: int) -> Path:
    return folder / "traces" / name / f"{seed:04d}.json"


def _keep(folder: Path, trace: Trace, key: str) -> None:
    path = _file(folder, trace.strategy, trace.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"key": key, **trace.to_dict()}))
    part.replace(path)


def _kept(folder: Path, name: str, seed: int, key: str) -> Trace | None:
    path = _file(folder, name, seed)
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return Trace.from_dict(data) if data.pop("key", None) == key else None
