"""Curation: check, mend, deduplicate and account for every record."""

from matdisco.data.curation.curate import curate
from matdisco.data.curation.entry import Entry
from matdisco.data.curation.files import curate_files
from matdisco.data.curation.recipe import CurationRecipe
from matdisco.data.curation.report import CurationReport, Line

__all__ = [
    "CurationRecipe",
    "CurationReport",
    "Entry",
    "Line",
    "curate",
    "curate_files",
]
