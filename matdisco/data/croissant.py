"""Describe a stored dataset in Croissant 1.1 with responsible-AI fields.

Croissant: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html;
RAI 1.0: https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from matdisco.data.card import limits
from matdisco.data.dataset import Dataset
from matdisco.properties import get

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_MEANING = {
    "id": "Identifier, unique in the dataset.",
    "chemical_formula_reduced": "Reduced formula, elements alphabetical (OPTIMADE).",
    "elements": "Element symbols, alphabetical (OPTIMADE).",
    "nelements": "Number of elements (OPTIMADE).",
    "nsites": "Number of sites in the cell (OPTIMADE).",
    "lattice_vectors": "Cell vectors as rows, in angstrom (OPTIMADE).",
    "fractional_site_positions": "Positions as fractions of the cell vectors.",
    "species_at_sites": "Species name of each site (OPTIMADE).",
    "species": "JSON: composition of species that are mixed or charged.",
    "source": "JSON: where the record came from, down to file, record and byte hash.",
}
_RAI = {
    "dataCollection": "Records were read from the sources listed in the card; the "
    "column 'source' leads from each record to the bytes it came from.",
    "dataPreprocessingProtocol": "matdisco curation: named rules that reject, "
    "quarantine, mend or note; every effect is counted in the card and stands per "
    "record in report.csv.",
    "dataManipulationProtocol": "Units converted to eV, angstrom and GPa; records of "
    "one material merged; values of different methods kept apart.",
    "dataUseCases": "Training and testing of surrogates for crystal properties; "
    "materials discovery campaigns.",
    "personalSensitiveInformation": "None: crystal structures and computed or measured "
    "properties.",
    "dataReleaseMaintenancePlan": "Immutable: a change makes a new dataset with "
    "another content hash, whose card names its parent.",
}


def croissant(dataset: Dataset, parquet: str | Path) -> dict[str, Any]:
    """Return the Croissant description of a dataset and the file that holds it.

    Args:
        dataset: the data and their card.
        parquet: the file that :meth:`Dataset.save` wrote.
    """
    path = Path(parquet)
    card = dataset.card
    schema = pq.read_schema(path)
    (file,) = _ids([path.name])
    rai = {
        **_RAI,
        "dataLimitations": " ".join(limits(dataset)) or "None known.",
        "dataBiases": str(
            card.get("bias")
            or "Coverage of elements and sizes follows the sources, which favour "
            "known and stable crystals; see the coverage section of card.md."
        ),
        **dict(card.get("rai", {})),
    }
    out: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.1",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": dataset.name,
        "description": str(card.get("description") or f"Crystals of {dataset.name}."),
        "version": str(card.get("version") or "1.0.0"),
        "license": _licence(card),
        "url": str(card.get("url") or f"urn:sha256:{dataset.content_hash}"),
        "citeAs": str(card.get("citation") or "not stated"),
        "datePublished": str(card.get("date") or "1970-01-01"),
        "keywords": list(card.get("keywords") or ("materials", "crystals")),
        "isLiveDataset": False,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file,
                "name": path.name,
                "description": "All records, one row each.",
                "contentUrl": path.name,
                "contentSize": f"{path.stat().st_size} B",
                "encodingFormat": "application/x-parquet",
                "sha256": sha256(path),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "crystals",
                "name": "crystals",
                "key": {"@id": "crystals/id"},
                "field": [
                    _field(column, file, name)
                    for column, name in zip(schema, _ids(schema.names), strict=True)
                ],
            }
        ],
    }
    creators = card.get("creators") or ["matdisco curation"]
    out["creator"] = [{"@type": "sc:Organization", "name": str(c)} for c in creators]
    out.update({f"rai:{key}": value for key, value in rai.items()})
    return out


def write_croissant(dataset: Dataset, parquet: str | Path, path: str | Path) -> Path:
    """Write ``croissant.json`` beside the data."""
    target = Path(path)
    text = json.dumps(croissant(dataset, parquet), indent=2, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")
    return target


def _ids(names: Sequence[str]) -> list[str]:
    """Return identifiers without the blanks that mlcroissant refuses, all different."""
    made: list[str] = []
    for name in names:
        plain = re.sub(r"[^\w.@+-]+", "_", name)
        made.append(plain if plain not in made else f"{plain}-{len(made)}")
    return made


def _field(column: pa.Field, file: str, name: str) -> dict[str, Any]:
    kind, shape = column.type, []
    while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        shape.append("-1" if pa.types.is_list(kind) else str(kind.list_size))
        kind = kind.value_type
    if pa.types.is_floating(kind):
        data_type = "sc:Float"
    elif pa.types.is_integer(kind):
        data_type = "sc:Integer"
    else:
        data_type = "sc:Boolean" if pa.types.is_boolean(kind) else "sc:Text"
    known = get(column.name)
    meaning = _MEANING.get(column.name) or (
        f"{known.label}"
        + (f" in {known.unit}. " if known.unit else ". ")
        + known.description
    )
    out: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"crystals/{name}",
        "name": column.name,
        "description": meaning.strip(),
        "dataType": data_type,
        "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
    }
    if shape:
        out |= {"isArray": True, "arrayShape": ",".join(shape)}
    return out


def _licence(card: Any) -> list[str]:
    """Return one licence text per distinct source licence."""
    own = card.get("licence_url") or card.get("licence")
    found = [str(own)] if own else []
    found += [str(s["licence"]) for s in card.get("sources", ()) if s.get("licence")]
    return list(dict.fromkeys(found)) or ["not stated"]


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
