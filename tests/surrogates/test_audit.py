"""The leakage audit finds what was hidden, and nothing else."""

import numpy as np
import pytest

from matdisco.crystal import Crystal, Label
from matdisco.data.dataset import Dataset
from surrogates.audit import audit, overlap_free
from surrogates.recipes import GaussianProcessRecipe, RandomForestRecipe
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
    assert "no dataset" in str(report)
