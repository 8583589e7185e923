"""One rock-salt crystal, MgO with a = 4.21 Å, as every code writes it.

All texts were written for these tests: shortened to what a reader needs, in the
layout of the program. The total energy, where there is one, is -12.5 eV per cell.
"""

from __future__ import annotations

import json

A = 4.21
H = A / 2
BOHR = 0.529177210903
HA = 27.211386245988
ENERGY = -12.5
B = A / BOHR
E_HA = ENERGY / HA

CIF = f"""data_MgO
_cell_length_a {A}
_cell_length_b {A}
_cell_length_c {A}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
_chemical_formula_sum 'Mg O'
loop_
_symmetry_equiv_pos_as_xyz
'x, y, z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Mg1 Mg 0 0 0 1
Mg2 Mg 0 0.5 0.5 1
Mg3 Mg 0.5 0 0.5 1
Mg4 Mg 0.5 0.5 0 1
O1 O 0.5 0.5 0.5 1
O2 O 0.5 0 0 1
O3 O 0 0.5 0 1
O4 O 0 0 0.5 1
"""

POSCAR = f"""rock salt
{A}
0.0 0.5 0.5
0.5 0.0 0.5
0.5 0.5 0.0
Mg O
1 1
Direct
0 0 0
0.5 0.5 0.5
"""

XDATCAR = f"""rock salt
1.0
0.0 {H} {H}
{H} 0.0 {H}
{H} {H} 0.0
Mg O
1 1
Direct configuration=     1
0.0 0.0 0.0
0.4 0.5 0.5
Direct configuration=     2
0.0 0.0 0.0
0.5 0.5 0.5
"""

_VECTORS = f"<v>0 {H} {H}</v><v>{H} 0 {H}</v><v>{H} {H} 0</v>"
_STRUCTURE = (
    f'<crystal><varray name="basis">{_VECTORS}</varray></crystal>'
    '<varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.5</v></varray>'
)


def _energies(free: float, zero: float) -> str:
    return (
        f'<energy><i name="e_fr_energy">{free}</i>'
        f'<i name="e_wo_entrp">{zero}</i><i name="e_0_energy">{zero}</i></energy>'
    )


VASPRUN = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
<generator><i name="program" type="string">vasp</i>
<i name="version" type="string">6.4.2</i></generator>
<incar><i type="string" name="GGA">PE</i><i name="ENCUT">520.0</i></incar>
<parameters><i type="int" name="NELM">60</i><i name="NELECT">8.0</i></parameters>
<atominfo><array name="atomtypes"><set>
<rc><c>1</c><c>Mg</c><c>24.305</c><c>2.0</c><c>PAW_PBE Mg 13Apr2007</c></rc>
<rc><c>1</c><c>O </c><c>16.000</c><c>6.0</c><c>PAW_PBE O 08Apr2002</c></rc>
</set></array></atominfo>
<structure name="initialpos">{_STRUCTURE}</structure>
<calculation><scstep>{_energies(-12.6, -12.5)}</scstep>
<structure>{_STRUCTURE}</structure>
<varray name="forces"><v>0 0 0.03</v><v>0 0 -0.03</v></varray>
{_energies(-12.6, -11.0)}
<eigenvalues><array><set><set comment="spin 1"><set comment="kpoint 1">
<r>-3.0 1.0</r><r>1.0 1.0</r><r>5.5 0.0</r></set></set></set></array></eigenvalues>
</calculation>
<structure name="finalpos">{_STRUCTURE}</structure>
</modeling>
"""

OUTCAR = f""" vasp.6.4.2 20Jul23 complex
 POTCAR:    PAW_PBE Mg 13Apr2007
 POTCAR:    PAW_PBE O 08Apr2002
   VRHFIN =Mg: s2p0
   TITEL  = PAW_PBE Mg 13Apr2007
   VRHFIN =O: s2p4
   TITEL  = PAW_PBE O 08Apr2002
   ions per type =               1   1
   GGA     =    PE    GGA type
      direct lattice vectors                 reciprocal lattice vectors
     0.000000000  {H:.9f}  {H:.9f}    -0.237529691  0.237529691  0.237529691
     {H:.9f}  0.000000000  {H:.9f}     0.237529691 -0.237529691  0.237529691
     {H:.9f}  {H:.9f}  0.000000000     0.237529691  0.237529691 -0.237529691

 aborting loop because EDIFF is reached
 POSITION                                       TOTAL-FORCE (eV/Angst)
 ---------------------------------------------------------------------
      0.00000      0.00000      0.00000         0.00      0.00     0.03
      {H:.5f}      {H:.5f}      {H:.5f}         0.00      0.00    -0.03
 ---------------------------------------------------------------------
  free  energy   TOTEN  =       -12.60000000 eV

  energy  without entropy=      -12.40000000  energy(sigma->0) =      -12.50000000
 General timing and accounting informations for this job:
