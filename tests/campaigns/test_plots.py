"""Plots: what they show, on every kind of campaign, without global state."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from recorded_campaign import PROPERTY, chemistry, record, truth_of

from campaigns import Campaign, plots
from campaigns.plots.hull import tie_lines
from campaigns.plots.progress import posterior_band
from campaigns.plots.surrogate import observed_coverage, predictions
from matdisco.properties import get
from matdisco.thermo import Hull

pytestmark = pytest.mark.usefixtures("drawn")

ALL = ("progress", "hull", "parity", "calibration")
KINDS = {
    "binary": {},
    "ternary": chemistry("Al", "Cu", "Ni", components=(1, 2, 3)),
    "quaternary": chemistry("Al", "Cu", "Ni", "Pd"),
    "maximise": PROPERTY,
    "target": {
        **PROPERTY,
        "objective": {
            "kind": "property",
            "property": "bulk_modulus",
            "goal": "target",
            "target_range": [-9.0, -8.5],
        },
    },
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("plots")
    made = {k: record(base / k, **changes) for k, changes in KINDS.items()}
    truth = truth_of(made["binary"], base / "truth.parquet")
    made["with truth"] = record(base / "compared", review={"truth": str(truth)})
    made["first round only"] = record(base / "one", rounds=1, finish=False)
    made["nothing"] = record(base / "none", rounds=0, finish=False)
    return made


# what a kind of campaign changes: its hull; parity and calibration see errors alone
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, name) for kind in ("binary", "nothing") for name in ALL),
        *((kind, "hull") for kind in [*KINDS, "first round only"] if kind != "binary"),
        *((kind, "progress") for kind in ("maximise", "target", "with truth")),
        ("first round only", "parity"),
        ("target", "calibration"),
    ],
)
def test_every_plot_of_every_campaign(
    folders: dict[str, Path], kind: str, name: str
) -> None:
    with Campaign.open(folders[kind]) as campaign:
        figure = getattr(plots, name)(campaign)
    assert isinstance(figure, Figure)
    ET.fromstring(plots.to_svg(figure, name))
    assert plots.to_png(figure, 50).startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def labels(figure: Figure) -> set[str]:
    return {
        text
        for axes in figure.axes
        for text in (axes.get_xlabel(), axes.get_ylabel())
        if text
    }


def test_axes_carry_units(folders: dict[str, Path]) -> None:
    with Campaign.open(folders["binary"]) as campaign:
        hull = labels(plots.hull(campaign))
        parity = labels(plots.parity(campaign))
        learned = get(campaign.config.objective.target).axis
    assert "Formation energy (eV/atom)" in hull
    assert "Energy above hull (eV/atom)" in hull
    assert f"Evaluated: {learned}" in parity
    with Campaign.open(folders["maximise"]) as campaign:
        assert "Bulk modulus (GPa)" in labels(plots.progress(campaign))
        assert "Bulk modulus (GPa)" in labels(plots.hull(campaign))


def test_progress_beside_chance_shows_campaign_expectation_and_band(
    folders: dict[str, Path],
) -> None:
    with Campaign.open(folders["with truth"]) as campaign:
        axes = plots.progress(campaign).axes[0]
    assert axes.get_legend_handles_labels()[1] == [
        "random choice, 90 % band",
        "random choice, expected",
        "this campaign",
        "stable compounds in all, as the surrogate believes (90 %)",
    ]


def test_posterior_band_holds_what_each_round_believed(
    folders: dict[str, Path],
) -> None:
    with Campaign.open(folders["maximise"]) as campaign:
        band = posterior_band(campaign)
        closed = campaign.ledger.events("closed")
        labels = plots.progress(campaign).axes[0].get_legend_handles_labels()[1]
        proposed = campaign.ledger.events("proposed")[1:]
    spent = [e.payload["evaluated"] for e in closed]
    assert band["n"] == spent  # each from the round before on, the last to the end
    believed = [e.payload["outlook"]["whole_high"] for e in proposed]
    assert band["high"] == [*believed, believed[-1]]
    assert "best of the pool, as the surrogate believes (90 %)" in labels


def test_parity_shows_every_answered_prediction(folders: dict[str, Path]) -> None:
    with Campaign.open(folders["binary"]) as campaign:
        table = predictions(campaign)
        points = plots.parity(campaign).axes[0].collections[-1].get_offsets()
        proposed = campaign.proposals()
        target = campaign.config.objective.target
    answered = proposed[proposed["mean"].notna() & (proposed["status"] == "answered")]
    assert len(points) == len(table) == len(answered) == 6
    assert np.allclose(table["truth"], answered[target])
    assert np.allclose(table["z"], (table["truth"] - table["mean"]) / table["std"])


def test_coverage_of_a_normal_sample_is_what_it_should_be() -> None:
    z = np.random.default_rng(0).normal(size=200_000)
    levels = np.array([0.1, 0.5, 0.9])
    assert np.allclose(observed_coverage(z, levels), levels, atol=5e-3)
    assert np.allclose(observed_coverage(2 * z, np.array([0.9])), 0.589, atol=5e-3)


def test_tie_lines_are_pymatgens() -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    rng = np.random.default_rng(1)
    phases = ["Al", "Cu", "Ni", "AlCu", "AlNi", "CuNi3", "AlCuNi", "Al2CuNi", "AlCu3Ni"]
    compositions = [Composition(p) for p in phases]
    energies = np.array([0, 0, 0, *rng.uniform(-0.5, -0.2, 6)])
    hull = Hull.of(compositions, energies, ("Al", "Cu", "Ni"))
    entries = [
        PDEntry(c, e * c.num_atoms) for c, e in zip(compositions, energies, strict=True)
    ]
    diagram = PhaseDiagram(entries)
    expected = set()
    for facet in diagram.facets:
        names = [diagram.qhull_entries[i].composition.reduced_formula for i in facet]
        expected |= {frozenset(p) for p in zip(names, np.roll(names, 1), strict=True)}

    def name(x: np.ndarray) -> str:
        gaps = np.abs(hull.x - x).max(axis=1)
        return compositions[int(gaps.argmin())].reduced_formula

    assert {frozenset((name(a), name(b))) for a, b in tie_lines(hull)} == expected


def test_svgs_in_one_page_keep_their_points_and_their_ids_apart(
    folders: dict[str, Path],
) -> None:
    with Campaign.open(folders["ternary"]) as campaign:
        pictures = [plots.to_svg(getattr(plots, n)(campaign), n) for n in ALL]
    ids = [set(re.findall(r' id="([^"]+)"', p)) for p in pictures]
    for own, picture in zip(ids, pictures, strict=True):
        used = set(re.findall(r'(?:href="|url\()#([^")]+)', picture))
        assert used <= own
    assert sum(map(len, ids)) == len(set.union(*ids))


def test_svg_is_the_same_every_time(folders: dict[str, Path]) -> None:
    with Campaign.open(folders["binary"]) as campaign:
        first, second = (plots.to_svg(plots.hull(campaign), "a") for _ in range(2))
    assert first == second
