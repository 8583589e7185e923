"""The steps of a sync: each looks for what is there and adds what is missing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaigns.tracking import contents
from campaigns.tracking.inputs import datasets, log_datasets
from campaigns.tracking.models import log_surrogate
from campaigns.tracking.notes import status
from matdisco.errors import CampaignError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from campaigns.campaign import Campaign
    from campaigns.ledger import Event

Tell = Callable[[str], None]
"""Called with what is being done, after each step."""
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Makes the dashboard open at training runs, not at conversations."""
DONE = "matdisco.synced"
"""Tag that a run gets last: without it the run is made whole again."""


@dataclass(frozen=True)
class Projection:
    """One campaign on its way into one store."""

    campaign: Campaign
    client: MlflowClient
    uri: str
    alive: bool
    light: bool
    tell: Tell

    def run(self) -> str:
        """Do it; return the parent's id."""
        from campaigns.comparison import compare

        campaign = self.campaign
        experiment = self._experiment()
        self.tell("experiment ready")
        known = self._known_runs(experiment)
        parent = self._parent(experiment, known.get("campaign", []))
        rounds = self._one_each(known.get("round", []), "matdisco.round")
        points = contents.points(campaign, compare(campaign))
        for event in campaign.ledger.events("closed"):
            self._round(experiment, parent, event, rounds.get(str(event.round)), points)
            self.tell(f"round {event.round}")
        self._metrics(parent, points)
        log_datasets(self.client, parent, datasets(campaign))
        self.tell("metrics")
        if not self.light:
            self._artifacts(parent)
            log_surrogate(self.client, self.campaign, experiment, parent)
            self.tell("surrogate")
            self._tags(parent, {DONE: campaign.ledger.head()[1]})
        self._finish(
            parent,
            status(campaign, alive=self.alive),
            campaign.events[-1].time,
        )
        return parent

    def _experiment(self) -> str:
        return experiment_of(self.client, self.campaign.config.tracking.experiment)

    def _known_runs(self, experiment: str) -> dict[str, list[Run]]:
        query = f"tags.`matdisco.run_id` = '{self.campaign.run_id}'"
        runs: dict[str, list[Run]] = {}
        token = None
        while True:
            page = self.client.search_runs(
                [experiment], query, max_results=500, page_token=token
            )
            for run in page:
                runs.setdefault(run.data.tags["matdisco.kind"], []).append(run)
            token = page.token
            if not token:
                return runs

    def _one_each(self, runs: list[Run], tag: str) -> dict[str, Run]:
        """Return one run per value of a tag; delete what came twice."""
        kept: dict[str, Run] = {}
        for run in sorted(runs, key=lambda r: (DONE not in r.data.tags, r.info.run_id)):
            if run.data.tags[tag] in kept:
                self.client.delete_run(run.info.run_id)
            else:
                kept[run.data.tags[tag]] = run
        return kept

    def _parent(self, experiment: str, known: list[Run]) -> str:
        from campaigns.tracking.artifacts import logged_tables

        campaign = self.campaign
        tags = contents.campaign_tags(campaign, alive=self.alive)
        tags["mlflow.loggedArtifacts"] = logged_tables()
        kept = list(self._one_each(known, "matdisco.run_id").values())
        if kept:
            run = kept[0]
            self._tags(run.info.run_id, tags)
        else:
            run = self.client.create_run(
                experiment,
                start_time=contents.milliseconds(campaign.events[0].time),
                tags=tags,
                run_name=campaign.config.name,
            )
        self._params(run, contents.params(campaign.config))
        return str(run.info.run_id)

    def _round(
        self,
        experiment: str,
        parent: str,
        event: Event,
        known: Run | None,
        points: list[contents.Point],
    ) -> None:
        if known is not None and known.data.tags.get(DONE) == event.hash:
            return
        from campaigns.tracking.artifacts import logged_tables, write_round

        campaign = self.campaign
        begun = campaign.ledger.events("proposed", round=event.round)[0].time
        run = known or self.client.create_run(
            experiment,
            start_time=contents.milliseconds(begun),
            tags=contents.round_tags(campaign, event, parent),
        )
        run_id = run.info.run_id
        self._metrics(run_id, [p for p in points if p.step == event.round])
        with tempfile.TemporaryDirectory() as place:
            write_round(campaign, event.round, Path(place))
            self.client.log_artifacts(run_id, place)
        self._tags(
            run_id,
            {
                **contents.round_tags(campaign, event, parent),
                "mlflow.loggedArtifacts": logged_tables(),
                DONE: event.hash,
            },
        )
        self._finish(run_id, "FINISHED", event.time)

    def _params(self, run: Run, params: dict[str, str]) -> None:
        from mlflow.entities import Param

        # a param cannot change; what already stands there stays
        new = [Param(k, v) for k, v in params.items() if k not in run.data.params]
        for part in _parts(new, 100):
            self.client.log_batch(run.info.run_id, params=part)

    def _tags(self, run_id: str, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        for part in _parts([RunTag(k, v) for k, v in tags.items()], 100):
            self.client.log_batch(run_id, tags=part)

    def _metrics(self, run_id: str, points: list[contents.Point]) -> None:
        """Log the points that the run does not have yet."""
        from mlflow.entities import Metric

        there = set()
        for key in self.client.get_run(run_id).data.metrics:
            for metric in self.client.get_metric_history(run_id, key):
                there.add((metric.key, metric.step))
        new = [
            Metric(p.key, p.value, p.milliseconds, p.step)
            for p in points
            if (p.key, p.step) not in there
        ]
        for part in _parts(new, 500):
            self.client.log_batch(run_id, metrics=part)

    def _artifacts(self, run_id: str) -> None:
        from campaigns.tracking.artifacts import STRUCTURES, write_artifacts

        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_artifacts(self.campaign, folder, self.tell)
            self._drop_stale(run_id, {p.name for p in folder.glob(f"{STRUCTURES}/*")})
            self.client.log_artifacts(run_id, place)
        self.tell("artifacts")

    def _drop_stale(self, run_id: str, now: set[str]) -> None:
        """Delete structures that a lower phase has since pushed off the hull."""
        from mlflow.store.artifact.artifact_repository_registry import (
            get_artifact_repository,
        )

        from campaigns.tracking.artifacts import STRUCTURES

        stale = [
            f.path
            for f in self.client.list_artifacts(run_id, STRUCTURES)
            if Path(f.path).name not in now
        ]
        if stale:
            where = self.client.get_run(run_id).info.artifact_uri
            repository = get_artifact_repository(where, tracking_uri=self.uri)
            for path in stale:
                repository.delete_artifacts(path)  # type: ignore[no-untyped-call]

    def _finish(self, run_id: str, status: str, time: str) -> None:
        if status == "RUNNING":
            self.client.update_run(run_id, status=status)
        else:
            end = contents.milliseconds(time)
            self.client.set_terminated(run_id, status=status, end_time=end)


def experiment_of(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, made if it is not there.

    Raises:
        CampaignError: it is deleted; says how to restore it.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        place = artifact_place(client.tracking_uri)
        return str(client.create_experiment(name, place, tags=KIND))
    if found.lifecycle_stage != "active":
        raise CampaignError(
            f"MLflow experiment {name!r} is deleted; restore it with: mlflow "
            f"experiments restore --experiment-id {found.experiment_id}"
        )
    return str(found.experiment_id)


def artifact_place(uri: str) -> str | None:
    """Return the artifact folder of a SQLite store; None where a server decides."""
    if not uri.startswith("sqlite:///"):
        return None
    return (
        Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts"
    ).as_uri()


def _parts(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))
