"""Candidates by decorating known structure types over a chemical space.

The structure types are the AFLOW Library of Crystallographic Prototypes (M. J.
Mehl et al., Comput. Mater. Sci. 136, S1 (2017)) as pymatgen ships it. Which of
their decorations are truly different is worked out once, with stand-in elements,
and kept in ``prototype_index.json`` (written by :func:`make_index`), so that the
size of a pool is known at once.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import combinations, permutations
from math import comb, gcd
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from matdisco.candidates.base import CandidateRecipe, Limits, SizeEstimate, refuse_empty
from matdisco.candidates.where import outside_components
from matdisco.elements import check_elements
from matdisco.errors import DataError
from matdisco.recipe import nearest

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from matdisco.candidates.volume import Geometry
    from matdisco.crystal import Crystal

INDEXED_ATOMS = 16  # cells above this are too dear for a screening pool
COUNTED_SPACES = 20_000
"""Sets of elements up to which charges are counted out for the estimate (seconds)."""
STAND_INS = ("Al", "Ni", "Ti", "Cu")  # any four elements; only their identity counts


class PrototypeCandidates(CandidateRecipe):
    """Every inequivalent decoration of the AFLOW prototypes over some elements."""

    kind: Literal["prototypes"] = "prototypes"
    elements: tuple[str, ...]
    """The chemical space, as element symbols."""
    components: tuple[int, ...] = (1, 2, 3)
    """How many different elements a candidate may hold."""
    max_atoms: int = Field(12, ge=1, le=INDEXED_ATOMS)
    """Largest primitive cell, in atoms."""
    prototypes: tuple[str, ...] | None = None
    """Only these structure types, by AFLOW label; all when not given."""
    min_packing: float = Field(0.12, ge=0, le=0.75)
    """Leave out types that equal touching spheres fill less than this. Close packing
    is 0.74, diamond 0.34; below 0.12 are molecular crystals (N2, CO), whose dumbbells
    no metal forms."""
    volume: Literal["additive", "bonds"] = "additive"
    """Starting volume: the sum of the elements' own volumes (right for metals), or
    from data-mined bond lengths (right for ionic and covalent compounds)."""
    volume_scale: float = Field(1.0, gt=0.3, lt=3.0)
    """Factor on the starting volume."""
    never_only: tuple[str, ...] = ()
    """Leave out compounds made of these elements alone (pure elements stay)."""
    sample: int | None = Field(None, ge=1)
    """Keep this many, chosen at random with ``seed``; all when not given."""
    seed: int = Field(0, ge=0)
    """Seed of that choice."""

    @field_validator("elements", "never_only")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_elements(value)

    @model_validator(mode="after")
    def _feasible(self) -> PrototypeCandidates:
        if not self.elements:
            raise ValueError("elements: expected at least one element, got none")
        bad = [n for n in self.components if not 1 <= n <= 4]
        if bad:
            raise ValueError(
                f"components: expected numbers of elements from 1 to 4, got {bad}"
            )
        known = [e["name"] for e in index()["prototypes"]]
        for name in self.prototypes or ():
            if name not in known:
                raise ValueError(
                    f"prototypes: unknown structure type {name!r}"
                    + (nearest(name, known) if "_" in name else "")
                )
        return self

    @override
    def own_space(self) -> tuple[str, ...]:
        return tuple(sorted(self.elements))

    @override
    def own_limits(self) -> Limits:
        elements = super().own_limits()
        barred = set(self.never_only)

        def objection(counts: Mapping[str, int]) -> str | None:
            found = elements(counts) or outside_components(len(counts), self.components)
            if found is None and len(counts) > 1 and set(counts) <= barred:
                return f"never_only: only {', '.join(sorted(counts))}"
            return found

        return objection

    @override
    def title(self) -> str:
        return "prototypes-" + "-".join(sorted(self.elements))

    @override
    def counts_where(self) -> bool:
        return True

    @override
    def size(self) -> SizeEstimate:
        count, atoms = 0, 0
        for entry in self._entries():
            n = self._n_decorations(entry)
            count += n
            atoms += n * sum(entry["counts"])
        if count == 0:
            refuse_empty(0, self.why_nothing())
        kept = min(count, self.sample or count)
        return SizeEstimate(kept, not self._uncounted, atoms / count)

    @override
    def why_none_made(self) -> str:
        numbers = ", ".join(map(str, self.components))
        return (
            f"no structure type holds {numbers} different elements out of "
            f"{', '.join(sorted(self.elements))} in at most {self.max_atoms} atoms, "
            "with prototypes, min_packing and never_only as they are; widen the "
            "elements, the number of components or max_atoms"
        )

    @override
    def generate(self) -> Iterator[Crystal]:
        import numpy as np

        total = self.sample and sum(1 for _ in self._plan())
        plan: Iterable[tuple[dict[str, Any], tuple[str, ...]]] = self._plan()
        if self.sample and total and self.sample < total:
            # A shuffle, then a prefix: a larger sample holds every smaller one.
            order = np.random.default_rng(self.seed).permutation(total)
            rows = order[: self.sample]
            wanted = set(rows.tolist())
            found = {i: item for i, item in enumerate(plan) if i in wanted}
            plan = (found[int(i)] for i in rows)
        for entry, symbols in plan:
            yield decorate(entry, symbols, self.volume_scale, self.volume)

    @property
    def _uncounted(self) -> bool:
        """Whether charges are to be checked for too many compounds to count first."""
        spaces = sum(self._n_spaces(k) for k in set(self.components))
        return bool(self.where and self.where.balanced and spaces > COUNTED_SPACES)

    def _entries(self) -> list[dict[str, Any]]:
        return [
            e
            for e in index()["prototypes"]
            if len(e["counts"]) in self.components
            and sum(e["counts"]) <= self.max_atoms
            and e["packing"] >= self.min_packing
            and (self.prototypes is None or e["name"] in self.prototypes)
        ]

    def _n_decorations(self, entry: Mapping[str, Any]) -> int:
        """Count what :meth:`_plan` yields for one prototype, without the elements.

        Only conditions that tell elements apart make it look at every space.
        """
        if self.where is None:
            return len(entry["decorations"]) * self._n_spaces(len(entry["counts"]))
        return sum(1 for _ in self._decorations(entry, count_only=True))

    def _n_spaces(self, k: int) -> int:
        barred = len(set(self.never_only) & set(self.elements))
        return comb(len(self.elements), k) - (comb(barred, k) if k > 1 else 0)

    def _plan(self) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
        for entry in self._entries():
            for symbols in self._decorations(entry):
                yield entry, symbols

    def _decorations(
        self, entry: Mapping[str, Any], *, count_only: bool = False
    ) -> Iterator[tuple[str, ...]]:
        barred, where = set(self.never_only), self.where
        if count_only and self._uncounted and where is not None:
            where = where.model_copy(update={"balanced": False})
        k = len(entry["counts"])
        for space in combinations(sorted(self.elements), k):
            if k > 1 and set(space) <= barred:
                continue
            if where is not None and not where.allows_elements(space):
                continue
            for decoration in entry["decorations"]:
                symbols = tuple(space[i] for i in decoration)
                if where is None or where.allows(
                    dict(zip(symbols, entry["counts"], strict=True))
                ):
                    yield symbols


def decorate(
    entry: Mapping[str, Any],
    symbols: Sequence[str],
    volume_scale: float = 1.0,
    volume: Literal["additive", "bonds"] = "additive",
) -> Crystal:
    """Put elements on a prototype's species and give it a sensible volume.

    Args:
        entry: a prototype of :func:`index`.
        symbols: one element per species of the prototype, in its order.
        volume_scale: factor on the starting volume.
        volume: how that volume is found, see :class:`PrototypeCandidates`.
    """
    from pymatgen.core import Lattice, Structure

    from matdisco.crystal import Crystal

    structure = _library()[entry["row"]]
    if len(structure) != sum(entry["counts"]):
        raise DataError(
            f"prototype {entry['name']} is not at row {entry['row']} of the installed "
            "pymatgen's AFLOW library; prototype_index.json was made with another one"
        )
    geometry, kinds = _geometry(entry["row"])
    size = geometry.starting_volume([symbols[k] for k in kinds], volume) * volume_scale
    matrix = structure.lattice.matrix * (size / structure.volume) ** (1 / 3)
    decorated = Structure(
        Lattice(matrix), [symbols[k] for k in kinds], structure.frac_coords
    )
    formula = _formula(entry, symbols)
    source = {
        "prototype": entry["aflow"],
        "strukturbericht": entry["strukturbericht"],
        "mineral": entry["mineral"],
        "decoration": list(symbols),
    }
    return Crystal(f"{formula}.{entry['name']}", decorated, source=source)


@lru_cache(maxsize=512)
def _geometry(row: int) -> tuple[Geometry, tuple[int, ...]]:
    """Return a prototype's distances, and which of its species sits on each site."""
    from matdisco.candidates.volume import Geometry

    structure = _library()[row]
    species = [e.symbol for e in structure.composition.elements]
    kinds = tuple(species.index(site.specie.symbol) for site in structure)
    return Geometry.of(structure, kinds), kinds


def _formula(entry: Mapping[str, Any], symbols: Sequence[str]) -> str:
    """Write the reduced formula in the order of the AFLOW label: L1_2 is AB3."""
    unit = gcd(*entry["counts"])
    counts = [n // unit for n in entry["counts"]]
    left = list(range(len(counts)))
    text = ""
    for amount in re.findall(r"[A-Z](\d*)", entry["aflow"].split("_")[0]):
        row = next((i for i in left if counts[i] == int(amount or 1)), left[0])
        left.remove(row)
        text += symbols[row] + (str(counts[row]) if counts[row] > 1 else "")
    return text


@lru_cache(maxsize=1)
def index() -> dict[str, Any]:
    """Return the table of prototypes and their inequivalent decorations."""
    text = files("matdisco.candidates").joinpath("prototype_index.json").read_text()
    table: dict[str, Any] = json.loads(text)
    return table


@lru_cache(maxsize=1)
def _library() -> list[Structure]:
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
        structure, tags = _library()[row], tags_of[row]
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
    return {"library": len(_library()), "prototypes": entries}


def _told(tag: object) -> str:
    return "" if tag in (None, "None") else str(tag)
