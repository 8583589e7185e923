"""The methods paragraph of a report, with citations of everything used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from campaigns.fronts.recipe import FrontObjective
from campaigns.ledger import VOLATILE
from campaigns.objectives import HullObjective
from matdisco.properties import get

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.config import CampaignConfig

BLOCKS = ("candidates", "evaluator", "surrogate", "acquisition", "review", "tracking")
"""Blocks of a configuration whose choices are cited."""
BIBTEX_FIELDS = ("title", "journal", "volume", "pages", "year", "doi")


@dataclass(frozen=True)
class Reference:
    """One work to cite."""

    key: str
    """Its BibTeX key."""
    uses: tuple[str, ...]
    """Parts of a configuration that rest on it, ``block.value`` or ``block.key``."""
    fields: Mapping[str, str]
    """Authors (joined by ``and``), title, journal, volume, pages, year, doi, eprint."""

    @property
    def text(self) -> str:
        """The reference as a list at the end of a paper has it."""
        f = self.fields
        authors = f["authors"].replace(" and others", " et al.").replace(" and ", ", ")
        where = f.get("journal", f"arXiv:{f['eprint']}" if "eprint" in f else "")
        number = ", ".join(
            f[k].replace("--", "–") for k in ("volume", "pages") if k in f
        )
        place = f"{where} {number}".strip()
        return f"{authors}. {f['title']}. {place} ({f['year']})."

    @property
    def url(self) -> str | None:
        """Where to read it."""
        if "doi" in self.fields:
            return f"https://doi.org/{self.fields['doi']}"
        eprint = self.fields.get("eprint")
        return f"https://arxiv.org/abs/{eprint}" if eprint else None

    @property
    def bibtex(self) -> str:
        """The BibTeX entry."""
        f = self.fields
        lines = [f"  author = {{{f['authors']}}}"]
        lines += [f"  {k} = {{{f[k]}}}" for k in BIBTEX_FIELDS if k in f]
        if "eprint" in f:
            lines += [f"  eprint = {{{f['eprint']}}}", "  archiveprefix = {arXiv}"]
        kind = "article" if "journal" in f else "misc"
        return f"@{kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"


@lru_cache(maxsize=1)
def library() -> tuple[Reference, ...]:
    """Return every work that a campaign may rest on."""
    text = Path(__file__).with_name("references.yaml").read_text(encoding="utf-8")
    return tuple(
        Reference(
            entry["key"],
            tuple(entry["for"]),
            {k: str(v) for k, v in entry.items() if k not in ("key", "for")},
        )
        for entry in yaml.safe_load(text)
    )


def references(config: CampaignConfig) -> list[Reference]:
    """Return what this configuration rests on, in the order of the library."""
    used = {"always", *_used(config)}
    return [r for r in library() if used & set(r.uses)]


def methods(campaign: Campaign) -> dict[str, Any]:
    """Return sentences with the numbers of their references, the list, and BibTeX."""
    config = campaign.config
    cited = references(config)
    number = {r.key: i for i, r in enumerate(cited, 1)}

    def cite(block: str) -> str:
        own = [
            number[r.key]
            for r in cited
            if any(u.partition(".")[0] == block for u in r.uses)
        ]
        return f" [{', '.join(map(str, own))}]" if own else ""

    state = campaign.state
    versions = campaign.ledger.events("started")[0].payload[VOLATILE]["versions"]
    objective = config.objective
    wanted = (
        "low energy above the convex hull"
        if isinstance(objective, HullObjective)
        else "several targets at once: " + objective.describe()
        if isinstance(objective, FrontObjective)
        else f"{get(objective.property).label.lower()} ({objective.goal})"
    )
    words = str.maketrans({"_": " "})
    sentences = [
        f"{len(campaign.pool):,} candidate crystals were made "
        f"({config.candidates.kind.translate(words)}){cite('candidates')} and searched "
        f"for {wanted} in {len(campaign.ledger.events('closed'))} rounds with "
        f"{len(state.evaluations)} evaluations, {len(state.failed)} of which failed.",
        f"Evaluations: {_evaluator(config)}{cite('evaluator')}.",
        f"Before each round a surrogate ({config.surrogate.kind.translate(words)})"
        f"{cite('surrogate')} was fitted to all answers, its uncertainty rescaled on "
        "the errors of earlier proposals, and the next batch of "
        f"{config.acquisition.batch_size} chosen by "
        f"{config.acquisition.kind.translate(words)}{cite('acquisition')}.",
        "Crystals were handled, calculators run and batches optimised with established "
        f"libraries{cite('always')}.",
    ]
    if isinstance(objective, FrontObjective):
        sentences[2] = sentences[2].replace(
            "a surrogate (", "one surrogate for every target ("
        )
    if config.review.truth:
        sentences.append(
            "Enhancement and acceleration over random choice follow their usual "
            f"definitions{cite('review')}."
        )
    if config.tracking.enabled:
        sentences.append(f"Rounds were recorded with MLflow{cite('tracking')}.")
    named = ", ".join(f"{k} {v}" for k, v in versions.items())
    sentences.append(f"Software: {named}. Seed: {config.seed}.")
    return {
        "sentences": sentences,
        "references": cited,
        "bibtex": "\n\n".join(r.bibtex for r in cited) + "\n",
    }


def _evaluator(config: CampaignConfig) -> str:
    shown = config.evaluator.model_dump(mode="json", exclude_defaults=True)
    name = next(
        (shown[k] for k in ("calculator", "code", "function", "dataset") if k in shown),
        "",
    )
    kind = config.evaluator.kind
    return f"{kind} {name}".strip()


def _used(config: CampaignConfig) -> Iterator[str]:
    tree = config.model_dump(mode="json")
    for block in BLOCKS:
        for key, value in _leaves(tree[block]):
            if isinstance(value, str):
                yield f"{block}.{key}"
                for part in value.split("+"):  # features are joined like that
                    yield f"{block}.{part}"
            elif value is True:
                yield f"{block}.{key}"


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value
