"""What is tested and what counts as good enough: the versioned suite.

The defaults below are suite ``standard`` version 1; :meth:`SuiteRecipe.standard` is the
newest version. The files of that name in ``configs/assessments/`` give the reason of
each threshold; a test holds both equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from matdisco.recipe import Recipe, nearest

Verdict = Literal["pass", "warn", "fail", "info", "n/a"]
"""``info``: measured, but without a threshold; ``n/a``: not applicable to this kind."""
Kind = Literal["checkpoint", "potential", "estimator", "function", "predictions"]
"""What may be assessed."""
SectionName = Literal[
    "efficacy", "calibration", "shift", "robustness", "potential", "safety"
]
ORDER: tuple[SectionName, ...] = (
    "efficacy", "calibration", "shift", "robustness", "potential", "safety",
)  # fmt: skip
"""Sections in reading order."""
Axis = Literal[
    "element", "group", "chemical_system", "prototype", "cluster", "extremes", "time"
]


class Threshold(Recipe):
    """Where a measure stops being good."""

    warn: float | None = None
    """Worse than this is a warning; null leaves only the failure."""
    fail: float | None = None
    """Worse than this is a failure; null never fails."""
    better: Literal["low", "high"]
    """Which end is good."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.warn is None and self.fail is None:
            raise ValueError("expected warn, fail or both")
        if self.warn is not None and self.fail is not None:
            away = self.fail - self.warn
            if (away < 0) != (self.better == "high") and away != 0:
                raise ValueError(
                    f"better {self.better}: fail {self.fail:g} must be on the worse "
                    f"side of warn {self.warn:g}"
                )
        return self

    def judge(self, value: float | None) -> Verdict:
        """Return the verdict; what is not a number fails.

        >>> Threshold(warn=0.1, fail=0.2, better="low").judge(0.15)
        'warn'
        """
        if value is None or value != value:
            return "fail" if self.fail is not None else "warn"
        sign = 1 if self.better == "low" else -1
        if self.fail is not None and sign * value > sign * self.fail:
            return "fail"
        if self.warn is not None and sign * value > sign * self.warn:
            return "warn"
        return "pass"


def _low(warn: float | None, fail: float | None) -> Threshold:
    return Threshold(warn=warn, fail=fail, better="low")


def _high(warn: float | None, fail: float | None) -> Threshold:
    return Threshold(warn=warn, fail=fail, better="high")


STANDARD: Mapping[str, Threshold] = {
    "efficacy.skill": _high(0.4, 0.1),
    "efficacy.spearman": _high(0.7, 0.3),
    "efficacy.spread_ratio": _high(0.5, 0.1),
    "efficacy.enrichment_top_5": _high(4.0, 1.5),
    "efficacy.daf": _high(1.5, 1.0),
    "efficacy.learning_slope": _low(0.0, 0.3),
    "efficacy.unanswered": _low(0.0, 0.05),
    "calibration.miscalibration_area": _low(0.1, 0.2),
    "calibration.ence": _low(0.4, 1.0),
    "calibration.undercoverage_90": _low(0.1, 0.25),
    "calibration.rms_z": _low(1.5, 2.5),
    "calibration.spearman_error_std": _high(0.05, None),
    "calibration.worst_group_miscalibration": _low(0.2, 0.35),
    "shift.drop_element": _low(2.5, 6.0),
    "shift.drop_group": _low(2.5, 6.0),
    "shift.drop_chemical_system": _low(2.0, 5.0),
    "shift.drop_prototype": _low(2.0, 5.0),
    "shift.drop_cluster": _low(2.5, 6.0),
    "shift.drop_extremes": _low(5.0, 15.0),
    "shift.drop_time": _low(2.0, 5.0),
    "shift.drop_unseen": _low(2.5, 6.0),
    "shift.worst_slice": _low(3.0, 8.0),
    "shift.coverage_90_out": _high(0.7, 0.4),
    "robustness.rotation": _low(1e-3, 1e-2),
    "robustness.translation": _low(1e-3, 1e-2),
    "robustness.permutation": _low(1e-3, 1e-2),
    "robustness.cell_choice": _low(1e-3, 1e-2),
    "robustness.supercell": _low(1e-3, 1e-2),
    "robustness.atom_wrap": _low(1e-3, 1e-2),
    "robustness.rattle_jump": _low(0.02, None),
    "robustness.strain_jump": _low(0.02, None),
    "robustness.sees_structure": _high(0.5, None),
    "robustness.sees_species": _high(0.5, 0.1),
    "robustness.absurd_caught": _high(0.999, 0.4),
    "potential.force_error": _low(0.01, 0.05),
    "potential.stress_error": _low(0.1, 0.5),
    "potential.nve_drift": _low(1.0, 10.0),
    "potential.eos_roughness": _low(0.01, 0.05),
    "potential.false_minima": _low(0.0, 1.0),
    "potential.dimer_jump": _low(1.0, 5.0),
    "potential.dimer_repulsive": _high(0.9, 0.5),
    "safety.gate_recall": _high(0.3, 0.1),
    "safety.poison_10": _low(1.5, 3.0),
    "safety.leaked": _low(0.0, 0.05),
    "safety.leaked_near": _low(0.05, 0.5),
    "safety.pool_leaked": _low(0.0, 0.05),
    "safety.memorised": _high(0.6, 0.3),
    "safety.degraded": _low(2.0, 4.0),
    "safety.suspect_labels": _low(0.03, 0.045),
    "safety.unsafe_files": _low(None, 0.0),
    "safety.forbidden_proposals": _low(0.0, 0.05),
}
"""Thresholds of suite ``standard`` version 1; reasons stand in the YAML file."""


