"""A program in VASP's place: reads VASP's inputs, answers by EMT in VASP's files.

Nobody here can run VASP. What goes to it and what comes back (the order of the atoms,
units, signs, how the program is started) is tested with this. With ``--first-fails`` it
stops at its first start as VASP does when a line search fails.
"""

import sys
from pathlib import Path

import ase.io
import numpy as np
from ase.calculators.emt import EMT

if "--first-fails" in sys.argv and not Path("started").exists():
    Path("started").touch()
    print(" ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF")
    Path("vasp.out").write_text("ZBRENT: fatal error in bracketing\n")
    sys.exit(0)

atoms = ase.io.read("POSCAR", format="vasp")
atoms.calc = EMT()
energy, forces = atoms.get_potential_energy(), atoms.get_forces()
kbar = -atoms.get_stress(voigt=False) * 1602.1766339999998  # VASP's sign and unit


def rows(name, values):
    body = "\n".join("<v> " + " ".join(f"{x:.10f}" for x in row) + " </v>"
                     for row in values)  # fmt: skip
    return f'<varray name="{name}">\n{body}\n</varray>'


def structure(name):
    cell = atoms.cell.array
    return f"""<structure name="{name}"><crystal>{rows("basis", cell)}
<i name="volume"> {atoms.get_volume():.8f} </i>
{rows("rec_basis", np.linalg.inv(cell).T)}</crystal>
{rows("positions", atoms.get_scaled_positions())}</structure>"""


symbols = atoms.get_chemical_symbols()
types = list(dict.fromkeys(symbols))
each = "".join(f"<rc><c>{s}</c><c>{types.index(s) + 1}</c></rc>" for s in symbols)
kinds = "".join(
    f"<rc><c>{symbols.count(s)}</c><c>{s}</c><c>1.0</c><c>1.0</c><c>PAW {s}</c></rc>"
    for s in types
)
numbers = f"""<energy><i name="e_fr_energy"> {energy:.10f} </i>
<i name="e_wo_entrp"> {energy:.10f} </i>
<i name="e_0_energy"> {energy:.10f} </i></energy>"""
Path("vasprun.xml").write_text(f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
<generator><i name="program" type="string">vasp </i>
<i name="version" type="string">0.0.standin</i></generator>
<incar></incar>
<kpoints><varray name="kpointlist"><v> 0 0 0 </v></varray>
<varray name="weights"><v> 1.0 </v></varray></kpoints>
<parameters><separator name="electronic"><i type="int" name="NELM"> 60</i>
<i type="int" name="NSW"> 0</i><i type="int" name="IBRION"> -1</i>
<i type="int" name="ISPIN"> 1</i><i type="logical" name="LEPSILON"> F </i>
</separator></parameters>
<atominfo><atoms> {len(atoms)} </atoms><types> {len(types)} </types>
<array name="atoms"><dimension dim="1">ion</dimension>
<field type="string">element</field><field type="int">atomtype</field>
<set>{each}</set></array>
<array name="atomtypes"><dimension dim="1">type</dimension>
<field type="int">atomspertype</field><field type="string">element</field>
<field>mass</field><field>valence</field><field type="string">pseudopotential</field>
<set>{kinds}</set></array></atominfo>
{structure("initialpos")}
<calculation><scstep>{numbers}</scstep>{structure("")}
{rows("forces", forces)}
{rows("stress", kbar)}
{numbers}</calculation>
{structure("finalpos")}
</modeling>
""")
