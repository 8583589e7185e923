"""Recipes: strict, hashable, and wrong in sentences."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from matdisco.errors import ConfigError
from matdisco.recipe import Recipe, canonical_json, digest


class Inner(Recipe):
    kind: Literal["inner"] = "inner"
    n_members: int = Field(3, ge=1)


class Other(Recipe):
    kind: Literal["other"] = "other"


class Outer(Recipe):
    block: Inner | Other = Field(default_factory=Inner, discriminator="kind")
    items: tuple[Inner, ...] = ()
    rate: float = 1.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"block": {"kind": "inner", "n_member": 3}},
            "x.yaml: block.n_member: unknown key; did you mean n_members?",
        ),
        ({"blok": {}}, "x.yaml: blok: unknown key; did you mean block?"),
        ({"block": {"kind": "iner"}}, "x.yaml: block: unknown kind 'iner'"),
        ({"block": {}}, "x.yaml: block: expected a block with a 'kind:' key"),
        ({"block": {"kind": "inner", "n_members": 0}}, "block.n_members: .*got 0"),
        ({"items": [{}, {"n": 1}]}, r"items\[1\].n: unknown key"),
        ({"rate": "fast"}, "rate: .*got 'fast'"),
        ({"rate": float("nan")}, "rate: .*finite"),
    ],
)
def test_mistakes_are_sentences_with_place_and_remedy(data, message):
    with pytest.raises(ConfigError, match=message):
        Outer.from_mapping(data, source="x.yaml")


def test_digest_ignores_defaults_written_out_and_what_is_declared_unhashed():
    class Run(Recipe):
        unhashed = frozenset({"workers"})
        steps: int = 5
        workers: int = 2

    assert Run().digest() == Run(steps=5, workers=9).digest()
    assert Run().digest() != Run(steps=6).digest()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
def test_canonical_json_round_trips_and_does_not_depend_on_key_order(value):
    import json

    text = canonical_json(value)
    back = json.loads(text)
    assert canonical_json(back) == text
    if isinstance(value, dict):
        turned = dict(reversed(list(value.items())))
        assert digest(turned) == digest(value)


def test_canonical_json_refuses_nan():
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"x": float("nan")})
