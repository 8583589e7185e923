"""The structure types that candidates are decorated from, and which decorations differ.

They are the AFLOW Library of Crystallographic Prototypes (M. J. Mehl et al., Comput.
Mater. Sci. 136, S1 (2017)) as pymatgen ships it. Which of their decorations are truly
different is worked out once, with stand-in elements, and kept in
``prototype_index.json`` (written by :func:`make_index`), so that the size of a pool is
known at once.
"""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from importlib.resources import files
from itertools import permutations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymatgen.core import Structure

INDEXED_ATOMS = 16  # cells above this are too dear for a screening pool
STAND_INS = ("Al", "Ni", "Ti", "Cu")  # any four elements; only their identity counts


@lru_cache(maxsize=1)
def index() -> dict[str, Any]:
    """Return the table of prototypes and their inequivalent decorations."""
    text = files("matdisco.candidates").joinpath("prototype_index.json").read_text()
    table: dict[str, Any] = json.loads(text)
    return table


@lru_cache(maxsize=1)
def library() -> list[Structure]:
    """Return the structures of pymatgen's AFLOW library, without oxidation states.

    Its file is read here: importing the library itself parses the literature reference
    of every prototype, which takes several seconds and is not needed.
    """
    from pymatgen.core import Structure

    structures = []
    for row in _rows():
        structure = Structure.from_dict(row["snl"])
        structure.remove_oxidation_states()
        structures.append(structure)
    return structures


def _rows() -> list[dict[str, Any]]:
    path = files("pymatgen.analysis") / "prototypes" / "aflow_prototypes.json.gz"
    rows: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    return rows


def make_index() -> dict[str, Any]:
    """Work out the table that :func:`index` reads (about a minute).

    Decorations of one stoichiometry are compared with pymatgen's StructureMatcher
    at tolerances much tighter than its defaults (ltol 0.2, stol 0.3, angle 5°):
    only settings of the same geometry count as one, while neighbours such as a
    slightly stretched cell stay separate candidates and are told apart, or found
    to be the same, by relaxation.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    from matdisco.candidates.volume import packing_fraction

    matcher = StructureMatcher(ltol=0.05, stol=0.05, angle_tol=1.0)
    kept: dict[str, list[Structure]] = {}
    entries: list[dict[str, Any]] = []
    names: set[str] = set()
    # Where two types are one geometry (L6_0 with c = a is L1_2), the more
    # symmetric one gives its name: the space group is the label's third part.
    tags_of = [row["tags"] for row in _rows()]
    by_symmetry = sorted(
        range(len(tags_of)), key=lambda i: (-int(tags_of[i]["aflow"].split("_")[2]), i)
    )
    for row in by_symmetry:
        structure, tags = library()[row], tags_of[row]
        species = [e.symbol for e in structure.composition.elements]
        counts = [int(structure.composition[s]) for s in species]
        if sum(counts) > INDEXED_ATOMS or len(counts) > len(STAND_INS):
            continue
        decorations = []
        for order in permutations(range(len(species))):
            mapping = dict(zip(species, [STAND_INS[i] for i in order], strict=True))
            trial = structure.__class__(
                structure.lattice,
                [mapping[site.specie.symbol] for site in structure],
                structure.frac_coords,
            )
            block = kept.setdefault(trial.composition.reduced_formula, [])
            if not any(matcher.fit(trial, other) for other in block):
                block.append(trial)
                decorations.append(list(order))
        name = str(tags["aflow"])
        while name in names:
            name += "'"
        names.add(name)
        if decorations:
            entries.append(
                {
                    "row": row,
                    "name": name,
                    "aflow": tags["aflow"],
                    "strukturbericht": _told(tags["strukturbericht"]),
                    "mineral": _told(tags["mineral"]),
                    "counts": counts,
                    "packing": round(packing_fraction(structure), 3),
                    "decorations": decorations,
                }
            )
    entries.sort(key=lambda e: int(e["row"]))
    return {"library": len(library()), "prototypes": entries}


def _told(tag: object) -> str:
    return "" if tag in (None, "None") else str(tag)
