# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""JSON is read and written as json does it, with its errors."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt import jsontext
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.jsontext import dumps, loads

TEXTS = [
    "null", "true", " [1, 2.5, -3e4]\r\n\t ", '{"a": {"b": ["\\u00e9", "\\ud800", "\u00e9"]}, "a": 1}', '"x"', "NaN",
    "[Infinity, -Infinity]", "9" * 5000, "[" * 100_000, "", " ", "{", '{"a" 1}', "[1,]", "1 2", "nul", "\ufeff{}",
    '"\t"', '{"a": 1}\0', "\u00a01", "1\u00a0",
]  # fmt: skip
BYTES = [
    *(text.encode() for text in TEXTS), b"\xff", b"\xef\xbb\xbf{}",
    '{"a": 1}'.encode("utf-16"), "[1]".encode("utf-32-le"),
    b"\xed\xa0\x80", b'"\xed\xa0\x80"',
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 1.5, float("inf"), "text\n\u00e9\u2028", [], {}, {"b": [1, {"c": None}], "a": "\ud800"}, (1, 2),
    {1: 2, None: 3}, {"a": {1}}, {"b": 1, 2: 3},
]  # fmt: skip
STYLES: list[dict[str, Any]] = [{}, {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}]


def outcome(act: Callable[..., object], *args: Any, **options: Any) -> object:
    """What comes of it; that two NaN are no equals is no matter."""
    try:
        return repr(act(*args, **options))
    except Exception as err:
        return type(err), str(err)


@pytest.mark.parametrize("data", [*TEXTS, *BYTES], ids=lambda data: repr(data)[:20])
def test_a_text_is_read_as_json_reads_it(data: str | bytes) -> None:
    assert outcome(loads, data) == outcome(json.loads, data)


@pytest.mark.parametrize("style", STYLES, ids=["plain", "canonical"])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_written_as_json_writes_it(value: Any, style: dict[str, Any]) -> None:
    assert outcome(dumps, value, **style) == outcome(json.dumps, value, **style)


def test_what_holds_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    assert outcome(dumps, value) == outcome(json.dumps, value)


@pytest.mark.parametrize("text", ["{", '{"a" 1}', '{"a": 1,', '"open', "[1"])
def test_a_process_without_json_has_its_errors_too(text: str) -> None:
    """The scanner of older interpreters takes the class of its errors from json, if that is imported."""
    package = pathlib.Path(jsontext.__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(package)!r}); from podrt.jsontext import loads\n"
        "assert 'json' not in sys.modules\n"
        f"try: loads({text!r})\n"
        "except ValueError as err: print(err)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    with pytest.raises(ValueError, match=r"\w") as failed:
        json.loads(text)
    assert done.stdout == f"{failed.value}\n"
