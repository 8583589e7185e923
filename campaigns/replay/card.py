"""The result card of a replay: what was measured, and how to run it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from campaigns.replay import costs, until
from campaigns.replay.intervals import Estimate, estimate, resamples
from campaigns.replay.metrics import (
    Measure,
    counts,
    expected_recall,
    hit_rates,
    random_labels,
    random_recall,
    recall_curve,
    regret_curve,
    volume_curve,
)
from campaigns.replay.peers.verdicts import verdicts as peer_verdicts
from campaigns.replay.pools import Pool
from campaigns.replay.recipes import ReplayConfig
from campaigns.replay.runner import protocol, strategies
from campaigns.replay.trace import Trace
from campaigns.replay.verdicts import limit_verdicts, notices, verdicts
from campaigns.replay.wanted import numbered
from matdisco.recipe import digest

DECIDING = ("scikit-learn", "sevenn", "baybe", "ax-platform")
"""What decides replays besides what is recorded of a campaign: forests, features of
SevenNet, peers."""
RANDOM = "random (exact)"
"""Name of the baseline that needs no simulation."""


def judge(config: ReplayConfig, pool: Pool, traces: Sequence[Trace]) -> dict[str, Any]:
    """Return the card as plain data.

    Args:
        config: the replay.
        pool: its pool.
        traces: of all strategies and seeds.
    """
    spent = counts(config.initial, config.batch_size, config.rounds, len(pool))
    draws = resamples(config.seeds, config.resamples)
    names = list(dict.fromkeys(t.strategy for t in traces))
    by_name = {n: [t for t in traces if t.strategy == n] for n in names}
    curves = {
        n: np.array(
            [
                recall_curve(np.array(t.order), pool.phases, t.answered(spent))
                for t in group
            ]
        )
        for n, group in by_name.items()
    }
    rows = {
        n: _row(config, pool, by_name[n], curves[n], spent, draws[:, : len(curves[n])])
        for n in names
    }
    own = [n for n in names if n in config.strategies]
    others = [n for n in names if n not in config.strategies]
    compared = strategies(config, pool)
    priced: dict[str, Any] = {}
    if config.fidelities is not None:
        for n in names:
            rows[n] |= costs.costs(curves[n], spent, draws)
            if by_name[n][0].asked:
                rows[n]["asked"] = costs.asked(by_name[n])
        found = costs.verdicts(curves, compared, own, spent, draws)
        priced = {"cost_verdict": found}
    arrival: dict[str, Any] = {}
    if pool.truth is not None:
        for n in names:
            rows[n]["until"] = until.until(curves[n], spent, draws)
        arrival = {
            "until_random": until.chance(pool.phases, spent),
            "until_verdict": until.verdicts(curves, compared, spent, draws),
        }
    beside = peer_verdicts(curves, compared, spent, draws)
    if beside:
        arrival["peer_verdict"] = beside
    if pool.margins is not None:
        arrival["limit_verdict"] = limit_verdicts(curves, compared, spent, draws)
    mean, low, high = random_recall(spent, pool.phases)
    card = {
        "replay": config.name,
        "description": " ".join(config.description.split()),
        "notices": notices(config),
        "pool": {
            "candidates": len(pool),
            "wanted": pool.count,
            "hash": pool.content_hash,
            "targets": [t.model_dump(mode="json") for t in config.targets],
            "rule": config.wanted.model_dump(mode="json"),
        },
        "protocol": {
            "initial": config.initial,
            "batch_size": config.batch_size,
            "rounds": config.rounds,
            "seeds": config.seeds,
            "first_seed": config.first_seed,
            "labels": spent.tolist(),
            "hash": protocol(config, pool),
            "highest_possible_af50": _limit(config, pool),
        },
        "random": {
            "recall": mean.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        },
        "strategies": rows,
        "verdict": verdicts(curves, own, others, spent, draws, pool),
        **priced,
        **arrival,
        "recipes": {n: s.model_dump(mode="json") for n, s in compared.items()},
        "config": config.model_dump(mode="json"),
        "versions": _versions(),
    }
    orders = {n: [[*t.order, *t.paid] for t in by_name[n]] for n in names}
    card["hash"] = digest({"orders": orders, "protocol": card["protocol"]})
    return card


def _row(
    config: ReplayConfig,
    pool: Pool,
    group: Sequence[Trace],
    curves: np.ndarray,
    spent: np.ndarray,
    draws: np.ndarray,
) -> dict[str, Any]:
    n, last = len(pool), int(spent[-1])
    half = int(spent[len(spent) // 2])
    measures = {
        **{
            f"af{r}": Measure(
                spent, n, recall=r / 100, random=random_labels(r / 100, pool.phases)
            )
            for r in (50, 80, 100)
        },
        "recall_half": Measure(spent, n, at=half),
        "recall": Measure(spent, n, at=last),
        "audc": Measure(spent, n),
    }
    found: dict[str, Any] = {
        k: estimate(curves, draws % len(curves), m).plain() for k, m in measures.items()
    }
    orders = [np.array(t.order) for t in group]
    counted = [t.answered(spent) for t in group]
    pairs = list(zip(orders, counted, strict=True))
    chance = float(expected_recall(np.array([last]), pool.phases)[0])
    found["enhancement"] = found["recall"]["value"] / chance
    found["curve"] = curves.mean(axis=0).round(5).tolist()
    found["curves"] = curves.round(5).tolist()
    found["hit_rate"] = (
        np.mean([hit_rates(o, pool.wanted, c.tolist()) for o, c in pairs], axis=0)
        .round(4)
        .tolist()
    )
    if len(config.goals) == 1:
        regret = [regret_curve(o, pool.worth, c)[-1] for o, c in pairs]
        found["regret"] = float(np.mean(regret))
        wide = numbered(_top(pool, 0.05))
        found["recall_top5"] = float(
            np.mean([recall_curve(o, wide, c)[-1] for o, c in pairs])
        )
    if pool.margins is not None:
        met = np.asarray((pool.margins >= 0).all(axis=1))
        found["within_limits"] = round(
            float(np.mean([met[o[config.initial :]].mean() for o in orders])), 4
        )
    if pool.reference is not None:
        volumes = np.array(
            [volume_curve(o, pool.merit, pool.reference, spent) for o in orders]
        )
        for key, measure in (
            ("hypervolume", Measure(spent, n, at=last)),
            ("hypervolume_area", Measure(spent, n)),
        ):
            found[key] = estimate(volumes, draws % len(volumes), measure).plain()
        found["hypervolume_curve"] = volumes.mean(axis=0).round(5).tolist()
    seconds = {
        k: float(np.mean([t.seconds[k] for t in group])) for k in group[0].seconds
    }
    found["cpu_seconds"] = {k: round(v, 3) for k, v in seconds.items()}
    found["cpu_seconds_per_label"] = round(
        sum(seconds.values()) / (last - config.initial), 5
    )
    judged = [row for t in group for row in t.calibration if row]
    if judged:
        keys = judged[0].keys()
        found["calibration"] = {
            k: round(float(np.median([r[k] for r in judged if k in r])), 4)
            for k in keys
        }
        found["calibration_by_round"] = {
            k: [
                round(float(np.mean([t.calibration[i][k] for t in group])), 4)
                for i in range(min(len(t.calibration) for t in group))
                if all(k in t.calibration[i] for t in group)
            ]
            for k in ("coverage_90", "ence", "miscalibration_area", "mae")
        }
    return found


def _top(pool: Pool, fraction: float) -> np.ndarray:
    count = max(1, round(fraction * len(pool)))
    chosen = np.zeros(len(pool), dtype=bool)
    chosen[np.argsort(-pool.worth, kind="stable")[:count]] = True
    return chosen


def _limit(config: ReplayConfig, pool: Pool) -> float:
    """AF50 of a strategy that finds nothing but wanted candidates after the start."""
    first = config.initial * pool.count / len(pool)
    half = pool.count / 2
    labels = config.initial + max(half - first, 0.0)
    return round(float(0.5 * len(pool) / labels), 1)


def _versions() -> dict[str, str]:
    from campaigns.environment import versions

    found = versions()
    for name in DECIDING:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def text(card: Mapping[str, Any]) -> str:
    """Return the card as a table for a terminal."""
    pool, rules = card["pool"], card["protocol"]
    last = rules["labels"][-1]
    lines = [
        f"replay {card['replay']}: {pool['wanted']} wanted of {pool['candidates']:,}, "
        f"{rules['seeds']} seeds, {rules['initial']} + {rules['rounds']} x "
        f"{rules['batch_size']} labels",
        *(f"  NOTE: {said}" for said in card["notices"]),
        f"{'strategy':28s} {'AF50':>24s} {'AF80':>24s} {'recall at ' + str(last):>24s} "
        f"{'regret':>8s} {'CPU s':>7s}",
    ]
    order = sorted(
        card["strategies"], key=lambda n: -(card["strategies"][n]["audc"]["value"])
    )
    for name in order:
        row = card["strategies"][name]
        cells = [_cell(row[k]) for k in ("af50", "af80", "recall")]
        regret = f"{row['regret']:8.3g}" if "regret" in row else f"{'':8s}"
        cpu = sum(row["cpu_seconds"].values())
        lines.append(
            f"{name:28s} {cells[0]:>24s} {cells[1]:>24s} {cells[2]:>24s} {regret} "
            f"{cpu:7.1f}"
        )
        if "cost50" in row:
            told = ", ".join(f"{v:.0f} {k}" for k, v in row.get("asked", {}).items())
            lines[-1] += f"  cost of half {_cell(row['cost50'])}, asked {told or 0}"
        if "within_limits" in row:
            lines[-1] += f"  within the limits {row['within_limits']:.2f}"
        if "hypervolume" in row:
            lines[-1] += f"  hypervolume {_cell(row['hypervolume'])}"
    chance = card["random"]["recall"][-1]
    lines.append(f"{RANDOM:28s} {'1':>24s} {'1':>24s} {chance:24.3f}")
    said = [
        *card["verdict"].values(),
        *card.get("cost_verdict", {}).values(),
        *card.get("limit_verdict", {}).values(),
    ]
    lines += [f"  {v['words']}" for v in said]
    pairs = card.get("peer_verdict", {}).values()
    lines += [f"  {v['words']}" for pair in pairs for v in pair.values()]
    if "until_random" in card:
        rows = {n: card["strategies"][n]["until"] for n in order}
        lines += until.table({**rows, RANDOM: card["until_random"]})
        pairs = card["until_verdict"].values()
        lines += [f"  {v['words']}" for pair in pairs for v in pair.values()]
    return "\n".join(lines)


def _cell(found: Mapping[str, float | None]) -> str:
    return Estimate.read(found).text()


def write(card: Mapping[str, Any], folder: Path) -> str:
    """Write ``card.json`` and ``card.html``; return the table and where they are."""
    from campaigns.replay.page import page

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False))
    (folder / "card.html").write_text(page(card), encoding="utf-8")
    return f"{text(card)}\n{folder}/card.json and card.html, hash {card['hash'][:16]}"