"""

_PROPERTIES = "Properties=species:S:1:pos:R:3:forces:R:3"
EXTXYZ = f"""2
Lattice="0 {H} {H} {H} 0 {H} {H} {H} 0" {_PROPERTIES} energy={ENERGY} pbc="T T T"
Mg 0 0 0 0 0 0.03
O {H} {H} {H} 0 0 -0.03
"""

ESPRESSO_IN = f"""&CONTROL
  calculation = 'scf'
/
&SYSTEM
  ibrav = 2, celldm(1) = {B}, nat = 2, ntyp = 2, ecutwfc = 40
/
&ELECTRONS
/
ATOMIC_SPECIES
Mg 24.305 Mg.upf
O 15.999 O.upf
ATOMIC_POSITIONS crystal
Mg 0 0 0
O 0.5 0.5 0.5
K_POINTS gamma
"""

ESPRESSO_XML = f"""<?xml version="1.0" encoding="UTF-8"?>
<qes:espresso xmlns:qes="http://www.quantum-espresso.org/ns/qes/qes-1.0">
<general_info><creator NAME="PWSCF" VERSION="7.3">x</creator></general_info>
<input><dft><functional>PBE</functional></dft></input>
<output><convergence_info><scf_conv>
<convergence_achieved>true</convergence_achieved></scf_conv></convergence_info>
<atomic_structure nat="2"><atomic_positions>
<atom name="Mg" index="1">0 0 0</atom>
<atom name="O" index="2">{B / 2} {B / 2} {B / 2}</atom>
</atomic_positions><cell><a1>0 {B / 2} {B / 2}</a1><a2>{B / 2} 0 {B / 2}</a2>
<a3>{B / 2} {B / 2} 0</a3></cell></atomic_structure>
<total_energy><etot>{E_HA}</etot></total_energy></output>
</qes:espresso>
"""

ABINIT_IN = f"""# rock salt
acell 3*{B}
rprim 0 1/2 1/2  1/2 0 1/2  1/2 1/2 0
natom 2 ntypat 2 typat 1 2 znucl 12 8
xred 3*0.0 3*0.5
ecut 20 ixc 11
"""

ABINIT_OUT = f"""
.Version 9.10.3 of ABINIT
 -outvars: echo values of preprocessed input variables --------
            acell      {B:.10E}  {B:.10E}  {B:.10E} Bohr
== END DATASET(S) =====
 -outvars: echo values of variables after computation  --------
            acell      {B:.10E}  {B:.10E}  {B:.10E} Bohr
             ecut      2.00000000E+01 Hartree
           etotal     {E_HA:.10E}
              ixc          11
            natom           2
           ntypat           2
            rprim      0.0000000000E+00  5.0000000000E-01  5.0000000000E-01
                       5.0000000000E-01  0.0000000000E+00  5.0000000000E-01
                       5.0000000000E-01  5.0000000000E-01  0.0000000000E+00
            typat      1  2
             xred      0.0000000000E+00  0.0000000000E+00  0.0000000000E+00
                       5.0000000000E-01  5.0000000000E-01  5.0000000000E-01
            znucl       12.00000    8.00000
================
 Calculation completed.
"""

AIMS_GEOMETRY = f"""lattice_vector 0 {H} {H}
lattice_vector {H} 0 {H}
lattice_vector {H} {H} 0
atom_frac 0 0 0 Mg
atom_frac 0.5 0.5 0.5 O
"""

AIMS_OUT = f"""          Invoking FHI-aims ...
          FHI-aims version      : 240507
  xc               pbe
  Input geometry:
  | Unit cell:
  |         0.000000         {H:.6f}         {H:.6f}
  |         {H:.6f}         0.000000         {H:.6f}
  |         {H:.6f}         {H:.6f}         0.000000
  | Atomic structure:
  |       Atom                x [A]            y [A]            z [A]
  |    1: Species Mg            0.000000         0.000000         0.000000
  |    2: Species O             {H:.6f}         {H:.6f}         {H:.6f}

  | Total energy corrected        :         {ENERGY:.15E} eV  <-- do not rely
          Have a nice day.
