"""What a configuration would do, told before anything is spent."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap

from campaigns.config import CampaignConfig
from campaigns.fronts.recipe import FrontObjective
from campaigns.objectives import AnyObjective, HullObjective
from matdisco.errors import ConfigError
from matdisco.properties import get


def describe_plan(config: CampaignConfig, folder: Path) -> str:
    """Return a plain-text plan: pool, cost, files.

    Raises:
        ConfigError: the configuration cannot work.
    """
    size = config.check()
    n = min(config.budget.evaluations, size.count)
    lines = [
        f"campaign {config.name}",
        f"  candidates   {size} ({config.candidates.kind}, "
        f"{size.mean_atoms:.1f} atoms on average)",
        *_screening(config),
        f"  objective    {_wanted(config.objective)}",
        f"  evaluations  {n} planned, {100 * n / size.count:.0f} % of the pool, "
        f"{config.acquisition.batch_size} per round",
        _cost(config, n, size.mean_atoms),
        *_ladder(config, size.mean_atoms),
        *_budget(config),
        f"  surrogate    {config.surrogate.kind}",
        *_doubts(config),
        f"  acquisition  {config.acquisition.kind}",
        f"  leaves       {folder}/: ledger.sqlite (the record), report.html, "
        "config.yaml,",
        "               pool.parquet, ranking.csv, evaluations/, surrogates/, logs/",
    ]
    if config.tracking.enabled:
        store = config.tracking.uri or str(folder.parent.parent / "mlflow.db")
        lines.append(f"  MLflow       {store}, experiment {config.tracking.experiment}")
    return "\n".join(lines)


def _wanted(objective: AnyObjective) -> str:
    if isinstance(objective, FrontObjective):
        return objective.describe()
    goal = "minimise" if isinstance(objective, HullObjective) else objective.goal
    prop = get(objective.headline)
    return f"{goal} {prop.label.lower()} ({prop.unit})"


def describe_first_round(config: CampaignConfig) -> str:
    """Build the pool and return the first round as text; writes nothing.

    Raises:
        ConfigError: the pool holds no structure of some pure element.
    """
    from campaigns.pool import make_pool
    from campaigns.propose import first_round
    from campaigns.state import State
    from matdisco.data.dataset import Dataset
    from matdisco.errors import CampaignError
    from matdisco.screening.screen import describe

    with TemporaryDirectory() as folder:
        path = Path(folder) / "pool.parquet"
        made = make_pool(config, path)
        state = State(Dataset.open(path), config.objective, {}, {})
    try:
        proposals = first_round(config, state)
    except CampaignError as error:
        raise ConfigError(str(error)) from error
    lines = []
    if made.screening is not None:
        lines.append(f"screening: {describe(made.screening)}")
    lines += [f"first round: {len(proposals)} of {len(state.pool):,} candidates"]
    lines += [f"  {p['candidate']:40s} {p['reason']}" for p in proposals]
    return "\n".join(lines)


def _screening(config: CampaignConfig) -> list[str]:
    """Say which rules will be asked, which elements they bar, and what will grow."""
    lines = []
    if config.screening is not None:
        names = ", ".join(config.screening.names()) or "no rule is on"
        lines.append(f"  screening    {names}")
        policy = config.screening.elements
        space = config.candidates.chemical_space() or ()
        objections = [policy.objection(e) for e in space]
        if policy.severity != "off":
            lines += [f"               {policy.severity}: {o}" for o in objections if o]
    if config.growth is not None:
        growth = config.growth
        when = "every round" if growth.every == 1 else f"every {growth.every} rounds"
        lines.append(
            f"  growth       up to {growth.per_round} new candidates before {when}"
        )
    return lines


def _cost(config: CampaignConfig, n: int, n_atoms: float) -> str:
    """Say what ``n`` evaluations take: people's hours, or a machine's."""
    each, execution = config.evaluator.seconds_per_evaluation(n_atoms), config.execution
    if config.evaluator.by_hand:
        return (
            f"  cost         about {_duration(n * each)} in the laboratory, "
            f"{_duration(each)} each"
        )
    wall = n * each / min(execution.workers, n)
    return (
        f"  cost         about {_duration(n * each * execution.cores)} of one core in "
        f"evaluations, {_duration(wall)} with {execution.workers} workers"
    )


def _doubts(config: CampaignConfig) -> list[str]:
    """Say where candidates are alike to the surrogate."""
    from campaigns.blind import doubt_of_polymorphs

    found = doubt_of_polymorphs(config)
    text = wrap(found or "", 73)
    return [f"               {line}" for line in text]


def _ladder(config: CampaignConfig, n_atoms: float) -> list[str]:
    """Say what each rung confirms and costs."""
    lines = []
    for rung in config.ladder:
        execution = rung.execution or config.execution
        core = rung.evaluations * rung.evaluator.seconds_per_evaluation(n_atoms)
        limit = "" if rung.within is None else f" within {rung.within:g} of the best"
        lines.append(
            f"  {rung.name:<12} confirms up to {rung.evaluations}, {rung.best} per "
            f"round{limit}; about {_duration(core * execution.cores)} of one core"
        )
    return lines


def _budget(config: CampaignConfig) -> list[str]:
    """Say what may be spent, where that is limited."""
    budget = config.budget
    parts = []
    if budget.core_hours is not None:
        parts.append(f"{budget.core_hours:g} core-hours")
    if budget.money is not None:
        parts.append(f"{budget.money:g} {budget.currency}")
    return [f"  budget       at most {' and '.join(parts)}"] if parts else []


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
