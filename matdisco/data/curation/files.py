"""Curate files: read on all cores, remember what is done, write the dataset folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from matdisco.data import optimade, readers
from matdisco.data.curation.curate import settle
from matdisco.data.curation.entry import Entry
from matdisco.data.curation.journal import FORMAT, Journal, from_dict, to_dict
from matdisco.data.curation.recipe import CurationRecipe, RulesRecipe, check
from matdisco.data.curation.report import CurationReport
from matdisco.data.dataset import Dataset
from matdisco.data.publish import publish, with_card
from matdisco.data.readers import ColumnMap, Limits, croissant
from matdisco.data.readers.base import Options
from matdisco.data.workers import WorkerDied, each, shared_workers
from matdisco.errors import DataError
from matdisco.recipe import digest

_JOURNAL = ".curating"


@dataclass(frozen=True, slots=True)
class _Task:
    """One file to read and check."""

    file: Path
    name: str
    given: bool
    columns: ColumnMap | None
    key: str


def curate_files(
    sources: Sequence[str | Path],
    to: str | Path,
    recipe: CurationRecipe | None = None,
    *,
    frames: Literal["last", "all"] = "last",
    columns: ColumnMap | Mapping[str, ColumnMap] | None = None,
    card: Mapping[str, Any] | None = None,
    workers: int = 1,
    limits: Limits | None = None,
) -> tuple[Dataset, CurationReport]:
    """Read files and folders, curate them, write a dataset folder.

    Interrupted, the same call continues where it stopped: files that did not change
    are not read again.

    Args:
        sources: files or folders, read in the order given, folders sorted; or
            providers, ``optimade:URL?filter=...``.
        to: the dataset folder; see :data:`matdisco.data.publish.FILES`.
        recipe: rules and thresholds.
        frames: of trajectories, the last frame or all.
        columns: what the columns of tables mean; a mapping from file name pattern
            (``lab_a*.csv``) where tables differ.
        card: what to state on the card (licence, citation, sources, ...).
        workers: processes.
        limits: time and size for one file.

    Raises:
        DataError: a source does not exist or holds no files.
    """
    recipe = recipe or CurationRecipe()
    target = Path(to)
    options = Options(frames, None, limits or Limits())
    found, providers = _fetched(sources, target / _JOURNAL)
    tasks = list(_tasks(found, recipe, options, columns))
    if not tasks:
        named = ", ".join(map(str, sources))
        raise DataError(f"{named}: expected files to read, found none")
    journal = Journal(target / _JOURNAL / "journal.jsonl")
    with shared_workers():
        try:
            todo = [t for t in tasks if t.key not in journal]
            _read_all(todo, journal, recipe.rules, options, workers)
            entries = [e for t in tasks for e in journal.get(t.key)]
        finally:
            journal.close()
        dataset, report = settle(entries, recipe, name=target.name, workers=workers)
    stated = dict(card or {})
    if providers:
        stated["sources"] = [*stated.get("sources", ()), *providers]
    dataset = with_card(dataset, stated)
    dataset = publish(dataset, target, report=report)
    shutil.rmtree(target / _JOURNAL)
    return dataset, report


def curate_entries(
    sources: Sequence[str | Path],
    recipe: CurationRecipe,
    *,
    frames: Literal["last", "all"] = "last",
    columns: ColumnMap | Mapping[str, ColumnMap] | None = None,
    limits: Limits | None = None,
) -> list[Entry]:
    """Read and check files in this process; what ``settle`` takes, no folder written.

    Args and errors as for :func:`curate_files`.
    """
    options = Options(frames, None, limits or Limits())
    named = [(Path(s), Path(s).name) for s in sources]
    tasks = _tasks(named, recipe, options, columns)
    found = (read_and_check(t, recipe.rules, options) for t in tasks)
    return [from_dict(entry) for entries in found for entry in entries]


def read_and_check(
    task: _Task, rules: RulesRecipe, options: Options
) -> list[dict[str, Any]]:
    """Read one file and check its records; runs in a worker process."""
    out = []
    options = replace(options, columns=task.columns)
    for raw in readers.read_file(task.file, task.name, options, given=task.given):
        names = {}
        if task.columns is not None:
            known = (("id", task.columns.id), ("formula", task.columns.formula))
            names = {k: raw.fields[c] for k, c in known if c and raw.fields.get(c)}
        raw = replace(raw, path=task.name, fields={**raw.fields, **names})
        entry = Entry.of(raw)
        out.append(to_dict(check(entry, rules)))
    return out


def checked_text(task: _Task, rules: RulesRecipe, options: Options) -> str:
    """Return what :func:`read_and_check` gives as JSON, the cheapest way home."""
    return json.dumps(read_and_check(task, rules, options))


def _read_all(
    tasks: Sequence[_Task],
    journal: Journal,
    rules: RulesRecipe,
    options: Options,
    workers: int,
) -> None:
    # In a pool each worker parses itself, which is fast; should one of them die or
    # hang on a hostile file, the rest is read through guarded processes instead.
    bold = replace(options, limits=replace(options.limits, isolate=False))
    done = 0
    if workers > 1 and options.limits.isolate:
        function = partial(checked_text, rules=rules, options=bold)
        patience = 3 * options.limits.seconds + 60  # s, per file beyond its own limit
        try:
            for found in each(
                function, tasks, workers=workers, label="reading", patience=patience
            ):
                journal.add(tasks[done].key, found)
                done += 1
        except WorkerDied:
            pass
    function = partial(checked_text, rules=rules, options=options)
    for found in each(function, tasks[done:], label="reading"):
        journal.add(tasks[done].key, found)
        done += 1


def _fetched(
    sources: Sequence[str | Path], folder: Path
) -> tuple[list[tuple[Path, str]], list[Mapping[str, str]]]:
    """Fetch what providers hold; return (path, its name in records), and who they are.

    A source with a Croissant card tells by it who it is.

    Raises:
        DataError: only providers were asked, and none gave anything.
    """
    out: list[tuple[Path, str]] = []
    providers: list[Mapping[str, str]] = []
    failures: list[str] = []
    for source in sources:
        if not optimade.is_provider(source):
            path = Path(source)
            out.append((path, path.name))
            described = path / "croissant.json" if path.is_dir() else path
            if (card := croissant.load(described)) is not None:
                providers.append(croissant.stated(card))
            continue
        text = str(source)
        own = folder / "optimade" / optimade.place(text)
        found = optimade.fetch(text, own)
        out += [(p, f"{found.host}/{own.name[:8]}/{p.name}") for p in found.pages]
        providers.append(found.card)
        failures += found.failures
    if failures and len(failures) == len(out):
        raise DataError("no provider gave anything:\n  " + "\n  ".join(failures))
    return out, providers


def _tasks(
    sources: Iterable[tuple[Path, str]],
    recipe: CurationRecipe,
    options: Options,
    columns: ColumnMap | Mapping[str, ColumnMap] | None,
) -> Iterator[_Task]:
    basis = {
        "format": FORMAT,
        "rules": recipe.rules.digest(),
        "frames": options.frames,
    }
    maps = {"*": columns} if isinstance(columns, ColumnMap) else dict(columns or {})
    for root, title in sources:
        if not root.exists():
            raise DataError(f"{root}: no such file or folder")
        for file, name in readers.files(root):
            # Names start at the source, so that reports and hashes do not depend on
            # where somebody keeps it.
            name = title if file == root else f"{title}/{name}"
            status = file.lstat()
            own = next((m for p, m in maps.items() if file.match(p)), None)
            seen = [name, str(file), status.st_size, status.st_mtime_ns]
            key = digest([*seen, basis, own.digest() if own else None])
            yield _Task(file, name, file == root, own, key)
