"""What MLflow holds of a campaign of several targets."""

from played_front import PlayingFront
from tracked import everything, synced

LIMIT = {"property": "gold", "limit": {"at_most": 0.5}}
GOALS = (
    {"property": "energy_per_atom", "goal": "minimise"},
    {"property": "density", "goal": "minimise"},
)


def test_hypervolume_front_and_a_model_of_every_target(tracking, quick, tmp_path):
    # a name of its own: registered models are shared by all tests of a store
    settings = {"name": "several", "tracking": tracking}
    game = PlayingFront(tmp_path / "run", *GOALS, LIMIT, **settings)
    for _ in range(3):
        assert game.play() is None
    closed = game.payloads("closed")
    game.ledger.close()
    synced(tmp_path / "run")
    held = everything(tracking)
    campaign = next(r for r in held["runs"] if r["tags"]["matdisco.kind"] == "campaign")
    volumes = campaign["metrics"]["search/hypervolume_eV_per_atom_g_per_cm3"]
    assert [(step, value) for step, _, value in volumes] == [
        (n, payload["best"]) for n, payload in enumerate(closed)
    ]
    members = campaign["metrics"]["search/front_members"]
    assert [value for _, _, value in members] == [len(p["found"]) for p in closed]
    for key, unit in (("energy_per_atom", "eV_per_atom"), ("density", "g_per_cm3")):
        assert f"{key}/mean_absolute_error_{unit}" in campaign["metrics"]
        assert f"{key}/gate_p" in campaign["metrics"]
    assert campaign["params"]["objective.targets.2.limit.at_most"] == "0.5"
    assert "Hypervolume" in campaign["tags"]["mlflow.note.content"]
    names = {name for name, _, made in held["models"] if made == "round-002"}
    assert names == {
        "several-surrogate", "several-surrogate-density", "several-surrogate-gold",
    }  # fmt: skip
    assert len(held["models"]) == 3  # no older checkpoint is left
