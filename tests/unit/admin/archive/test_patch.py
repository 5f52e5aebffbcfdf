"""A patch makes the one text of the other, and is small where they differ little."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaultsession.admin.archive.patch import patch_between, patched

texts = st.binary(max_size=80) | st.text(alphabet='ab{}",: \n', max_size=200).map(str.encode)


@settings(max_examples=60)
@given(texts, texts)
def test_any_text_comes_of_any_other(expected: bytes, actual: bytes) -> None:
    assert patched(expected, patch_between(expected, actual)) == actual
    assert patch_between(actual, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual", "steps"),
    [
        (b'{"a":1.5,"b":[1,2]}', b'{"a":1.50,"b":[1,2]}', 1),
        (b'{"a":2}' + b"x" * 5000, b'{"a":1,"a":2}' + b"x" * 5000, 1),
        (b"x" * 5000 + b"\n", b"x" * 5000, 1),
        (b'{"key":"value", "other":"text"}', b'{ "key":"value", "other" : "text"}', 3),
        (b"abc" + b"0123456789" * 30, b"abc" + b"-" * 3000 + b"0123456789" * 30, 1),
    ],
)
def test_a_patch_has_few_steps_where_little_differs(expected: bytes, actual: bytes, steps: int) -> None:
    patch = patch_between(expected, actual)
    assert patched(expected, patch) == actual
    assert len(patch) <= 3 * steps
    assert json.loads(json.dumps(patch)) == patch


@pytest.mark.parametrize("patch", [[1], [9, 0, ""], [0, 9, ""], [-1, 0, ""], [0, 0, 5], ["0", 0, ""], [True, 0, ""]])
def test_what_is_no_patch_of_a_text_is_refused(patch: list[object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        patched(b"abc", patch)
