"""VASP through pymatgen's input sets, alone or under custodian.

The makers of matdisco have no VASP licence and cannot run it: the inputs it writes and
the reading of real ``vasprun.xml`` files are tested, and the way between them with a
program in VASP's place that computes by a potential; VASP itself is not.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ase.calculators.calculator import Calculator, all_changes
from typing_extensions import override

from matdisco.errors import MissingExtra, SetupError
from matdisco.evaluators.base import EvaluationFailed, FailureKind
from matdisco.evaluators.simulator_recipe import Changes

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    from matdisco.evaluators.dft.recipe import DftRecipe

MESSAGES = {
    # words in VASP's own output, and what they mean
    "ZBRENT: fatal error": FailureKind.NOT_CONVERGED,
    "EDDDAV: Call to ZHEGV failed": FailureKind.NOT_CONVERGED,
    "BRMIX: very serious problems": FailureKind.NOT_CONVERGED,
    "insufficient virtual memory": FailureKind.OUT_OF_MEMORY,
    "DUE TO TIME LIMIT": FailureKind.TIMEOUT,
    "VERY BAD NEWS": FailureKind.BACKEND_ERROR,
}


class Vasp:
    """VASP as an :class:`~matdisco.evaluators.simulator.Engine`."""

    def __init__(self, recipe: DftRecipe) -> None:
        self.recipe = recipe
        self.method = f"VASP {recipe.input_set}"
        self.versions: dict[str, str] = {"vasp": "not run yet"}
        self.details = recipe.details

    @staticmethod
    def check(recipe: DftRecipe, elements: frozenset[str]) -> None:
        """Refuse before anything is spent.

        Raises:
            SetupError: the executable, the POTCAR library or the input set is missing.
        """
        _input_set(recipe.input_set)
        if recipe.functional != "PBE":
            raise SetupError(
                f"evaluator.functional: {recipe.functional!r} would be ignored; with "
                "vasp the input set decides (input_set: MPScanStaticSet for r2SCAN)"
            )
        program = shlex.split(recipe.command or "vasp_std")[0]
        if shutil.which(program) is None:
            raise SetupError(
                f"evaluator.command: {program} is not on PATH; load VASP's module or "
                "give its command"
            )
        library = os.environ.get("PMG_VASP_PSP_DIR") or _pymatgen_setting()
        if not library or not Path(library).is_dir():
            raise SetupError(
                "VASP needs its POTCAR files: set PMG_VASP_PSP_DIR to the folder made "
                "by pymatgen's 'pmg config -p'"
            )
        if recipe.custodian and find_spec("custodian") is None:
            raise MissingExtra("custodian", "vasp")

    def calculator(self, atoms: Atoms, folder: Path, changes: Changes) -> Calculator:
        """Return a calculator that runs VASP once for every geometry."""
        return VaspFiles(self.recipe, folder, changes, self.versions)

    def recognise(self, error: Exception, folder: Path) -> EvaluationFailed | None:
        """Read what VASP wrote before it stopped."""
        logs = sorted(folder.glob("vasp-*/vasp.out"))
        text = logs[-1].read_text(errors="replace") if logs else ""
        for words, kind in MESSAGES.items():
            if words in text:
                return EvaluationFailed(kind, f"VASP: {words} ({logs[-1]})")
        if type(error).__module__.startswith("custodian"):
            return EvaluationFailed(
                FailureKind.NOT_CONVERGED, f"custodian gave up: {error}".strip(": ")
            )
        return None


class VaspFiles(Calculator):
    """Writes inputs, runs VASP, reads ``vasprun.xml``; one folder per geometry."""

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]
        "energy", "free_energy", "forces", "stress", "magmom",
    ]  # fmt: skip

    def __init__(
        self,
        recipe: DftRecipe,
        folder: Path,
        changes: Changes,
        versions: dict[str, str],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recipe, self.folder, self.changes = recipe, folder, changes
        self.versions, self.runs = versions, 0

    @override
    def calculate(
        self,
        atoms: Any = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        from pymatgen.io.ase import AseAtomsAdaptor

        super().calculate(  # type: ignore[no-untyped-call]
            atoms, properties, system_changes
        )
        folder = (self.folder / f"vasp-{self.runs:03d}").resolve()
        self.runs += 1
        structure = AseAtomsAdaptor.get_structure(atoms)
        # POSCAR has one block for each element, whatever the order of the atoms
        order = _as_pymatgen_sorts(structure)
        write_inputs(
            structure.from_sites([structure[i] for i in order]),
            folder, self.recipe, self.changes,
        )  # fmt: skip
        command = shlex.split(self.recipe.command or "vasp_std")
        if self.recipe.custodian:
            run_under_custodian(command, folder)
        else:
            with (folder / "vasp.out").open("w") as log:
                subprocess.run(command, cwd=folder, stdout=log,
                               stderr=subprocess.STDOUT, check=True)  # fmt: skip
        found = read_outputs(folder)
        self.versions["vasp"] = found.pop("version")
        forces = found["forces"].copy()
        found["forces"][order] = forces
        self.results = found


def write_inputs(
    structure: Structure,
    folder: Path,
    recipe: DftRecipe,
    changes: Changes,
    *,
    potcars: bool = True,
) -> None:
    """Write INCAR, KPOINTS, POSCAR and POTCAR.

    Args:
        structure: the geometry.
        folder: where to.
        recipe: input set and INCAR tags.
        changes: of a further try.
        potcars: False writes the names of the POTCARs instead of the files.
    """
    incar: dict[str, Any] = {"LWAVE": False, "LCHARG": False, "NSW": 0, "ISIF": 2}
    if recipe.cutoff is not None:
        incar["ENCUT"] = recipe.cutoff
    if recipe.spin != "auto":
        incar["ISPIN"] = 2 if recipe.spin == "on" else 1
    if recipe.smearing is not None:
        incar |= {"ISMEAR": -1, "SIGMA": recipe.smearing}  # Fermi-Dirac, as elsewhere
    incar |= recipe.settings
    for key, tag in (("mixing", "AMIX"), ("iterations", "NELM"), ("smearing", "SIGMA")):
        if key in changes:
            incar[tag] = changes[key]
    options: dict[str, Any] = {"user_incar_settings": incar}
    if recipe.kpoint_density is not None:
        options["user_kpoints_settings"] = _kpoints(structure, recipe.kpoint_density)
    chosen = _input_set(recipe.input_set)(structure, **options)
    chosen.write_input(str(folder), make_dir_if_not_present=True,
                       potcar_spec=not potcars)  # fmt: skip


def run_under_custodian(command: list[str], folder: Path) -> None:
    """Run VASP in ``folder`` and let custodian mend known errors and run it again.

    What it changed is in ``folder/custodian.json``.

    Raises:
        custodian.CustodianError: an error that it cannot mend.
    """
    from custodian import Custodian
    from custodian.vasp import handlers
    from custodian.vasp.jobs import VaspJob

    known = (
        handlers.VaspErrorHandler(), handlers.StdErrHandler(),
        handlers.MeshSymmetryErrorHandler(), handlers.UnconvergedErrorHandler(),
        handlers.NonConvergingErrorHandler(), handlers.PositiveEnergyErrorHandler(),
    )  # fmt: skip
    # backups and archives of its own would only double what the folder keeps
    job = VaspJob(command, backup=False, auto_gamma=False)
    Custodian(
        known, [job], max_errors=5, polling_time_step=1, directory=str(folder)
    ).run()


def read_outputs(folder: Path) -> dict[str, Any]:
    """Return ASE results from ``vasprun.xml``: eV, eV/Å, eV/Å³ in ASE's sign.

    Besides, ``band_gap`` (eV), ``magmom`` (μB) where OSZICAR has it, and ``version``.

    Raises:
        EvaluationFailed: VASP stopped early or did not converge.
    """
    import ase.io
    from pymatgen.io.vasp import Oszicar, Vasprun

    path = folder / "vasprun.xml"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is asked for below
            run: Any = Vasprun(str(path), parse_potcar_file=False, parse_dos=False)
        # ASE takes energies from the last electronic step: the summary of an ionic
        # step in files of VASP 5 has 0 or differences where the energy should be
        atoms: Any = ase.io.read(path, index=-1, format="vasp-xml")
        found = atoms.calc.results
        results = {k: found[k] for k in ("energy", "free_energy", "forces")}
    except Exception as error:
        # pymatgen and ASE raise whatever their parsers meet at the end of a cut file
        raise EvaluationFailed(
            FailureKind.BACKEND_ERROR,
            f"VASP left no complete vasprun.xml in {folder} ({type(error).__name__})",
        ) from error
    if not run.converged_electronic:
        raise EvaluationFailed(
            FailureKind.NOT_CONVERGED,
            f"VASP: the self-consistency cycle did not converge ({folder})",
        )
    if "stress" in found:
        results["stress"] = found["stress"]
    results["version"] = str(run.vasp_version)
    if run.eigenvalues:
        results["band_gap"] = max(0.0, float(run.eigenvalue_band_properties[0]))
    oszicar = folder / "OSZICAR"
    if oszicar.exists() and (steps := Oszicar(str(oszicar)).ionic_steps):
        magmom = steps[-1].get("mag")
        if magmom is not None:
            results["magmom"] = float(magmom)
    return results


def _kpoints(structure: Structure, density: float) -> Any:
    """Return a mesh around Gamma of ``density`` points per Å⁻¹, as for other codes."""
    from ase.calculators.calculator import kptdensity2monkhorstpack
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.vasp import Kpoints

    atoms = AseAtomsAdaptor.get_atoms(structure)
    a, b, c = kptdensity2monkhorstpack(atoms, density, even=False)
    return Kpoints.gamma_automatic((int(a), int(b), int(c)))


def _as_pymatgen_sorts(structure: Structure) -> list[int]:
    """Return the sites in the order that pymatgen's input sets give them."""
    return sorted(
        range(len(structure)), key=lambda i: structure[i].species.average_electroneg
    )


def _input_set(name: str) -> Any:
    from pymatgen.io.vasp import sets

    from matdisco.recipe import nearest

    found = getattr(sets, name, None)
    known = [n for n in dir(sets) if n.endswith("Set") and not n.startswith("_")]
    if found is None or name not in known:
        raise SetupError(
            f"evaluator.input_set: pymatgen has no input set {name!r}"
            f"{nearest(name, known)}"
        )
    return found


def _pymatgen_setting() -> str | None:
    from pymatgen.core import SETTINGS

    value = SETTINGS.get("PMG_VASP_PSP_DIR")
    return str(value) if value else None
