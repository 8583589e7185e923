"""Serve a checkpoint folder through MLflow's ``loader_module``, without MLflow here.

Log it with ``mlflow.pyfunc.log_model(loader_module="surrogates.pyfunc",
data_path=FOLDER)``; no pickle is involved.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matdisco.crystal import Crystal
from matdisco.errors import DataError
from surrogates.checkpoint import load

if TYPE_CHECKING:
    import pandas as pd

    from surrogates.base import Surrogate

COLUMN = "structure"
"""The input column: CIF text, or the JSON of ``Crystal.to_dict()["structure"]``."""


class ServedSurrogate:
    """What ``mlflow.pyfunc`` calls.

    Args:
        surrogate: a fitted surrogate.
    """

    def __init__(self, surrogate: Surrogate) -> None:
        self.surrogate = surrogate

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return columns ``mean`` and ``std`` (unit of the target), same index.

        Raises:
            DataError: no column ``structure``, or a text that is no structure.
        """
        import pandas as pd

        if COLUMN not in model_input.columns:
            raise DataError(
                f"expected a column {COLUMN!r} with CIF or JSON text "
                f"(got {', '.join(map(str, model_input.columns))})"
            )
        crystals = [
            parse_structure(text, f"row {i}")
            for i, text in zip(model_input.index, model_input[COLUMN], strict=True)
        ]
        found = self.surrogate.predict(crystals)
        return pd.DataFrame(
            {"mean": found.mean, "std": found.std}, index=model_input.index
        )


def parse_structure(text: object, name: str) -> Crystal:
    """Read CIF text or structure JSON as a crystal called ``name``.

    Raises:
        DataError: it is neither.
    """
    if not isinstance(text, str):
        raise DataError(
            f"{name}: expected CIF or JSON text (got {type(text).__name__})"
        )
    try:
        if text.lstrip().startswith("{"):
            return Crystal.from_dict({"id": name, "structure": json.loads(text)})
        from pymatgen.core.structure import Structure

        return Crystal(name, Structure.from_str(text, fmt="cif"))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{name}: neither CIF nor structure JSON ({error})") from error


def _load_pyfunc(data_path: str) -> ServedSurrogate:
    """Return the object that MLflow serves (its hook)."""
    return ServedSurrogate(load(Path(data_path)))
