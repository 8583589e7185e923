"""The surrogate as a model that ``mlflow.pyfunc`` loads, without pickle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.fronts.recipe import FrontObjective
from campaigns.tracking import contents
from campaigns.tracking.inputs import newest_checkpoint, requirements
from campaigns.tracking.registry import NEWEST, register
from matdisco.properties import get

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

    from campaigns.campaign import Campaign


def log_surrogate(
    client: MlflowClient, campaign: Campaign, experiment: str, run_id: str
) -> None:
    """Log the newest checkpoint as a model without pickle; drop older ones.

    For a front that of every target.
    """
    known = client.search_logged_models(
        [experiment], filter_string=f"source_run_id = '{run_id}'"
    )
    objective = campaign.config.objective
    several = isinstance(objective, FrontObjective)
    for i, target in enumerate(objective.labels if several else (objective.target,)):
        mine = [m for m in known if m.tags.get("matdisco.target") == target]
        _log_newest(
            client, campaign, experiment, run_id, mine, target=target,
            suffix=f"-{target.replace('_', '-')}" if i else "",
            folder=newest_checkpoint(campaign, target if i else ""),
        )  # fmt: skip


def _log_newest(
    client: MlflowClient,
    campaign: Campaign,
    experiment: str,
    run_id: str,
    known: Sequence[LoggedModel],
    *,
    target: str,
    suffix: str,
    folder: Path | None,
) -> None:
    """Log one target's checkpoint, if it is not logged yet."""
    if folder is None:
        return
    ready = [
        m
        for m in known
        if m.tags.get("matdisco.checkpoint") == folder.name
        and str(m.status) in ("READY", "LoggedModelStatus.READY")
    ]
    if not ready:
        _log(client, campaign, experiment, run_id, folder, target, suffix)
    for model in known:
        if model not in ready[:1]:
            client.delete_logged_model(model.model_id)


def _log(
    client: MlflowClient,
    campaign: Campaign,
    experiment: str,
    run_id: str,
    folder: Path,
    target: str,
    suffix: str,
) -> None:
    from mlflow.entities import LoggedModelOutput

    config = campaign.config
    tags = {
        "matdisco.checkpoint": folder.name,
        "matdisco.run_id": campaign.run_id,
        "matdisco.target": target,
    }
    name = f"{config.name}-surrogate{suffix}"
    model_id = log_checkpoint(
        client, folder, name, experiment, run_id, tags=tags,
        params=contents.params_of_surrogate(config), kind=config.surrogate.kind,
        requirements=requirements(campaign),
    )  # fmt: skip
    step = len(campaign.ledger.events("closed"))
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step)])
    what = f"{config.surrogate.kind.replace('_', ' ')} of {get(target).axis}"
    text = (
        f"Surrogate of campaign {config.name}: {what}, as fitted in {folder.name}. "
        "Load it with mlflow.pyfunc; assess it with: matdisco surrogate assess "
        f"models:/{name}@{NEWEST} DATASET"
    )
    register(client, name, model_id, run_id, description=text, tags=tags)


def log_checkpoint(
    client: MlflowClient,
    folder: Path,
    name: str,
    experiment: str,
    run_id: str,
    *,
    tags: Mapping[str, str],
    params: Mapping[str, str],
    kind: str,
    requirements: Sequence[str],
) -> str:
    """Log a checkpoint folder as a model that ``mlflow.pyfunc`` loads.

    Returns:
        The model's id.
    """
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    model = client.create_logged_model(
        experiment, name=name, source_run_id=run_id, tags=dict(tags),
        params=dict(params), model_type=kind,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        pyfunc.save_model(
            path=f"{place}/model",
            loader_module="surrogates.pyfunc",
            data_path=str(folder),
            mlflow_model=Model(
                artifact_path=model.artifact_location,
                run_id=run_id,
                model_id=model.model_id,
            ),
            signature=ModelSignature(
                Schema([ColSpec("string", "structure")]),
                Schema([ColSpec("double", "mean"), ColSpec("double", "std")]),
            ),
            pip_requirements=list(requirements),
        )
        client.log_model_artifacts(model.model_id, f"{place}/model")
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)