"""

SIESTA_FDF = f"""SystemLabel MgO
NumberOfAtoms 2
NumberOfSpecies 2
%block ChemicalSpeciesLabel
 1 12 Mg
 2  8 O
%endblock ChemicalSpeciesLabel
LatticeConstant {A} Ang
%block LatticeVectors
 0.0 0.5 0.5
 0.5 0.0 0.5
 0.5 0.5 0.0
%endblock LatticeVectors
AtomicCoordinatesFormat Fractional
%block AtomicCoordinatesAndAtomicSpecies
 0.0 0.0 0.0 1
 0.5 0.5 0.5 2
%endblock AtomicCoordinatesAndAtomicSpecies
XC.authors PBE
"""

SIESTA_STRUCT_OUT = f"""  0.0 {H} {H}
  {H} 0.0 {H}
  {H} {H} 0.0
    2
  1  12  0.0 0.0 0.0
  2   8  0.5 0.5 0.5
"""

SIESTA_XV = f"""  0.0 {B / 2} {B / 2}  0.0 0.0 0.0
  {B / 2} 0.0 {B / 2}  0.0 0.0 0.0
  {B / 2} {B / 2} 0.0  0.0 0.0 0.0
    2
  1  12  0.0 0.0 0.0  0.0 0.0 0.0
  2   8  {B / 2} {B / 2} {B / 2}  0.0 0.0 0.0
"""

SIESTA_OUT = f"""Siesta Version  : v4.1.5
{SIESTA_FDF}
************************** End of input data file *****************************
reinit: System Label: MgO
outcoor: Atomic coordinates (Ang):
    0.00000000    0.00000000    0.00000000   1       1  Mg
    {H:.8f}    {H:.8f}    {H:.8f}   2       2  O

outcell: Unit cell vectors (Ang):
        0.000000    {H:.6f}    {H:.6f}
        {H:.6f}    0.000000    {H:.6f}
        {H:.6f}    {H:.6f}    0.000000
siesta: E_KS(eV) =              {ENERGY:.4f}
>> End of run:
Job completed
"""

CP2K_IN = f"""&FORCE_EVAL
  METHOD Quickstep
  &DFT
    &XC
      &XC_FUNCTIONAL PBE
      &END XC_FUNCTIONAL
    &END XC
  &END DFT
  &SUBSYS
    &CELL
      A 0.0 {H} {H}
      B {H} 0.0 {H}
      C {H} {H} 0.0
    &END CELL
    &COORD
      Mg 0.0 0.0 0.0
      O  {H} {H} {H}
    &END COORD
  &END SUBSYS
&END FORCE_EVAL
"""

CP2K_OUT = f""" CP2K| version string:                 CP2K version 2024.1
 CELL| Vector a [angstrom]:       0.000     {H}     {H}    |a| =   2.977
 CELL| Vector b [angstrom]:       {H}     0.000     {H}    |b| =   2.977
 CELL| Vector c [angstrom]:       {H}     {H}     0.000    |c| =   2.977
 FUNCTIONAL| PBE:
 MODULE QUICKSTEP:  ATOMIC COORDINATES IN angstrom

  Atom  Kind  Element       X           Y           Z          Z(eff)       Mass

       1     1 Mg  12    0.000000    0.000000    0.000000      2.00      24.3050
       2     2 O    8    {H:.6f}    {H:.6f}    {H:.6f}      6.00      15.9994

 ENERGY| Total FORCE_EVAL ( QS ) energy (a.u.):              {E_HA:.15f}
  **** **** ******  **  PROGRAM ENDED AT                 2024-01-01
