"""Assessment cards in MLflow, and MLflow models as subjects of an assessment."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from campaigns.tracking.contents import named
from campaigns.tracking.inputs import DatasetEntry, log_datasets
from campaigns.tracking.projection import experiment_of
from campaigns.tracking.registry import attach
from campaigns.tracking.store import explain, quiet_mlflow, without_password
from matdisco.crystal import Crystal
from matdisco.errors import CampaignError, MatdiscoError, SurrogateError
from surrogates.assessment.card import Card
from surrogates.assessment.subject import Guess, Subject

EXPERIMENT = "matdisco assessments"
LOADER = "surrogates.pyfunc"


def log_card(folder: Path, uri: str, experiment: str = EXPERIMENT) -> str:
    """Log a card folder as a run; a card that is there already is not logged twice.

    Returns:
        The MLflow run id.

    Raises:
        CampaignError: the store does not answer or refuses.
    """
    card = Card.read(folder)
    try:
        with quiet_mlflow():
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            return _log(client, card, folder, experiment)
    except MatdiscoError:
        raise
    except Exception as error:
        raise CampaignError(
            f"the card is in {folder}, but MLflow at {without_password(uri)} did not "
            f"take it: {explain(error)}"
        ) from error


def _log(client: Any, card: Card, folder: Path, experiment: str) -> str:
    from mlflow.entities import Metric, Param, RunTag

    home = experiment_of(client, experiment)
    same = client.search_runs([home], f"tags.`matdisco.card` = '{card.seal}'")
    done = [r for r in same if r.info.status == "FINISHED"]
    if done:
        return str(done[0].info.run_id)
    for broken in same:  # died half-way
        client.delete_run(broken.info.run_id)
    body, now = card.body, time.time_ns() // 1_000_000
    tags = {
        "matdisco.kind": "assessment",
        "matdisco.card": card.seal,
        "matdisco.verdict": card.verdict,
        "matdisco.target": str(body["data"]["target"]),
        "mlflow.source.name": "matdisco surrogate assess",
        "matdisco.model_kind": str(body["model"]["kind"]),
        "matdisco.dataset": str(body["data"].get("test", {}).get("sha256", "")),
        "mlflow.note.content": (folder / "card.md").read_text(encoding="utf-8"),
    }
    params = {
        "model": card.name,
        "suite": f"{body['suite']['name']} {body['suite']['version']}",
        "target": str(body["data"]["target"]),
        "records": str(body["data"]["records"]),
    }
    metrics = [
        Metric(metric_name(m["key"], m["unit"]), m["value"], now, 0)
        for m in card.measures().values()
        if m["value"] is not None
    ]
    run = client.create_run(home, run_name=f"{card.name}: {card.verdict}")
    client.log_batch(
        run.info.run_id, metrics,
        [Param(k, v) for k, v in params.items()],
        [RunTag(k, v) for k, v in tags.items() if v],
    )  # fmt: skip
    used = {k: v for k, v in body["data"].items() if isinstance(v, dict)}
    log_datasets(client, run.info.run_id, [
        DatasetEntry(v["name"], v["sha256"], "", use, [], {"crystals": v["records"]})
        for use, v in used.items()
    ])  # fmt: skip
    client.log_artifacts(run.info.run_id, str(folder), "card")
    attach(client, card, run.info.run_id)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def metric_name(key: str, unit: str) -> str:
    """Return what MLflow calls a measure: section, name, unit.

    >>> metric_name("efficacy.mae", "eV/atom")
    'efficacy/mae_eV_per_atom'
    """
    return named(key.replace(".", "/", 1), "", unit)


def open_model(model: str, uri: str, place: Path, *, trust: bool = False) -> Subject:
    """Fetch an MLflow model and open it.

    Models that matdisco logged are data (safetensors and JSON) and open as checkpoints.
    Others run code of their own when they load, which needs ``trust``.

    Args:
        model: ``models:/NAME/VERSION``, ``models:/NAME@ALIAS`` or ``runs:/RUN/PATH``.
        uri: the MLflow store.
        place: an empty folder that outlives the subject.
        trust: load models of others, and so run their code.

    Raises:
        SurrogateError: no such model, or one that would run code.
    """
    import yaml

    from surrogates.assessment.doors import open_checkpoint

    try:
        with quiet_mlflow(), _store(uri):
            from mlflow.artifacts import download_artifacts

            got = Path(download_artifacts(artifact_uri=model, dst_path=str(place)))
    except Exception as error:
        raise SurrogateError(
            f"{model}: not found in MLflow at {without_password(uri)}: {explain(error)}"
        ) from error
    told = yaml.safe_load((got / "MLmodel").read_text(encoding="utf-8"))
    flavour = told["flavors"].get("python_function", {})
    name = model.partition(":/")[2].strip("/")
    if flavour.get("loader_module") == LOADER:
        opened = open_checkpoint(got / str(flavour["data"]))
        identity = {**opened.identity, "mlflow": model}
        return replace(opened, name=name, identity=identity)
    if not trust:
        raise SurrogateError(
            f"{model}: loading it would run code that came with it (loader "
            f"{flavour.get('loader_module', 'unknown')}); if you trust its origin, say "
            "--trust"
        )
    return _foreign(got, name, model)


@contextmanager
def _store(uri: str) -> Iterator[None]:
    """Point MLflow's URIs of runs and models to a store, and back."""
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])


def _foreign(folder: Path, name: str, model: str) -> Subject:
    """Wrap any pyfunc model that takes a column ``structure`` of JSON."""
    import json

    import pandas as pd
    from mlflow import pyfunc

    with quiet_mlflow():
        loaded = pyfunc.load_model(str(folder))

    def predict(crystals: Sequence[Crystal]) -> Guess:
        texts = [json.dumps(c.to_dict()["structure"]) for c in crystals]
        answer = loaded.predict(pd.DataFrame({"structure": texts}))
        if isinstance(answer, pd.DataFrame):
            std = answer["std"].to_numpy(float) if "std" in answer else None
            column = "mean" if "mean" in answer else answer.columns[0]
            return Guess(answer[column].to_numpy(float), std)
        return Guess(np.asarray(answer, dtype=float).reshape(-1), None)

    return Subject(
        name, "function", {"mlflow": model}, predict=predict, files=folder,
        trusts_code=f"the MLflow model {model}",
    )  # fmt: skip
