"""Helpers for the tests of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from distribute.config.loading import load
from distribute.core.errors import InputError

META = "meta: {namespace: n, batch_name: b}\n"


def problems_of(text: str) -> list[str]:
    """The problems of a file with this text, without the file's name."""
    Path("jobs.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load(Path("jobs.yaml"))
    assert all("\n" not in problem for problem in caught.value.problems)
    return [problem.removeprefix("jobs.yaml:") for problem in caught.value.problems]


def job(keys: str) -> str:
    return f"{META}command:\n  jobs:\n    - {{name: ab, command: [x], {keys}}}\n"