"""

EXCITING_IN = f"""<?xml version="1.0"?>
<input><title>MgO</title><structure speciespath="./">
<crystal scale="{B}"><basevect>0 0.5 0.5</basevect><basevect>0.5 0 0.5</basevect>
<basevect>0.5 0.5 0</basevect></crystal>
<species speciesfile="Mg.xml"><atom coord="0 0 0"/></species>
<species speciesfile="O.xml"><atom coord="0.5 0.5 0.5"/></species>
</structure><groundstate xctype="GGA_PBE"/></input>
"""

EXCITING_INFO = f"""=========================================================
| EXCITING NEON started                                                   =
 Lattice vectors (cartesian) :
      0.0000000000      {B / 2:.10f}      {B / 2:.10f}
      {B / 2:.10f}      0.0000000000      {B / 2:.10f}
      {B / 2:.10f}      {B / 2:.10f}      0.0000000000

 Species :    1 (Mg)
     atomic positions (lattice) :
       1 :   0.00000000  0.00000000  0.00000000

 Species :    2 (O)
     atomic positions (lattice) :
       1 :   0.50000000  0.50000000  0.50000000

 Total number of atoms per unit cell        :       2
 Exchange-correlation type                  :      20
 Total energy                               :       {E_HA:.8f}
 Atomic positions (lattice) :
  atom     1  Mg  :   0.00000000  0.00000000  0.00000000
  atom     2  O   :   0.50000000  0.50000000  0.50000000
| EXCITING NEON stopped                                                   =
"""

FLEUR_XML = f"""<?xml version="1.0"?>
<fleurInput fleurInputVersion="0.34"><cell><bulkLattice scale="{B}" latnam="any">
<bravaisMatrix><row-1>0 .5 .5</row-1><row-2>.5 0 .5</row-2><row-3>.5 .5 0</row-3>
</bravaisMatrix></bulkLattice></cell><xcFunctional name="pbe"/>
<atomSpecies><species name="Mg-1" element="Mg" atomicNumber="12"/>
<species name="O-1" element="O" atomicNumber="8"/></atomSpecies>
<atomGroups><atomGroup species="Mg-1"><relPos>.0 .0 .0</relPos></atomGroup>
<atomGroup species="O-1"><relPos>1.0/2.0 1.0/2.0 1.0/2.0</relPos></atomGroup>
</atomGroups></fleurInput>
"""

OPENMX = f"""System.Name MgO
Species.Number 2
<Definition.of.Atomic.Species
 Mg Mg9.0-s2p2 Mg_PBE19
 O O6.0-s2p2d1 O_PBE19
Definition.of.Atomic.Species>
Atoms.Number 2
Atoms.SpeciesAndCoordinates.Unit FRAC
<Atoms.SpeciesAndCoordinates
 1 Mg 0.0 0.0 0.0 1.0 1.0
 2 O 0.5 0.5 0.5 3.0 3.0
Atoms.SpeciesAndCoordinates>
Atoms.UnitVectors.Unit Ang
<Atoms.UnitVectors
 0.0 {H} {H}
 {H} 0.0 {H}
 {H} {H} 0.0
Atoms.UnitVectors>
scf.XcType GGA-PBE
"""

ABACUS_STRU = f"""ATOMIC_SPECIES
Mg 24.305 Mg.upf
O 15.999 O.upf

LATTICE_CONSTANT
{B}

LATTICE_VECTORS
0.0 0.5 0.5
0.5 0.0 0.5
0.5 0.5 0.0

ATOMIC_POSITIONS
Direct
Mg
0.0
1
0.0 0.0 0.0 0 0 0
O
0.0
1
0.5 0.5 0.5 0 0 0
"""

CRYSTAL_OUT = f""" *                      CRYSTAL17                      *
 (EXCHANGE)[CORRELATION] FUNCTIONAL:(PERDEW-BURKE-ERNZERHOF)[PERDEW-BURKE-ERNZERHOF]
 GEOMETRY FOR WAVE FUNCTION - DIMENSIONALITY OF THE SYSTEM    3
 DIRECT LATTICE VECTORS CARTESIAN COMPONENTS (ANGSTROM)
          X                    Y                    Z
   0.000000000000E+00   {H:.12E}   {H:.12E}
   {H:.12E}   0.000000000000E+00   {H:.12E}
   {H:.12E}   {H:.12E}   0.000000000000E+00

 CARTESIAN COORDINATES - PRIMITIVE CELL
 *******************************************************************************
 *      ATOM          X(ANGSTROM)         Y(ANGSTROM)         Z(ANGSTROM)
 *******************************************************************************
    1    12 MG    0.000000000000E+00  0.000000000000E+00  0.000000000000E+00
    2     8 O     {H:.12E}  {H:.12E}  {H:.12E}

 TOTAL ENERGY(DFT)(AU)(  9) {E_HA:.13E} DE-3.2E-08 tester 2.9E-08
