"""Conformance tests for candidate sources: what every pool must be.

A new kind of ``candidates:`` is done when :func:`check_candidates` passes. All raise
AssertionError with what differed.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from matdisco.candidates.base import CandidateRecipe, counts_of
from matdisco.candidates.where import Where
from matdisco.crystal import Crystal

CLOSEST = 0.5
"""Least distance of two atoms over the sum of their covalent radii, after a starting
volume was given: below it no crystal is known (the least is 0.65)."""


def check_candidates(
    recipe: CandidateRecipe, *, limit: int = 200, overlaps: bool = True
) -> list[Crystal]:
    """Check one candidate source; return the candidates that were looked at.

    Size bounds or equals the count; ids are unique; nothing leaves the chemical space,
    whatever ``where`` narrows; two passes give the same; cells are finite and hold
    atoms that do not overlap.

    Args:
        recipe: the source; small, since it is streamed three times.
        limit: candidates to look at.
        overlaps: also check distances; False for files taken as they are.
    """
    size = recipe.estimate()
    assert size.count >= 1 and size.mean_atoms > 0, f"empty estimate {size}"
    made = list(islice(recipe.stream(), limit + 1))
    whole = len(made) <= limit
    made = made[:limit]
    assert made, "the estimate promises candidates, but none came"
    if whole:
        told = f"estimate {size}, made {len(made)}"
        assert len(made) <= size.count, told
        assert len(made) == size.count or not size.exact, told
    ids = [c.id for c in made]
    assert len(set(ids)) == len(ids), "ids are not unique"
    again = list(islice(recipe.stream(), len(made)))
    assert [c.to_dict() for c in again] == [c.to_dict() for c in made], (
        "two passes differ"
    )
    space = recipe.chemical_space()
    for crystal in made:
        _check_crystal(crystal, overlaps)
        assert not crystal.labels, f"{crystal.id}: labels would leak the answers"
        if space is not None:
            outside = set(crystal.elements) - set(space)
            assert not outside, f"{crystal.id}: {outside} is outside {space}"
    _check_narrowed(recipe, made)
    return made


def _check_narrowed(recipe: CandidateRecipe, made: list[Crystal]) -> None:
    """Narrow the space to that of one candidate: all others that fit it stay."""
    kept = max(made, key=lambda c: len(c.elements)).elements
    where = (recipe.where or Where()).model_copy(update={"elements": kept})
    narrow = recipe.model_copy(update={"where": where})
    assert set(narrow.chemical_space() or ()) <= set(kept)
    for crystal in islice(narrow.stream(), 50):
        assert where.allows(counts_of(crystal)), (
            f"{crystal.id} does not meet where: elements {list(kept)}"
        )


def _check_crystal(crystal: Crystal, overlaps: bool) -> None:
    from ase.data import covalent_radii

    structure = crystal.structure
    cell = np.asarray(structure.lattice.matrix)
    assert crystal.n_atoms >= 1, f"{crystal.id}: no atoms"
    assert np.isfinite(cell).all() and np.isfinite(structure.frac_coords).all(), (
        f"{crystal.id}: a cell length or position is not a number"
    )
    volume = structure.volume / crystal.n_atoms
    assert 2.0 < volume < 500.0, f"{crystal.id}: {volume:.3g} Å³ per atom"
    if not overlaps or not structure.is_ordered:
        return
    radii = covalent_radii[crystal.atomic_numbers]
    i, j, _, d = structure.get_neighbor_list(2 * CLOSEST * float(radii.max()) + 0.01)
    ratio = d / (radii[i] + radii[j])
    assert not len(ratio) or ratio.min() >= CLOSEST, (
        f"{crystal.id}: two atoms at {ratio.min():.2f} of their covalent radii"
    )
