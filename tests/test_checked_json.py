"""Limits of JSON files from third parties: numbers, texts and nesting."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ecgssl.checked_json import MOST_DEPTH, MOST_TEXT, parse_object
from ecgssl.errors import InputError


def nested(levels: int, inner: Any = 1.5) -> dict[str, Any]:
    """Return an object with ``levels`` nested lists and mappings, itself included."""
    value = inner
    for level in range(levels - 1):
        value = [value] if level % 2 else {"x": value}
    return {"x": value}


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -(2**63) + 1, 2**63 - 1, 1e308, True, False, None, "x" * MOST_TEXT, {}, []]},
        {"k" * MOST_TEXT: 0},
        nested(MOST_DEPTH),
    ],
)
def test_values_within_the_limits_are_returned(value):
    assert parse_object(json.dumps(value), "file", "fix") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps(nested(MOST_DEPTH + 1)), "nested more than 32 levels deep"),
        (json.dumps(nested(MOST_DEPTH + 1, inner=[])), "nested more than 32 levels deep"),
        ('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested more than 32 levels deep"),
        ('{"a": [[0.5, 1e999]]}', "contains an infinite number"),
        ('{"a": -1e999}', "contains an infinite number"),
        ('{"a": [NaN]}', "contains NaN, which is not a number"),
        (f'{{"a": {{"b": {2**63}}}}}', "contains a whole number of more than 64 bits"),
        (f'{{"a": {-(2**63)}}}', "contains a whole number of more than 64 bits"),
        (json.dumps({"a": ["x" * (MOST_TEXT + 1)]}), "contains a text of 100,001 characters; the limit is 100,000"),
        (json.dumps({"a": {"k" * (MOST_TEXT + 1): 1}}), "contains a text of 100,001 characters; the limit is 100,000"),
        ("[1]", "is not a JSON object"),
        ("1e999", "contains an infinite number"),
        ("{", "is not readable JSON"),
    ],
)
def test_values_beyond_a_limit_are_refused(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_object(text, "file", "fix")
    assert caught.value.problems[0].where == "file"
