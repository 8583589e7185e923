"""What a ``candidates:`` block may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from matdisco.candidates.files import FileCandidates
from matdisco.candidates.prototypes import PrototypeCandidates
from matdisco.candidates.union import UnionCandidates

AnyCandidates = Annotated[
    PrototypeCandidates | FileCandidates | UnionCandidates,
    Field(discriminator="kind"),
]
"""Every candidate source, chosen by ``kind``."""
