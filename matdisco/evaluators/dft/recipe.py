"""What an ``evaluator: {kind: dft}`` block may say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from matdisco.errors import SetupError
from matdisco.evaluators.dft.presets import (
    FOR_STRESS,
    FOR_VOLUME,
    LADDER,
    NORM_CONSERVING,
    PRESETS,
    Purpose,
    needed,
)
from matdisco.evaluators.relax import RelaxRecipe
from matdisco.evaluators.simulator import Engine
from matdisco.evaluators.simulator_recipe import SimulatorRecipe
from matdisco.recipe import Recipe

if TYPE_CHECKING:
    from matdisco.evaluators.dft.espresso import Espresso
    from matdisco.evaluators.dft.gpaw import Gpaw
    from matdisco.evaluators.dft.vasp import Vasp


LARGEST: Mapping[str, int] = {"gpaw": 50, "espresso": 200, "vasp": 500}
"""Atoms. GPAW runs on one core here: cost grows with the square to the cube of the
atoms, and 20 of them take 17 s for one geometry at one k-point. The others may run in
parallel (``command: mpirun -np 16 pw.x``)."""


class RetryRecipe(Recipe):
    """What one further try changes after a calculation did not converge."""

    mixing: float | None = Field(None, gt=0, le=1)
    """Share of the new density that is mixed in."""
    iterations: int | None = Field(None, ge=1)
    """Self-consistency cycles."""
    smearing: float | None = Field(None, ge=0, le=2)
    """Fermi-Dirac width, eV."""
    optimizer: Literal["LBFGS", "BFGS", "FIRE"] | None = None
    """Optimizer of the relaxation."""


class DftRecipe(SimulatorRecipe):
    """A density-functional calculation: a purpose, and what departs from it."""

    hashed_if_given: ClassVar[frozenset[str]] = frozenset({"measure", "custodian"})

    kind: Literal["dft"] = "dft"
    code: Literal["gpaw", "espresso", "vasp"] = "gpaw"
    """GPAW (plane waves, serial, extra gpaw), Quantum ESPRESSO (pw.x) or VASP (inputs
    by pymatgen; matdisco's makers could not run VASP, only its files are tested)."""
    preset: Purpose = "relax"
    """screen: energy of the structure as given; relax: volume by an equation of state
    and positions; accurate: the same with a larger basis and denser k-points."""
    functional: str = "PBE"
    """PBE, LDA, ... ; for VASP it is part of the input set."""
    cutoff: float | None = Field(None, ge=100, le=3000)
    """Plane-wave cutoff, eV; from the preset and the elements when not given. One
    campaign uses one cutoff: that of its hardest element."""
    kpoint_density: float | None = Field(None, gt=0, le=20)
    """k-points per Å⁻¹ of reciprocal length; the preset's when not given."""
    smearing: float | None = Field(None, ge=0, le=2)
    """Fermi-Dirac width, eV; the preset's when not given."""
    spin: Literal["auto", "on", "off"] = "auto"
    """auto: spin-polarised with Cr, Mn, Fe, Co, Ni, a lanthanide, or an O2 molecule."""
    relax: RelaxRecipe | None = None
    """How to relax; the preset's way when not given."""
    static: bool = False
    """Evaluate structures as they stand, whatever the preset."""
    retries: tuple[RetryRecipe, ...] | None = None
    """Further tries, each with its changes; slow mixing, then more smearing and FIRE
    when not given."""
    pseudopotentials: str | None = None
    """Folder of UPF files for espresso (``El.UPF``, ``El.upf`` or ``El_*``, ``El.*``);
    the packaged ones serve Si, Na and Cl, the only ones that were checked."""
    command: str | None = None
    """Command of the code; ``pw.x`` or ``vasp_std`` when not given."""
    input_set: str = "MPStaticSet"
    """pymatgen input set for vasp: MPStaticSet, MPRelaxSet, MatPESStaticSet, ..."""
    custodian: bool = False
    """For vasp: custodian (extra vasp) mends known errors and runs VASP again; what it
    changed is in ``custodian.json`` beside the outputs."""
    settings: Mapping[str, Any] = Field(default_factory=dict)
    """Further settings of the code: GPAW keywords, espresso input_data, INCAR tags."""

    @model_validator(mode="after")
    def _relaxation(self) -> DftRecipe:
        if self.static and self.relax is not None:
            raise ValueError("static: expected no relax block beside static: true")
        if self.relax is None and not self.static and PRESETS[self.preset].relax:
            by_volume = RelaxRecipe(by="equation_of_state")
            object.__setattr__(self, "relax", by_volume)
        return self

    @override
    def fixed_for(self, elements: frozenset[str]) -> Self:
        """Return the recipe with the cutoff that the hardest element needs.

        Energies of different cutoffs cannot be compared, so it is one for all.
        """
        if self.cutoff is not None or not elements or self.code == "vasp":
            return self
        if self.code == "espresso":
            table: Mapping[str, float] = dict.fromkeys(elements, 1090.0)
            table = {**table, **NORM_CONSERVING}  # 80 Ry where nothing is known
        else:
            by_stress = self.relax and self.relax.cell and self.relax.by == "stress"
            table = FOR_STRESS if by_stress else FOR_VOLUME
        value, _ = needed(elements, table)
        factor = PRESETS[self.preset].factor
        return self.model_copy(update={"cutoff": math.ceil(value * factor / 10) * 10.0})

    @property
    def density(self) -> float:
        """k-points per Å⁻¹ of reciprocal length."""
        return self.kpoint_density or PRESETS[self.preset].density

    @property
    def width(self) -> float:
        """Fermi-Dirac width, eV."""
        smearing = self.smearing
        return PRESETS[self.preset].smearing if smearing is None else smearing

    @override
    def ladder(self) -> tuple[Mapping[str, Any], ...]:
        if self.retries is None:
            return LADDER
        return tuple(r.model_dump(exclude_none=True) for r in self.retries)

    @override
    def check(self, elements: frozenset[str]) -> None:
        self.check_references(elements)
        self.check_measured()
        if self.cutoff is None and self.code != "vasp":
            raise SetupError(
                "evaluator.cutoff: give it in eV; it cannot follow from the elements, "
                "because the candidates are not known before they are read"
            )
        if elements:
            self._check_cutoff(elements)
        self._code().check(self, elements)

    def _check_cutoff(self, elements: frozenset[str]) -> None:
        if self.code != "gpaw" or self.cutoff is None or self.relax is None:
            return
        if not self.relax.cell:
            return
        by_stress = self.relax.by == "stress"
        least, element = needed(elements, FOR_STRESS if by_stress else FOR_VOLUME)
        if self.cutoff >= least:
            return
        other, _ = needed(elements, FOR_VOLUME)
        way_out = (
            f"raise it, or relax by equation_of_state, which needs {other:g} eV"
            if by_stress
            else "raise it, or leave it out to get what the elements need"
        )
        what = "by stress" if by_stress else "by an equation of state"
        raise SetupError(
            f"evaluator.cutoff: {self.cutoff:g} eV is too little to relax a cell with "
            f"{element} {what}: below {least:g} eV the basis, not the crystal, decides "
            f"its volume (Pulay stress); {way_out}"
        )

    @property
    def details(self) -> dict[str, Any]:
        """What decides an answer besides code and crystal, for its provenance."""
        if self.code == "vasp":
            return {"functional": self.input_set}
        return {
            "functional": self.functional,
            "cutoff_eV": self.cutoff,
            "kpoint_density_per_A": self.density,
            "smearing_eV": self.width,
        }

    @override
    def largest_cell(self) -> int:
        return self.max_atoms or LARGEST[self.code]

    def _code(self) -> type[Gpaw] | type[Espresso] | type[Vasp]:
        from importlib import import_module

        module = import_module(f"matdisco.evaluators.dft.{self.code}")
        found: type[Gpaw] | type[Espresso] | type[Vasp] = getattr(
            module, self.code.capitalize()
        )
        return found

    @override
    def seconds_per_evaluation(self, n_atoms: float) -> float:
        preset = PRESETS[self.preset]
        # measured with GPAW on one core: 1 to 8 s for 2 to 5 atoms at 300 to 600 eV and
        # 2.5 k-points per Å⁻¹; k-points cost linearly, atoms by about their square
        once: float = (0.8 + 0.25 * n_atoms**1.7) * (self.density / 2.5) ** 2
        points = 1.0 if self.relax is None else 9.0
        return float(once * points * preset.factor**1.5)

    @override
    def engine(self) -> Engine:
        return self._code()(self)
