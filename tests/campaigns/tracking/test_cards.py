"""Cards in MLflow, and models from MLflow: real store, real models."""

import pytest
from assessed import QUICK

from campaigns.tracking.cards import log_card, metric_name, open_model
from campaigns.tracking.models import log_checkpoint
from campaigns.tracking.registry import register
from campaigns.tracking.store import quiet_mlflow
from matdisco.data.dataset import Dataset
from matdisco.errors import CampaignError, SurrogateError
from surrogates.assessment.battery import assess
from surrogates.assessment.card import Card
from surrogates.assessment.doors import open_checkpoint
from surrogates.assessment.suite import STANDARD
from surrogates.recipes import GaussianProcessRecipe
from surrogates.testing import toy_crystals

DATA = Dataset("toy", tuple(toy_crystals(60)))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gp") / "gp"
    surrogate = GaussianProcessRecipe().build(0)
    surrogate.fit(DATA[:30], "toy")
    surrogate.save(folder)
    return folder


def test_a_card_is_logged_once_and_readable(checkpoint, store, tmp_path):
    suite = QUICK.model_copy(update={"sections": ("efficacy", "calibration")})
    card, text = assess(open_checkpoint(checkpoint), DATA[30:], suite)
    card.save(tmp_path / "card", text)
    run = log_card(tmp_path / "card", store)
    assert log_card(tmp_path / "card", store) == run
    with quiet_mlflow():
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=store)
        kept = client.get_run(run)
        files = {f.path for f in client.list_artifacts(run, "card")}
    assert kept.data.tags["matdisco.card"] == card.seal
    assert kept.data.tags["matdisco.verdict"] == card.verdict
    name = metric_name("efficacy.mae", card.measures()["efficacy.mae"]["unit"])
    assert kept.data.metrics[name] == card.value("efficacy.mae")
    assert kept.data.tags["matdisco.kind"] == "assessment"
    (used,) = kept.inputs.dataset_inputs
    assert used.dataset.digest == DATA[30:].content_hash[:32]
    assert "| measure |" in kept.data.tags["mlflow.note.content"]
    assert "card/card.html" in files and "card/card.json" in files


def test_a_store_that_does_not_answer_is_a_sentence(checkpoint, tmp_path):
    suite = QUICK.model_copy(update={"sections": ("efficacy",)})
    card, text = assess(open_checkpoint(checkpoint), DATA[30:], suite)
    card.save(tmp_path / "card", text)
    with pytest.raises(CampaignError, match="the card is in"):
        log_card(tmp_path / "card", "http://127.0.0.1:9")


def test_our_models_open_as_data_and_others_only_if_trusted(
    checkpoint, store, tmp_path
):
    with quiet_mlflow():
        import mlflow
        from sklearn.linear_model import LinearRegression

        mlflow.set_tracking_uri(store)
        try:
            home = mlflow.create_experiment("models", (tmp_path / "art").as_uri())
            with mlflow.start_run(experiment_id=home) as run:
                mlflow.pyfunc.log_model(
                    name="ours", loader_module="surrogates.pyfunc",
                    data_path=str(checkpoint), pip_requirements=[],
                )  # fmt: skip
                mlflow.sklearn.log_model(
                    LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), name="theirs",
                    pip_requirements=[], serialization_format="cloudpickle",
                )  # fmt: skip
        finally:
            mlflow.set_tracking_uri(None)
    place = tmp_path / "place"
    place.mkdir()
    ours = open_model(f"runs:/{run.info.run_id}/ours", store, place)
    direct = open_checkpoint(checkpoint)
    assert ours.kind == "checkpoint" and ours.target == "toy"
    got = ours.predict(DATA.crystals[:5]).mean
    assert got.tolist() == direct.predict(DATA.crystals[:5]).mean.tolist()
    with pytest.raises(SurrogateError, match="--trust"):
        open_model(f"runs:/{run.info.run_id}/theirs", store, tmp_path / "other")
    with pytest.raises(SurrogateError, match="not found in MLflow"):
        open_model("models:/nothing/1", store, tmp_path / "none")


def test_card_survives_reading(checkpoint, tmp_path):
    suite = QUICK.model_copy(update={"sections": ("efficacy",)})
    card, text = assess(open_checkpoint(checkpoint), DATA[30:], suite)
    card.save(tmp_path, text)
    assert Card.read(tmp_path).body == dict(card.body)


def test_a_registered_surrogate_carries_its_card(checkpoint, store, tmp_path):
    """From the registry to the card and back: found by alias, assessed, marked."""
    suite = QUICK.model_copy(update={"sections": ("efficacy",), "thresholds": {
        "efficacy.unanswered": STANDARD["efficacy.unanswered"]}})  # fmt: skip
    with quiet_mlflow():
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=store, registry_uri=store)
        home = client.create_experiment("registered")
        run = client.create_run(home).info.run_id
        model = log_checkpoint(
            client, checkpoint, "toys", home, run, tags={}, params={}, kind="gp",
            requirements=["numpy"],
        )  # fmt: skip
        for _ in range(2):  # once is enough
            register(client, "toys", model, run, description="A toy.", tags={})
    subject = open_model("models:/toys@newest", store, tmp_path)
    card, text = assess(subject, DATA[30:], suite)
    card.save(tmp_path / "card", text)
    seen = log_card(tmp_path / "card", store)
    assert len(client.search_model_versions("name = 'toys'")) == 1
    newest = client.get_model_version_by_alias("toys", "newest")
    assert newest.version == client.get_model_version_by_alias("toys", "passed").version
    assert newest.tags["matdisco.verdict"] == card.verdict == "pass"
    assert newest.tags["matdisco.card_run"] == seen
    assert card.seal[:16] in newest.description and "A toy." in newest.description
