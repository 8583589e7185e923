"""Whether the subject knows how wrong it is: calibration, overall and by chemistry."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy.special import ndtr

from surrogates import metrics
from surrogates.assessment.result import Section
from surrogates.assessment.trial import Trial
from surrogates.calibration.chemistry import anion_class

_GROUP = 30
"""Records of one chemistry below which its calibration is noise: the area of a perfect
one is then above 0.07 on average."""
_LEVELS = np.linspace(0.0, 1.0, 41)
_KULESHOV = "Kuleshov et al., ICML 2018 (arXiv:1807.00263)"
_LEVI = "Levi et al., Sensors 22, 5540 (2022)"
_GNEITING = "Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359 (2007)"


def measure(trial: Trial, section: Section) -> None:
    """Fill the section."""
    std = trial.std
    if std is None:
        section.skip("calibration", "the subject gives no standard deviation")
        return
    y, mean, unit, add = trial.truth, trial.mean, trial.unit, section.add
    area = metrics.miscalibration_area(y, mean, std)
    add(
        "miscalibration_area",
        area,
        "area between expected and observed coverage (0 to 0.5)",
        source=_KULESHOV,
    )
    add(
        "ence",
        metrics.ence(y, mean, std),
        "relative gap between predicted and observed error in ten bins of sigma",
        source=_LEVI,
    )
    inside = metrics.coverage(y, mean, std)
    add("coverage_90", inside, "share of truths inside the 90 % interval")
    add("undercoverage_90", max(0.0, 0.9 - inside), "what the 90 % interval lacks")
    z = (y - mean) / std
    add(
        "rms_z",
        float(np.sqrt((z**2).mean())),
        "root mean square of error over sigma (above 1: overconfident)",
    )
    add(
        "nll",
        metrics.nll(y, mean, std),
        "negative log likelihood",
        unit="nats",
        source=_GNEITING,
    )
    add(
        "crps",
        metrics.crps(y, mean, std),
        "continuous ranked probability score",
        unit=unit,
        source=_GNEITING,
    )
    add(
        "sharpness",
        metrics.sharpness(std),
        "root mean predicted variance",
        unit=unit,
        source="Gneiting et al., J. R. Stat. Soc. B 69, 243 (2007)",
    )
    order = metrics.spearman(np.abs(y - mean), std)
    add(
        "spearman_error_std",
        0.0 if np.isnan(order) else order,
        "rank correlation of error and sigma",
        source="Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020)",
    )
    add(
        "ause",
        metrics.ause(y, mean, std),
        "area between removing records by sigma and by true error (0: sigma ranks "
        "perfectly)",
        source="Ilg et al., ECCV 2018 (arXiv:1802.07095)",
    )
    section.series["reliability"] = {"expected": _LEVELS, "observed": _observed(z)}
    section.series["bins"] = _bins(y, mean, std)
    _by_chemistry(trial, section, std)


def _observed(z: np.ndarray) -> np.ndarray:
    """Return the share of truths inside each central interval."""
    level = 2 * ndtr(np.abs(z)) - 1
    found: np.ndarray = np.searchsorted(np.sort(level), _LEVELS, side="right") / len(z)
    return found


def _bins(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, object]:
    """Return root mean variance and error of ten bins of sigma (Levi et al.)."""
    order = np.argsort(std, kind="stable")
    parts = [r for r in np.array_split(order, min(10, len(order))) if len(r)]
    return {
        "predicted": [float(np.sqrt((std[r] ** 2).mean())) for r in parts],
        "observed": [metrics.rmse(y[r], mean[r]) for r in parts],
    }


def _by_chemistry(trial: Trial, section: Section, std: np.ndarray) -> None:
    """Report each anion class apart: a sigma right on average can be wrong in each."""
    if trial.formulas is None:
        section.skip("by chemistry", "no formulas")
        return
    from pymatgen.core import Composition

    groups: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(trial.rows):
        elements = Composition(trial.formulas[int(row)]).elements
        groups[anion_class({e.symbol for e in elements})].append(i)
    table = []
    for name, rows in sorted(groups.items()):
        if len(rows) < _GROUP:
            continue
        y, mean, s = trial.truth[rows], trial.mean[rows], std[rows]
        table.append(
            {
                "chemistry": name,
                "records": len(rows),
                "mae": metrics.mae(y, mean),
                "miscalibration_area": metrics.miscalibration_area(y, mean, s),
                "coverage_90": metrics.coverage(y, mean, s),
            }
        )
    section.series["by_chemistry"] = table
    if len(table) < 2:
        section.skip("by chemistry", f"fewer than two classes with {_GROUP} records")
        return
    last = max(table, key=lambda row: float(str(row["miscalibration_area"])))
    section.add(
        "worst_group_miscalibration", float(str(last["miscalibration_area"])),
        f"miscalibration area of the worst class ({last['chemistry']})",
        source="after Tran et al. (2020), by anion class",
    )  # fmt: skip
