"""What a campaign's surrogate learnt is in its ledger: an audit needs nothing else."""

from played_campaign import Playing

from campaigns.predicting import seen_by
from surrogates import load
from surrogates.seen import structure_key


def test_a_stored_round_knows_what_it_had_learnt(tmp_path):
    run = Playing(tmp_path / "run", start={"per_element": 2, "random": 4})
    for _ in range(3):
        run.play()
    by_name = {c.id: c for c in run.pool}
    proposed = run.payloads()
    run.ledger.close()
    for number in (1, 2):
        folder = tmp_path / "run" / "surrogates" / f"round-{number:03d}"
        seen = seen_by(folder, load(folder))
        assert seen is not None and seen.target == "compressed_formation_energy"
        before = [p["candidate"] for r in proposed[:number] for p in r["proposals"]]
        assert set(seen.structures) == {structure_key(by_name[n]) for n in before}
    assert seen_by(tmp_path, load(folder)) is None