"""

LAMMPS_DATA = f"""rock salt, conventional cell
8 atoms
2 atom types
0.0 {A} xlo xhi
0.0 {A} ylo yhi
0.0 {A} zlo zhi

Masses

1 24.305
2 15.999

Atoms # charge

1 1 2.0 0.0 0.0 0.0
2 1 2.0 0.0 {H} {H}
3 1 2.0 {H} 0.0 {H}
4 1 2.0 {H} {H} 0.0
5 2 -2.0 {H} {H} {H}
6 2 -2.0 {H} 0.0 0.0
7 2 -2.0 0.0 {H} 0.0
8 2 -2.0 0.0 0.0 {H}
"""

MCSQS = f"""{A} 0.0 0.0
0.0 {A} 0.0
0.0 0.0 {A}
0.0 0.5 0.5
0.5 0.0 0.5
0.5 0.5 0.0
0.0 0.0 0.0 Mg
0.5 0.5 0.5 O
"""

PWMAT = f"""  2 atoms
 Lattice vector
  0.0 {H} {H}
  {H} 0.0 {H}
  {H} {H} 0.0
 Position
 12 0.0 0.0 0.0 1 1 1
 8 0.5 0.5 0.5 1 1 1
"""

_CELL = [[0, H, H], [H, 0, H], [H, H, 0]]
OPTIMADE = json.dumps(
    {
        "data": [
            {
                "id": "mgo",
                "type": "structures",
                "attributes": {
                    "lattice_vectors": _CELL,
                    "cartesian_site_positions": [[0, 0, 0], [H, H, H]],
                    "species_at_sites": ["Mg", "O"],
                    "species": [
                        {"name": s, "chemical_symbols": [s], "concentration": [1.0]}
                        for s in ("Mg", "O")
                    ],
                },
            }
        ],
        "meta": {"provider": {"name": "somebody"}, "api_version": "1.2.0"},
    }
)
JARVIS = json.dumps(
    [
        {
            "jid": "JVASP-0",
            "formation_energy_peratom": -3.0,
            "atoms": {
                "lattice_mat": _CELL,
                "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
                "elements": ["Mg", "O"],
                "cartesian": False,
            },
        }
    ]
)

SAMPLES: dict[str, tuple[str, bool]] = {
    "cif": (CIF, False),
    "vasp-poscar": (POSCAR, False),
    "vasp-xdatcar": (XDATCAR, False),
    "vasp-xml": (VASPRUN, True),
    "vasp-outcar": (OUTCAR, True),
    "xyz": (EXTXYZ, True),
    "espresso-in": (ESPRESSO_IN, False),
    "espresso-xml": (ESPRESSO_XML, True),
    "abinit-in": (ABINIT_IN, False),
    "abinit-out": (ABINIT_OUT, True),
    "aims-geometry": (AIMS_GEOMETRY, False),
    "aims-out": (AIMS_OUT, True),
    "siesta-fdf": (SIESTA_FDF, False),
    "siesta-struct-out": (SIESTA_STRUCT_OUT, False),
    "siesta-xv": (SIESTA_XV, False),
    "siesta-out": (SIESTA_OUT, True),
    "cp2k-in": (CP2K_IN, False),
    "cp2k-out": (CP2K_OUT, True),
    "exciting-input": (EXCITING_IN, False),
    "exciting-info": (EXCITING_INFO, True),
    "fleur-xml": (FLEUR_XML, False),
    "openmx-in": (OPENMX, False),
    "abacus-stru": (ABACUS_STRU, False),
    "crystal-out": (CRYSTAL_OUT, True),
    "lammps-data": (LAMMPS_DATA, False),
    "atat-mcsqs": (MCSQS, False),
    "pwmat-config": (PWMAT, False),
    "json": (OPTIMADE, False),
}
"""Format name to (text, whether it states the energy)."""
