"""What a ``candidates:`` block may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from matdisco.candidates.files import FileCandidates, ReadCandidates
from matdisco.candidates.orderings import OrderingCandidates
from matdisco.candidates.prototypes import PrototypeCandidates
from matdisco.candidates.random_symmetric import RandomSymmetricCandidates
from matdisco.candidates.substitution import SubstitutionCandidates
from matdisco.candidates.union import UnionCandidates

AnyCandidates = Annotated[
    PrototypeCandidates
    | FileCandidates
    | ReadCandidates
    | SubstitutionCandidates
    | OrderingCandidates
    | RandomSymmetricCandidates
    | UnionCandidates,
    Field(discriminator="kind"),
]
"""Every candidate source, chosen by ``kind``."""
