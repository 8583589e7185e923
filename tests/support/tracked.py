"""What an MLflow store holds of a campaign, for comparison."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from campaigns import Campaign
from campaigns.tracking import sync
from campaigns.tracking.store import quiet_mlflow


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def everything(tracking: dict[str, Any]) -> dict[str, Any]:
    """Return all that the experiment holds, without the ids that MLflow chose."""
    with quiet_mlflow():
        return _everything(tracking)


def _everything(tracking: dict[str, Any]) -> dict[str, Any]:
    client = client_of(tracking["uri"])
    experiment = client.get_experiment_by_name(tracking["experiment"])
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    out: dict[str, Any] = {"runs": []}
    for run in runs:
        tags = {
            k: v
            for k, v in run.data.tags.items()
            if k not in ("mlflow.parentRunId", "matdisco.folder")
        }
        history = {
            k: [
                (m.step, m.timestamp, m.value)
                for m in client.get_metric_history(run.info.run_id, k)
            ]
            for k in run.data.metrics
        }
        inputs = run.inputs.dataset_inputs
        out["runs"].append(
            {
                "name": run.info.run_name,
                "status": run.info.status,
                "times": (run.info.start_time, run.info.end_time),
                "tags": tags,
                "params": run.data.params,
                "metrics": history,
                "files": sorted(files(client, run.info.run_id)),
                "datasets": sorted((i.dataset.name, i.dataset.digest) for i in inputs),
            }
        )
    out["runs"].sort(key=lambda r: r["name"])
    out["models"] = sorted(
        (m.name, str(m.status), m.tags["matdisco.checkpoint"])
        for m in client.search_logged_models([experiment.experiment_id])
    )
    return out


def files(client: Any, run: str, path: str | None = None) -> Iterator[str]:
    for item in client.list_artifacts(run, path):
        if item.is_dir:
            yield from files(client, run, item.path)
        else:
            yield item.path


def synced(folder: Path) -> str:
    with Campaign.open(folder) as campaign:
        return sync(campaign)


def whole_experiment(tracking: dict[str, Any]) -> str:
    client = client_of(tracking["uri"])
    return client.get_experiment_by_name(tracking["experiment"]).experiment_id


class Said(list[str]):
    """Collects what a tracker says."""

    def __call__(self, text: str) -> None:
        self.append(text)
