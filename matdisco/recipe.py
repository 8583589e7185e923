"""Recipe: a frozen block of configuration that knows how to build one thing.

Every block of a YAML file is a Recipe, chosen by its ``kind``. Unknown keys are
errors, and the errors are sentences that name the key and the nearest known one.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from matdisco.errors import ConfigError

Path = tuple[str | int, ...]
"""Where in a configuration a value stands: keys and list positions."""


def canonical_json(value: Any) -> str:
    """Write ``value`` as the one JSON text that stands for it.

    Keys sorted, no blanks, no NaN or infinity, floats as Python's shortest repr,
    so equal values give equal bytes and equal hashes on every machine.

    >>> canonical_json({"b": 1.0, "a": [True, None]})
    '{"a":[true,null],"b":1.0}'
    """
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
)


def digest(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class ListDigest:
    """The digest of a list whose items are held one at a time.

    >>> running = ListDigest()
    >>> running.add(1)
    >>> running.add("b")
    >>> running.hexdigest() == digest([1, "b"])
    True
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"[")
        self._separator = b""

    def add(self, item: Any) -> None:
        """Append an item."""
        self._hash.update(self._separator + canonical_json(item).encode())
        self._separator = b","

    def hexdigest(self) -> str:
        """Return the digest of what was added so far."""
        whole = self._hash.copy()
        whole.update(b"]")
        return whole.hexdigest()


def digest_of(items: Iterable[Any]) -> str:
    """Return the digest of a list whose items are held one at a time.

    >>> digest_of(iter([1, "b"])) == digest([1, "b"])
    True
    """
    running = ListDigest()
    for item in items:
        running.add(item)
    return running.hexdigest()


class Recipe(BaseModel):
    """Base of all configuration blocks: immutable, strict, hashable.

    A subclass adds fields, each with a sentence, and one verb ``build()`` whose
    arguments and result differ by what it builds.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    unhashed: ClassVar[frozenset[str]] = frozenset()
    """Fields that do not change the result (worker counts, timeouts)."""
    hashed_if_given: ClassVar[frozenset[str]] = frozenset()
    """Fields that count only where they depart from their default: what was computed
    before a kind had them keeps its hash, and is not paid for again."""

    def digest(self) -> str:
        """Return a SHA-256 of all fields that can change the result."""
        return digest(self.deciding())

    def deciding(self) -> dict[str, Any]:
        """Return the fields that can change the result, as plain data."""
        plain = {
            name: type(self).model_fields[name].get_default(call_default_factory=True)
            for name in self.hashed_if_given
        }
        as_ever = {name for name in plain if getattr(self, name) == plain[name]}
        return self.model_dump(mode="json", exclude=set(self.unhashed) | as_ever)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], *, source: str) -> Self:
        """Validate plain data.

        Args:
            data: what a YAML or JSON file held.
            source: the file's name, for messages.

        Raises:
            ConfigError: one line per mistake, each ``source: key: what is wrong``.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            lines = [f"{source}: {line}" for _, line in explain(error, cls)]
            raise ConfigError("\n".join(lines)) from None


def explain(error: ValidationError, model: type[BaseModel]) -> list[tuple[Path, str]]:
    """Turn pydantic's report into (key path, sentence) pairs, in file order."""
    every = error.errors(include_url=False)
    # a list whose items are wrong is told to be empty as well
    inside = {d["loc"][:k] for d in every for k in range(len(d["loc"]))}
    details = [d for d in every if d["type"] != "too_short" or d["loc"] not in inside]
    out = []
    for detail in details:
        where, known, last = _resolve(model, detail["loc"])
        if detail["type"] == "union_tag_not_found":
            known = [tag for o in _options(last) if (tag := _tag(o)) is not None]
        out.append((where, f"{_dotted(where)}: {_sentence(detail, known)}"))
    return out


def nearest(word: str, known: Sequence[str]) -> str:
    """Say ``; did you mean X?`` for the closest known word, or list them all."""
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if match:
        return f"; did you mean {match[0]}?"
    return f"; known: {', '.join(known)}" if known else ""


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text or "(top level)"


def _sentence(detail: ErrorDetails, known: Sequence[str]) -> str:
    kind, got = detail["type"], detail.get("input")
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(detail['loc'][-1]), known)}"
    if kind == "missing":
        return "required, but not given"
    if kind == "union_tag_invalid":
        tags = [t.strip(" '") for t in str(context["expected_tags"]).split(",")]
        return f"unknown kind {context['tag']!r}{nearest(str(context['tag']), tags)}"
    if kind == "union_tag_not_found":
        kinds = f"; kinds: {', '.join(known)}" if known else ""
        return f"expected a block with a 'kind:' key{kinds}" + (
            f"; got {got!r}" if not isinstance(got, Mapping) else ""
        )
    if kind == "literal_error":
        words = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return f"expected one of {context['expected']}, got {got!r}" + (
            nearest(got, words.split(", ")) if isinstance(got, str) else ""
        )
    if kind == "too_short":
        least, there = context["min_length"], context["actual_length"]
        return f"expected at least {least}, got {there}"
    message = detail["msg"].removeprefix("Value error, ")
    if kind in ("value_error", "assertion_error"):
        return message
    message = message[0].lower() + message[1:]
    return f"{message.replace('input should be', 'expected')}, got {got!r}"


def _resolve(model: Any, loc: tuple[str | int, ...]) -> tuple[Path, list[str], Any]:
    """Strip union tags from a pydantic location; list the keys known at its end.

    The last part is the type of what stands there.
    """
    path: list[str | int] = []
    current: Any = model
    keys: list[str] = _keys(current)
    fresh = True  # at a union that has not chosen its member yet
    for part in loc:
        options = _options(current)
        tagged = [o for o in options if _tag(o) == part]
        if fresh and len(options) > 1 and tagged:
            current, keys, fresh = tagged[0], _keys(tagged[0]), False
            continue
        keys = sorted({k for o in options for k in _keys(o)})
        path.append(part)
        current, fresh = _child(options, part), True
    return tuple(path), keys, current


def _options(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _options(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [o for a in get_args(annotation) for o in _options(a)]
    return [annotation]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _keys(annotation: Any) -> list[str]:
    return list(annotation.model_fields) if _is_model(annotation) else []


def _tag(annotation: Any) -> str | None:
    if not _is_model(annotation) or "kind" not in annotation.model_fields:
        return None
    values = get_args(annotation.model_fields["kind"].annotation)
    return values[0] if values else None


def _child(options: list[Any], part: str | int) -> Any:
    for option in options:
        if isinstance(part, str) and part in _keys(option):
            return option.model_fields[part].annotation
        if isinstance(part, int) and get_args(option):
            return get_args(option)[0]
        if get_origin(option) in (dict, Mapping) and len(get_args(option)) == 2:
            return get_args(option)[1]
    return object
