"""What the options of `edit` mean."""

from __future__ import annotations

from typing import Any

import pytest

from distribute.client.editing import Changes
from distribute.core.errors import InputError
from distribute_cli.commands.edit import changes_of
from distribute_cli.values import whole_number

NOTHING = {
    "cpus": None,
    "memory": None,
    "gpus": None,
    "longest": None,
    "retries": None,
    "max_running": None,
    "max_failures": None,
}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, Changes()),
        ({"cpus": "8", "memory": "16G", "gpus": "0"}, Changes(cpus=8, memory_bytes=16 << 30, gpus=0)),
        ({"longest": "2h", "retries": "0"}, Changes(timeout_s=7200.0, retries=0)),
        ({"longest": "none"}, Changes(timeout_s=0.0)),
        ({"max_running": "20", "max_failures": "none"}, Changes(max_running=20, max_failures=0)),
    ],
)
def test_texts_become_changes(given: dict[str, str], meant: Changes) -> None:
    assert changes_of(**(NOTHING | given)) == meant  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cpus": "0"}, "--cpus takes a whole number from 1 to 65536, not '0'"),
        ({"cpus": "1.5"}, "--cpus takes a whole number"),
        ({"gpus": "-1"}, "--gpus takes a whole number from 0 to 1024, not '-1'"),
        ({"retries": "²"}, "--retries takes a whole number from 0 to 100, not '²'"),
        ({"max_running": "0"}, "--max-running takes a whole number from 1 to 100000, or none, not '0'"),
        ({"max_failures": "9" * 30}, "--max-failures takes a whole number"),
        ({"longest": "never"}, "--timeout"),
        ({"memory": "all"}, "--memory"),
    ],
)
def test_what_is_no_change_is_refused_by_its_option(given: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        changes_of(**(NOTHING | given))  # type: ignore[arg-type]


def test_an_option_that_is_not_given_has_no_number() -> None:
    nothing: Any = whole_number("--cpus", None, 1, 2)
    assert nothing is None