class KindRecipe(Recipe):
    """What one kind of subject must show, and what cannot be asked of it."""

    requires: tuple[SectionName, ...] = ("efficacy",)
    """Parts without which a card of this kind cannot pass (a skipped one fails)."""
    not_applicable: Mapping[SectionName, str] = Field(default_factory=dict)
    """Part to the reason why it cannot apply; the card says so."""
    flagged_by: Literal["sigma", "energy"] = "sigma"
    """What flags an absurd input: a large sigma, or, for a potential, an energy above
    all ordinary ones by more than their spread."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        both = [s for s in self.requires if s in self.not_applicable]
        if both:
            raise ValueError(f"{', '.join(both)}: required and not applicable at once")
        return self


_NO_FORCES = (
    "without forces there are no derivatives, dynamics or dimer curves to check"
)
KINDS: Mapping[Kind, KindRecipe] = {
    "checkpoint": KindRecipe(
        requires=("efficacy", "calibration", "shift", "robustness", "safety"),
        not_applicable={"potential": _NO_FORCES},
    ),
    "potential": KindRecipe(
        requires=("efficacy", "robustness", "potential"),
        not_applicable={
            "calibration": "a potential answers with an energy and no standard "
            "deviation; a campaign learns its errors where it is a surrogate's base",
        },
        flagged_by="energy",
    ),
    "estimator": KindRecipe(
        requires=("efficacy", "robustness"), not_applicable={"potential": _NO_FORCES}
    ),
    "function": KindRecipe(
        requires=("efficacy", "robustness"), not_applicable={"potential": _NO_FORCES}
    ),
    "predictions": KindRecipe(
        not_applicable={
            "robustness": "a table of predictions cannot be asked anything new",
            "potential": _NO_FORCES,
        },
    ),
}
"""Per kind in suite ``standard`` version 2; reasons stand in the YAML file."""


class SuiteRecipe(Recipe):
    """One battery: what runs, on how much, and where pass, warn and fail lie."""

    name: str = Field("standard", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    """Name of the suite."""
    version: int = Field(1, ge=1)
    """Raised whenever a threshold or a protocol changes: cards of different versions
    do not compare."""
    seed: int = Field(0, ge=0)
    """Of every random choice in the battery."""
    sections: tuple[SectionName, ...] = ORDER
    """Which parts run."""
    requires: tuple[SectionName, ...] = ("efficacy",)
    """Parts without which a card cannot pass (a skipped one of these fails), for kinds
    that ``kinds`` does not name."""
    kinds: Mapping[Kind, KindRecipe] = Field(default_factory=dict)
    """Kind of subject to what it must show. Version 1 asked the same of all, so that a
    potential could not pass where calibration was required."""
    test_fraction: float = Field(0.2, gt=0.02, le=0.5)
    """Share held out where the battery fits the subject itself."""
    refit_records: int = Field(600, ge=40)
    """Most records that one refit learns from."""
    refits: bool = True
    """Whether to fit the subject anew (out of distribution, learning curve, poison)."""
    axes: tuple[Axis, ...] = (
        "element", "group", "chemical_system", "prototype", "cluster", "extremes",
        "time",
    )  # fmt: skip
    """What is left out in turn."""
    learning_sizes: tuple[int, ...] = (50, 100, 200, 400)
    """Training records of the learning curve."""
    poison_shares: tuple[float, ...] = (0.05, 0.1, 0.2)
    """Shares of training labels that are corrupted."""
    robustness_crystals: int = Field(24, ge=1)
    """Crystals that are rotated, rattled, strained and swapped."""
    potential_crystals: int = Field(4, ge=1)
    """Crystals on which a potential's derivatives are checked."""
    nve_steps: int = Field(200, ge=10)
    """Steps of 1 fs of the energy conservation run."""
    nve_kelvin: float = Field(300.0, gt=0)
    """Starting temperature, K."""
    stable_below: float = 0.0
    """Energy above hull, eV/atom, up to which a crystal counts as stable."""
    flagged_share: float = Field(0.2, gt=0, lt=1)
    """Share of predictions that the applicability gate may flag."""
    top_fraction: float = Field(0.05, gt=0, lt=0.5)
    """Fraction of the records that enrichment looks for."""
    thresholds: Mapping[str, Threshold] = Field(default_factory=lambda: dict(STANDARD))
    """Measure (``section.key``) to its limits. A measure without one informs only."""

    @field_validator("thresholds")
    @classmethod
    def _known(cls, value: Mapping[str, Threshold]) -> Mapping[str, Threshold]:
        for key in value:
            if key not in STANDARD:
                raise ValueError(f"unknown measure {key!r}{nearest(key, [*STANDARD])}")
        return value

    @model_validator(mode="after")
    def _runs_what_it_requires(self) -> Self:
        wanted: dict[str, tuple[SectionName, ...]] = {"": self.requires}
        wanted |= {k: v.requires for k, v in self.kinds.items()}
        for kind, required in wanted.items():
            missing = [s for s in required if s not in self.sections]
            if missing:
                of = f" of a {kind}" if kind else ""
                raise ValueError(
                    f"requires {', '.join(missing)}{of}, which sections leaves out"
                )
        return self

    def asks(self, kind: str) -> KindRecipe:
        """Return what this suite asks of a kind of subject."""
        known = {str(k): v for k, v in self.kinds.items()}
        return known.get(kind) or KindRecipe(requires=self.requires)

    @classmethod
    def standard(cls) -> Self:
        """Return the newest standard suite."""
        return cls(version=2, kinds=dict(KINDS))

    @property
    def label(self) -> str:
        """Name and version, for example ``standard 2``."""
        return f"{self.name} {self.version}"
