"""The ensemble's life: base, rounds, resume, calibration, checkpoints, bad input."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.base import HistoryRow
from surrogates.checkpoint import DESCRIPTION, WEIGHTS, load
from surrogates.ensemble import NetworkEnsemble
from surrogates.networks.recipes import CoGNRecipe, NetworkEnsembleRecipe
from surrogates.pretraining import split_by_system
from surrogates.testing import toy_crystals

OLD = Dataset("old", tuple(toy_crystals(40, seed=1)))
NEW = Dataset("new", tuple(toy_crystals(12, seed=2)))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    OLD.save(folder / "old.parquet")
    return folder


def recipe(shelf: Path, **changes: object) -> NetworkEnsembleRecipe:
    fields: dict[str, object] = {
        "network": CoGNRecipe(width=8, blocks=1), "members": 4, "epochs": 4,
        "finetune_epochs": 3, "replay": 10, "neighbours": 6, "threads": 1,
        "pretrain": str(shelf / "old.parquet"),
    }  # fmt: skip
    return NetworkEnsembleRecipe(**{**fields, **changes})  # type: ignore[arg-type]


def same(a: NetworkEnsemble, b: NetworkEnsemble) -> bool:
    one, two = a.predict(NEW.crystals), b.predict(NEW.crystals)
    return all(
        np.array_equal(getattr(one, f.name), getattr(two, f.name))
        for f in dataclasses.fields(one)
    )


def fitted(shelf: Path, folder: Path | None, data: Dataset, seed: int = 0,
           **changes: object) -> NetworkEnsemble:  # fmt: skip
    ensemble = NetworkEnsemble(recipe(shelf, **changes), seed, folder)
    ensemble.fit(data, "toy")
    return ensemble


def test_no_records_means_the_base(shelf: Path, tmp_path: Path) -> None:
    base = fitted(shelf, tmp_path, NEW.take([]))
    assert (tmp_path / "base" / DESCRIPTION).exists()
    assert base.state is not None and base.state.base
    assert set(base.state.metrics) >= {"mae", "nll"}


def test_every_fit_starts_from_the_base(shelf: Path, tmp_path: Path) -> None:
    ensemble = fitted(shelf, tmp_path, NEW[:5])
    ensemble.fit(NEW, "toy")
    fresh = fitted(shelf, tmp_path, NEW)  # as a resumed campaign would
    without_folder = fitted(shelf, None, NEW)
    assert same(ensemble, fresh) and same(ensemble, without_folder)
    assert not same(ensemble, fitted(shelf, tmp_path, NEW, seed=1))


def test_the_base_is_trained_once_and_again_when_it_no_longer_fits(
    shelf: Path, tmp_path: Path
) -> None:
    rows: list[HistoryRow] = []
    NetworkEnsemble(recipe(shelf), 0, tmp_path).fit(NEW, "toy", progress=rows.append)
    assert [r["stage"] for r in rows] == ["base"] * 4 + ["round"] * 3
    rows.clear()
    NetworkEnsemble(recipe(shelf), 1, tmp_path).fit(NEW, "toy", progress=rows.append)
    assert [r["stage"] for r in rows] == ["round"] * 3
    rows.clear()
    NetworkEnsemble(recipe(shelf, epochs=5), 1, tmp_path).fit(
        NEW, "toy", progress=rows.append
    )
    assert len(rows) == 5 + 3


def test_a_damaged_base_is_learnt_again(shelf: Path, tmp_path: Path) -> None:
    good = fitted(shelf, tmp_path, NEW)
    (tmp_path / "base" / WEIGHTS).write_bytes(b"x")
    assert same(good, fitted(shelf, tmp_path, NEW))
    load(tmp_path / "base")  # repaired


def test_killed_while_pretraining_is_trained_again_with_the_same_bits(
    shelf: Path, tmp_path: Path
) -> None:
    script = """
        import os, signal
        from pathlib import Path
        from matdisco.data.dataset import Dataset
        from surrogates.ensemble import NetworkEnsemble
        from surrogates.networks.recipes import NetworkEnsembleRecipe
        recipe = NetworkEnsembleRecipe.model_validate_json({recipe!r})
        def die(row):
            if row["epoch"] == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        NetworkEnsemble(recipe, 0, Path({folder!r})).fit(
            Dataset("none", ()), "toy", progress=die)
    """
    text = textwrap.dedent(script).format(
        recipe=recipe(shelf).model_dump_json(), folder=str(tmp_path)
    )
    root = Path(__file__).parents[2]
    code = subprocess.run(
        [sys.executable, "-c", text], cwd=root, env={**os.environ, "PYTHONPATH": "."}
    ).returncode
    assert code == -signal.SIGKILL
    assert not (tmp_path / "base").exists()
    again = fitted(shelf, tmp_path, NEW)
    assert same(again, fitted(shelf, None, NEW))


def test_the_scale_comes_from_records_the_judges_did_not_see(
    shelf: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(0, 2.0, len(NEW))
    wild = Dataset(
        "wild",
        tuple(
            c.with_labels({"toy": Label(c.value("toy") + e, "eV/atom")})
            for c, e in zip(NEW.crystals, noise, strict=True)
        ),
    )
    calm = fitted(shelf, tmp_path, NEW, calibration_prior=2)
    upset = fitted(shelf, tmp_path, wild, calibration_prior=2)
    assert calm.state is not None and upset.state is not None
    assert upset.state.scale.k > 1.5 * calm.state.scale.k


def test_split_keeps_chemical_systems_whole() -> None:
    learn, judge = split_by_system(OLD, 0.2, 0)
    systems = [c.chemical_system for c in OLD.crystals]
    assert not {systems[i] for i in learn} & {systems[i] for i in judge}
    assert len(learn) + len(judge) == len(OLD)


def test_what_cannot_be_learnt_is_refused_by_name(shelf: Path, tmp_path: Path) -> None:
    scratch = NetworkEnsemble(recipe(shelf, pretrain=None))
    with pytest.raises(SurrogateError, match="0 records with label nothing"):
        scratch.fit(NEW, "nothing")
    with pytest.raises(SurrogateError, match="1 record with label toy"):
        scratch.fit(NEW[:1], "toy")
    with pytest.raises(SurrogateError, match="not fitted"):
        scratch.predict(NEW.crystals)
    bad = NEW.crystals[3].with_labels({"toy": Label(float("nan"), "eV/atom")})
    with pytest.raises(SurrogateError, match=f"{bad.id}.*nan"):
        scratch.fit(Dataset("bad", (*NEW.crystals[:3], bad)), "toy")
    with pytest.raises(SurrogateError, match="no dataset"):
        fitted(shelf, None, NEW, pretrain=str(tmp_path / "absent.parquet"))
    base = fitted(shelf, tmp_path, NEW.take([]))
    gold = Crystal.from_arrays("gold-1", 4 * np.eye(3), ["Au"], np.zeros((1, 3)))
    with pytest.raises(SurrogateError, match=r"gold-1: element Au"):
        base.predict([*NEW.crystals, gold])
    one = fitted(shelf, tmp_path, NEW[:1])  # one record on top of a base is fine
    assert len(one.predict(NEW.crystals)) == len(NEW)


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove"])
def test_damaged_checkpoints_are_refused(
    shelf: Path, tmp_path: Path, name: str, damage: str
) -> None:
    fitted(shelf, tmp_path, NEW[:0]).save(tmp_path / "c")
    file = tmp_path / "c" / name
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    content = content[: {"cut": len(content) * 2 // 3, "empty": 0}.get(damage)]
    file.write_bytes(content)
    if damage == "remove":
        file.unlink()
    with pytest.raises(SurrogateError, match=r"damaged|not a surrogate"):
        load(tmp_path / "c")


def test_foreign_folder_and_other_format(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(SurrogateError, match="not a surrogate checkpoint"):
        load(tmp_path)
    fitted(shelf, tmp_path, NEW[:0]).save(tmp_path / "c")
    file = tmp_path / "c" / DESCRIPTION
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(SurrogateError, match="format 99"):
        load(tmp_path / "c")
    file.write_text("[1, 2]")
    with pytest.raises(SurrogateError, match="not written by matdisco"):
        load(tmp_path / "c")


def test_save_replaces_in_one_step(shelf: Path, tmp_path: Path) -> None:
    first = fitted(shelf, tmp_path, NEW[:0])
    first.save(tmp_path / "c")
    second = fitted(shelf, tmp_path, NEW)
    second.save(tmp_path / "c")
    loaded = load(tmp_path / "c")
    assert isinstance(loaded, NetworkEnsemble) and same(loaded, second)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base", "c"]
