"""A training in MLflow: parameters, history, test metrics, files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaigns.environment import versions
from campaigns.tracking.contents import LONGEST_PARAM, score
from campaigns.tracking.inputs import entry_of, log_datasets, pinned
from campaigns.tracking.models import log_checkpoint
from campaigns.tracking.projection import experiment_of
from campaigns.tracking.registry import NEWEST, register
from campaigns.tracking.store import (
    default_uri,
    explain,
    quiet_mlflow,
    without_password,
)
from matdisco.data.dataset import Dataset
from matdisco.data.shipped import resolve
from matdisco.errors import CampaignError, MatdiscoError
from matdisco.recipe import digest

if TYPE_CHECKING:
    from campaigns.training import Outcome, TrainingConfig

EXPERIMENT = "matdisco surrogates"


def log_training(config: TrainingConfig, outcome: Outcome, folder: Path) -> str:
    """Log a training as a run; the same one a second time is not logged again.

    Returns:
        The store and the run's id, for a person.

    Raises:
        CampaignError: the store does not answer or refuses; the files are written.
    """
    uri = config.tracking_uri or default_uri(folder)
    try:
        with quiet_mlflow():
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            run = _log(client, config, outcome, folder)
    except MatdiscoError:
        raise
    except Exception as error:
        raise CampaignError(
            f"the surrogate is in {folder}, but MLflow at {without_password(uri)} did "
            f"not take it: {explain(error)}"
        ) from error
    return f"run {run} at {without_password(uri)}"


def _log(client: Any, config: TrainingConfig, outcome: Outcome, folder: Path) -> str:
    from mlflow.entities import Metric, Param, RunTag

    home = experiment_of(client, EXPERIMENT)
    words = outcome.surrogate.describe()
    plain = config.model_dump(mode="json", exclude={"tracking_uri"})
    identity = digest([plain, words.get("dataset", "")])
    same = client.search_runs([home], f"tags.`matdisco.training` = '{identity}'")
    done = [r for r in same if r.info.status == "FINISHED"]
    if done:
        return str(done[0].info.run_id)
    for broken in same:  # died half-way
        client.delete_run(broken.info.run_id)
    run = client.create_run(home, run_name=config.name)
    now = time.time_ns() // 1_000_000
    unit = outcome.quantity.unit
    metrics = [
        Metric(score("test/", k, unit), v, now, 0) for k, v in outcome.metrics.items()
    ]
    metrics += [
        Metric(f"training/{key}", float(value), now, step)
        for step, row in enumerate(outcome.history)
        for key, value in row.items()
        if isinstance(value, int | float) and key != "epoch"
    ]
    params = [Param(k, v[:LONGEST_PARAM]) for k, v in _flat(plain)]
    tags = {
        "matdisco.kind": "training",
        "matdisco.training": identity,
        "matdisco.target": config.target,
        "matdisco.surrogate": config.surrogate.kind,
        "mlflow.source.name": "matdisco surrogate train",
        **{f"surrogate.{k}": v for k, v in words.items()},
    }
    size = 500  # entities in a batch; MLflow takes 1,000
    for start in range(0, len(metrics), size):
        client.log_batch(run.info.run_id, metrics[start : start + size])
    client.log_batch(
        run.info.run_id, params=params[:100],
        tags=[RunTag(k, v[:LONGEST_PARAM]) for k, v in tags.items() if v],
    )  # fmt: skip
    client.set_tag(run.info.run_id, "mlflow.note.content", _note(config, outcome))
    data = entry_of(
        Dataset.open(resolve(config.dataset)), config.dataset, "training and test"
    )
    log_datasets(client, run.info.run_id, [data])
    for name in (
        "config.yaml",
        "history.csv",
        "metrics.json",
        "test.csv",
        "parity.png",
    ):
        if (folder / name).exists():
            client.log_artifact(run.info.run_id, str(folder / name))
    client.log_artifacts(run.info.run_id, str(folder / "checkpoint"), "checkpoint")
    _register(client, config, outcome, folder / "checkpoint", home, run.info.run_id)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _note(config: TrainingConfig, outcome: Outcome) -> str:
    """Describe a training in Markdown, for the top of its MLflow page."""
    prop, found = outcome.quantity, outcome.metrics
    kind = config.surrogate.kind.replace("_", " ")
    lines = [
        f"**{config.name}**: {kind} of {prop.axis}.",
        f"It learned {outcome.report.n_train:,} records of {config.dataset} and was "
        f"judged on {len(outcome.truth):,} that it did not see (split: "
        f"{config.split.kind.replace('_', ' ')}): mean absolute error "
        f"{found['mae']:.4g} {prop.unit}, {found['coverage_90']:.0%} of the truths "
        "inside the 90 % interval.",
        "Open **Artifacts → parity.png** for every prediction of the test part, "
        "`test.csv` for the numbers. Metrics: `test/` is that part, `training/` the "
        "history where the kind has one. Before money rests on it: matdisco surrogate "
        f"assess models:/{config.name}@{NEWEST} DATASET",
    ]
    return "\n\n".join(lines)


def _register(
    client: Any,
    config: TrainingConfig,
    outcome: Outcome,
    checkpoint: Path,
    home: str,
    run_id: str,
) -> None:
    """Log the checkpoint as a model and make it the newest version of its name."""
    kind, target = config.surrogate.kind, config.target
    tags = {"matdisco.target": target, "matdisco.kind": kind}
    model = log_checkpoint(
        client, checkpoint, config.name, home, run_id, tags=tags, params={}, kind=kind,
        requirements=pinned(versions()),
    )  # fmt: skip
    text = (
        f"{kind.replace('_', ' ')} of {outcome.quantity.axis}, trained on "
        f"{config.dataset}. Assess it with: matdisco surrogate assess models:/"
        f"{config.name}@{NEWEST} DATASET"
    )
    register(client, config.name, model, run_id, description=text, tags=tags)


def _flat(tree: Any, stem: str = "") -> list[tuple[str, str]]:
    """Return (a.b.c, text) for every leaf."""
    if isinstance(tree, dict):
        return [
            pair
            for key, value in tree.items()
            for pair in _flat(value, f"{stem}.{key}" if stem else str(key))
        ]
    return [(stem, str(tree))]
