"""Lines of `distribute submit`, and what comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distribute.config.loading import load_options
from distribute.core.errors import InputError
from distribute.core.spec.specs import BatchSpec, CommandWork
from distribute_cli.main import app
from distribute_cli.submitting.line import Line, describe
from distribute_cli.usage import UsageError, usage_line


def refusal(*arguments: str) -> list[str]:
    """The problems of a line, which must be refused before a cluster is looked for."""
    try:
        app(["submit", *arguments], standalone_mode=False, prog_name="distribute")
    except InputError as error:
        return list(error.problems)
    except UsageError as error:
        return [usage_line(error)]
    raise AssertionError("it is not refused")


def submitted(*command: str, **fields: Any) -> BatchSpec:
    """The batch that a line submits."""
    described = describe(Line(command, "jane", **fields))
    assert described.problems == ()
    return load_options(described.values, Path.cwd()).spec


def commands(spec: BatchSpec) -> dict[str, Any]:
    assert isinstance(spec.work, CommandWork)
    return {job.name: job.command for job in spec.work.jobs}


def files(spec: BatchSpec) -> dict[str, set[str]]:
    """The files that each job gets, beside those of the batch."""
    return {job.name: {file.alias for file in job.files} for job in spec.work.jobs}
