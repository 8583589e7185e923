"""No potential refuses a real crystal: all of the shared sets pass."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matdisco.crystal import Crystal
from surrogates.featurizers.plausible import require_apart

SETS = {
    "perovskites": "mbid",
    "dielectric_constant": "material_id",
    "elastic_tensor_2015": "material_id",
    "phonons": "mbid",
    "mp20_biternary": "material_id",
    "jarvis_exfoliation": "jid",
}
LARGE = ("perovskites", "mp20_biternary")


@pytest.mark.parametrize(
    "name",
    [pytest.param(k, marks=[pytest.mark.slow] * (k in LARGE)) for k in SETS],
)
def test_no_real_crystal_is_refused(name: str, shared_data: Path) -> None:
    table = pd.read_parquet(shared_data / name / "data.parquet")
    crystals = [
        Crystal.from_arrays(
            str(row[SETS[name]]), np.reshape(row["lattice"], (3, 3)),
            list(row["species"]), np.reshape(row["frac_coords"], (-1, 3)),
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    require_apart("a potential", crystals)
