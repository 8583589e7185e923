"""Replays of configs/replays as one table: pytest -m benchmark -k phonons, and so on.

Pools that are not on this machine are skipped. What was run before is kept under
bench-results/replays and not run again. ``REPLAY_SEEDS=2`` in the environment runs so
many seeds of each instead of its own number.
"""

import os
from pathlib import Path

import pytest

from campaigns.replay.card import judge, write
from campaigns.replay.intervals import Estimate
from campaigns.replay.pools import load
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import run
from matdisco.errors import ConfigError

pytestmark = pytest.mark.benchmark
CONFIGS = sorted(Path("configs/replays").glob("*.yaml"))
TABLE = Path("bench-results/replays.md")
HEAD = (
    "| replay | strategy | seeds | AF50 | AF80 | recall at the end | hypervolume "
    "| beats random | beats the best baseline |\n" + "|---" * 9 + "|\n"
)


def cell(found):
    return Estimate.read(found).text()


def rows(card):
    """One line per strategy, the best first."""
    found = card["strategies"]
    for name in sorted(found, key=lambda n: -found[n]["audc"]["value"]):
        row, verdict = found[name], card["verdict"].get(name)
        cells = [str(card["protocol"]["seeds"])]
        cells += [cell(row[k]) for k in ("af50", "af80", "recall")]
        cells.append(cell(row["hypervolume"]) if "hypervolume" in row else "")
        if verdict is None:
            cells += ["baseline", ""]
        else:
            better = verdict["beats_best_baseline"] or "no baseline ran"
            cells += [verdict["beats_random"], f"{better} ({verdict['best_baseline']})"]
        yield f"| {card['replay']} | {name} | {' | '.join(cells)} |"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_replay(path):
    if path.stem == "quickstart":
        pytest.skip("a campaign, not a replay")
    config = ReplayConfig.load(path)
    if seeds := os.environ.get("REPLAY_SEEDS"):
        config = config.model_copy(update={"seeds": int(seeds)})
    folder = TABLE.parent / "replays" / config.name
    try:
        pool = load(config, folder / "features")
    except ConfigError as error:
        pytest.skip(str(error))
    card = judge(config, pool, run(config, folder, workers=os.cpu_count() or 1))
    print(write(card, folder))
    lines = TABLE.read_text().splitlines()[2:] if TABLE.exists() else []
    kept = [line for line in lines if not line.startswith(f"| {config.name} |")]
    TABLE.write_text(HEAD + "\n".join(sorted([*kept, *rows(card)])) + "\n")
