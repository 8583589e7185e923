"""Registered surrogates: versions, aliases, and the cards of their assessments.

A name holds the surrogates of one campaign or training, its versions in the order in
which they were logged. The alias ``newest`` is the latest of them, ``passed`` the
latest that passed an assessment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from surrogates.assessment.card import Card

NEWEST, PASSED = "newest", "passed"
MODEL = "matdisco.model"
"""Tag that holds the id of a version's logged model: a search does not return it."""
_MODEL = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>.+))$")


def register(
    client: MlflowClient,
    name: str,
    model_id: str,
    run_id: str,
    *,
    description: str,
    tags: Mapping[str, str],
) -> None:
    """Make a logged model the newest version of a name; once per model.

    Versions whose model was logged by the same run before, and is gone, go too. A
    server may refuse (not everybody may register): the run then says so in the tag
    ``matdisco.registry``, and the model is logged all the same.

    Args:
        client: of the store.
        name: of the registered model.
        model_id: the logged model.
        run_id: the run that logged it.
        description: for a person.
        tags: to search by.
    """
    from mlflow.exceptions import MlflowException

    name = re.sub(r"[/:]", "-", name)  # the two that MLflow does not take
    try:
        known = client.search_model_versions(f"name = '{name}'")
        if any(v.tags.get(MODEL) == model_id for v in known):
            return
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, description=description)
        # a store in a file would look for models:/ in whatever store is global here; a
        # server looks in its own, and takes no path of this machine
        served = str(client.tracking_uri).startswith("http")
        source = f"models:/{model_id}"
        if not served:
            source = client.get_logged_model(model_id).artifact_location
        made = client.create_model_version(
            name, source, run_id, tags={**tags, MODEL: model_id},
            description=description, model_id=model_id,
        )  # fmt: skip
        client.set_registered_model_alias(name, NEWEST, made.version)
        for old in known:
            if old.run_id == run_id:
                client.delete_model_version(name, old.version)
    except MlflowException as error:
        text = " ".join(str(error).split())[:200]
        client.set_tag(run_id, "matdisco.registry", f"{name} was refused: {text}")


def attach(client: MlflowClient, card: Card, run_id: str) -> None:
    """Note a card on the registered version that it is about; else do nothing.

    Args:
        client: of the store that holds both.
        card: a finished assessment.
        run_id: the run that shows the card.
    """
    found = _MODEL.match(str(card.body["model"].get("mlflow", "")))
    if found is None:
        return
    name, version = found["name"], found["version"]
    if version is None:
        version = client.get_model_version_by_alias(name, found["alias"]).version
    suite = card.body["suite"]
    for key, value in {
        "matdisco.card": card.seal,
        "matdisco.card_run": run_id,
        "matdisco.verdict": card.verdict,
        "matdisco.suite": f"{suite['name']} {suite['version']}",
    }.items():
        client.set_model_version_tag(name, version, key, value)
    old: Any = client.get_model_version(name, version).description or ""
    line = f"Assessment ({suite['name']} {suite['version']}): {card.verdict}; "
    line += f"card {card.seal[:16]} in run {run_id}."
    client.update_model_version(name, version, f"{old}\n\n{line}".strip())
    if card.verdict == "pass":
        client.set_registered_model_alias(name, PASSED, version)
