"""The leakage audit finds what was hidden, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from matdisco.errors import SurrogateError
from surrogates.audit import audit, overlap_free
from surrogates.auto import Auto
from surrogates.base import Surrogate
from surrogates.recipes import (
    AutoRecipe,
    CoregionalRecipe,
    GaussianProcessRecipe,
    NetworkEnsembleRecipe,
    RandomForestRecipe,
)
from surrogates.seen import FILE, Seen
from surrogates.testing import variants

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
HALF = [[0.0, 0, 0], [0.5, 0.5, 0.5]]


def salt(name: str, a: str, b: str, edge: float) -> Crystal:
    label = {"toy": Label(edge, "eV/atom")}
    return Crystal.from_arrays(name, edge * FCC, [a, b], HALF, labels=label)


def cesium(name: str, a: str, b: str, edge: float) -> Crystal:
    return Crystal.from_arrays(name, edge * np.eye(3), [a, b], HALF)


TRAINING = Dataset(
    "training",
    tuple(
        salt(f"t{i}", a, b, e)
        for i, (a, b, e) in enumerate(
            [("Na", "Cl", 5.6), ("K", "Br", 6.6), ("Li", "F", 4.0), ("Mg", "O", 4.2)]
        )
    ),
)


def test_three_levels_of_overlap() -> None:
    written = variants(TRAINING[0])["supercell"]
    shifted = Crystal.from_arrays(
        "shifted", 4.2 * FCC, ["Mg", "O"], [[0.0, 0, 0], [0.62, 0.5, 0.5]]
    )
    pool = Dataset(
        "pool",
        (
            written,  # the same structure
            shifted,  # displaced by 0.36 Å: the same prototype, not the same structure
            cesium("other", "K", "Br", 3.9),  # another prototype of a known formula
            salt("new", "Ca", "O", 4.8),
        ),
    )
    report = audit(pool, [TRAINING])
    assert report.seen["structure"] == (written.id,)
    assert report.seen["prototype"] == (written.id, "shifted")
    assert report.seen["formula"] == (written.id, "shifted", "other")
    assert report.leaks and report.new_elements == ("Ca",)
    assert "3  (75.0%)" in str(report)
    clean = overlap_free(pool, report, "prototype")
    assert clean.ids == ("other", "new")
    assert not audit(clean, [TRAINING]).leaks


def test_records_without_the_label_were_not_learnt() -> None:
    pool = Dataset("pool", (TRAINING[0],))
    bare = Dataset("bare", (cesium("b", "Na", "Cl", 3.4), *TRAINING.crystals[1:]))
    assert not audit(pool, [bare], target="toy").seen["formula"]
    assert audit(pool, [bare]).seen["formula"] == ("t0",)


def test_the_checkpoint_says_what_it_was_fitted_on() -> None:
    surrogate = RandomForestRecipe(trees=10, threads=1).build(0)
    surrogate.fit(TRAINING, "toy")
    pool = Dataset("pool", (salt("new", "Ca", "O", 4.8),))
    known = audit(pool, [TRAINING], surrogate=surrogate, target="toy")
    assert not known.warnings and not known.leaks
    unknown = audit(pool, [], surrogate=surrogate, target="toy")
    assert any("none of those given" in w for w in unknown.warnings)


def fitted() -> Surrogate:
    surrogate = RandomForestRecipe(trees=10, threads=1).build(0)
    surrogate.fit(TRAINING, "toy")
    return surrogate


def test_a_checkpoint_can_be_audited_alone(tmp_path: Path) -> None:
    surrogate = fitted()
    Seen.of(TRAINING, surrogate, "toy").save(tmp_path)
    seen = Seen.load(tmp_path)
    assert seen is not None and len(seen) == seen.fitted == 4
    strained = salt("strained", "Li", "F", 4.0)
    strained = Crystal("strained", strained.structure.copy().apply_strain([0, 0, 0.01]))
    shifted = Crystal.from_arrays(
        "shifted", 4.2 * FCC, ["Mg", "O"], [[0.0, 0, 0], [0.53, 0.5, 0.5]]
    )
    pool = Dataset(
        "pool",
        (
            TRAINING[0], variants(TRAINING[1])["supercell"], strained, shifted,
            cesium("other", "K", "Br", 3.9), salt("new", "Ca", "O", 4.8),
        ),
    )  # fmt: skip
    alone = audit(pool, surrogate=surrogate, target="toy", seen=seen)
    judged = audit(pool, [TRAINING], surrogate=surrogate, target="toy", seen=seen)
    assert alone.seen["formula"] == judged.seen["formula"]
    assert alone.seen["prototype"] == judged.seen["prototype"]
    assert alone.seen["structure"] == judged.seen["structure"]
    assert "other" not in alone.seen["prototype"] and "new" not in alone.seen["formula"]
    assert alone.new_elements == judged.new_elements == ("Ca",)
    assert "what the checkpoint keeps of 4 records" in str(alone)
    assert not judged.warnings, "every record was found, so structures were compared"


def test_only_what_was_learnt_of_a_file_counts() -> None:
    part = TRAINING[:3]  # the fourth is the file's own test part
    seen = Seen.of(part, fitted(), "toy")
    report = audit(TRAINING, [TRAINING], target="toy", seen=seen)
    assert report.seen["formula"] == ("t0", "t1", "t2") and not report.warnings
    some = audit(TRAINING, [TRAINING[:1]], target="toy", seen=seen)
    assert some.seen == report.seen
    assert "2 of the 3 records that it learnt are in none" in some.warnings[0]
    stranger = Dataset("stranger", (salt("s", "Ca", "O", 4.8),))
    other = audit(stranger, [stranger], target="toy", seen=seen)
    assert other.leaks and "lists none of the records of stranger" in str(other)


def test_labels_learnt_beside_the_target_count_as_seen() -> None:
    recipe = CoregionalRecipe(auxiliary=("cheap",), threads=1)
    cheap = [c.with_labels({"cheap": c.labels["toy"]}) for c in TRAINING]
    other = cesium("other", "Ca", "O", 3.0).structure
    bare = Crystal("bare", other, {"cheap": cheap[0].labels["cheap"]})
    data = Dataset("two", (*cheap, bare))
    surrogate = recipe.build(0)
    surrogate.fit(data, "toy")
    pool = Dataset("pool", (bare,))
    assert audit(pool, [data], surrogate=surrogate, target="toy").leaks
    seen = Seen.of(data, surrogate, "toy")
    assert audit(pool, surrogate=surrogate, target="toy", seen=seen).leaks
    assert not audit(pool, [data], surrogate=fitted(), target="toy").leaks


def test_nothing_compared_is_not_nothing_found() -> None:
    report = audit(TRAINING, surrogate=fitted(), target="toy")
    assert not report.compared and not report.leaks
    assert "not compared" in str(report) and "0.0%" not in str(report)
    assert not audit(TRAINING, [Dataset("empty", ())]).compared


def test_what_a_checkpoint_keeps_is_whole_or_refused(tmp_path: Path) -> None:
    assert Seen.load(tmp_path) is None
    flat = Crystal.from_arrays(
        "flat", np.diag([4.0, 4.0, 1e-9]), ["Na", "Cl"], HALF,
        labels=dict(TRAINING[0].labels),
    )  # fmt: skip
    kept = Seen.of(Dataset("d", (flat, *TRAINING)), fitted(), "toy")
    kept.save(tmp_path)
    again = Seen.load(tmp_path)
    assert again is not None and again.structures == kept.structures
    assert again.profiles[0] is None and again.elements == kept.elements
    for mine, theirs in zip(kept.profiles[1:], again.profiles[1:], strict=True):
        assert mine is not None and theirs is not None and mine @ theirs > 0.9998
    assert again.matching([flat])["structure"] == {"flat"}
    assert (tmp_path / FILE).stat().st_size < 3000
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(text.replace("toy", "boy"))
    with pytest.raises(SurrogateError, match="damaged"):
        Seen.load(tmp_path)


def test_a_base_is_known_by_its_content(tmp_path: Path) -> None:
    base = Dataset("base", tuple(TRAINING))
    place = base.save(tmp_path / "base.parquet")
    surrogate = NetworkEnsembleRecipe(pretrain=str(place), members=4).build(0)
    pool = Dataset("pool", (salt("new", "Ca", "O", 4.8),))

    def missed(*given: Dataset) -> bool:
        report = audit(pool, given, surrogate=surrogate, target="toy")
        return any("it was pretrained on" in w for w in report.warnings)

    renamed = Dataset("another name", Dataset.open(place).crystals)
    assert not missed(renamed)
    assert missed() and missed(Dataset("base", TRAINING.crystals[:2]))
    seen = Seen.of(Dataset("none", ()), surrogate, "toy")
    assert len(seen) == 4 and seen.fitted == 0
    report = audit(TRAINING, surrogate=surrogate, target="toy", seen=seen)
    assert report.seen["structure"] == TRAINING.ids
    assert not any("it was pretrained on" in w for w in report.warnings)
    place.unlink()
    assert missed(renamed), "what is gone cannot be compared"


def test_auto_rests_on_the_potential_of_what_it_chose() -> None:
    layers = GaussianProcessRecipe(features="chgnet_layers")
    auto = Auto(AutoRecipe(candidates=(GaussianProcessRecipe(), layers)))
    assert not audit(TRAINING, [TRAINING], surrogate=auto).warnings
    auto.chosen = layers.build(0)
    assert "MPtrj" in str(audit(TRAINING, [TRAINING], surrogate=auto))


@pytest.mark.parametrize(
    ("features", "n"),
    [
        ("chgnet+sevennet", 2), ("sites", 0),
        ("composition+chgnet_layers", 1), ("chgnet_formation+sevennet_formation", 2),
    ],
)  # fmt: skip
def test_potentials_have_seen_crystals_too(features: str, n: int) -> None:
    surrogate = GaussianProcessRecipe(features=features).build(0)
    report = audit(TRAINING, [], surrogate=surrogate)
    assert len([w for w in report.warnings if "MPtrj" in w]) == n
    assert "not compared" in str(report)
