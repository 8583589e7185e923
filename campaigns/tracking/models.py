"""The surrogate as a model that ``mlflow.pyfunc`` loads, without pickle."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.tracking import contents
from campaigns.tracking.inputs import newest_checkpoint, requirements

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from campaigns.campaign import Campaign


def log_surrogate(
    client: MlflowClient, campaign: Campaign, experiment: str, run_id: str
) -> None:
    """Log the newest checkpoint as a model without pickle; drop older ones."""
    folder = newest_checkpoint(campaign)
    known = client.search_logged_models(
        [experiment], filter_string=f"source_run_id = '{run_id}'"
    )
    if folder is None:
        return
    ready = [
        m
        for m in known
        if m.tags.get("matdisco.checkpoint") == folder.name
        and str(m.status) in ("READY", "LoggedModelStatus.READY")
    ]
    if not ready:
        _log(client, campaign, experiment, run_id, folder)
    for model in known:
        if model not in ready[:1]:
            client.delete_logged_model(model.model_id)


def _log(
    client: MlflowClient, campaign: Campaign, experiment: str, run_id: str, folder: Path
) -> None:
    from mlflow import pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    model = client.create_logged_model(
        experiment,
        name=f"{campaign.config.name}-surrogate",
        source_run_id=run_id,
        tags={
            "matdisco.checkpoint": folder.name,
            "matdisco.run_id": campaign.run_id,
            "matdisco.target": campaign.config.objective.target,
        },
        params=contents.params_of_surrogate(campaign.config),
        model_type=campaign.config.surrogate.kind,
    )
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
            pip_requirements=requirements(campaign),
        )
        client.log_model_artifacts(model.model_id, f"{place}/model")
    client.finalize_logged_model(model.model_id, "READY")
    step = len(campaign.ledger.events("closed"))
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
