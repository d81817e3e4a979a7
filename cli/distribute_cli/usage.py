"""Messages for wrong usage, in one line: what is wrong, and what to write instead."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Typer's base of all errors in what a person typed. Typer exports only this child of it."""

_BOUNDS = {
    "greater_than_equal": ("ge", "or more"),
    "less_than_equal": ("le", "or less"),
    "greater_than": ("gt", "and above"),
    "less_than": ("lt", "and below"),
}


def usage_line(error: Any) -> str:
    """The line for an error in what a person typed (a `UsageError`)."""
    wrong = _what_is_wrong(error)
    if "`" in wrong or error.ctx is None:
        return wrong
    return f"{wrong} (see `distribute {error.ctx.command.name} --help`)"


def is_help(error: Exception) -> bool:
    """Is this only the help, shown because no verb was typed?"""
    return type(error).__name__ == "NoArgsIsHelpError"


def _what_is_wrong(error: Any) -> str:
    from pydantic import ValidationError

    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return _bad_value(_name_of(error.param), cause.errors()[0])
    message = str(error.format_message()).rstrip(".")
    return message[:1].lower() + message[1:]


def _name_of(parameter: Any) -> str:
    """`--state`, or `KIND`."""
    is_option = parameter.param_type_name == "option"
    return str(parameter.opts[0] if is_option else parameter.metavar or parameter.name)


def _bad_value(name: str, problem: ErrorDetails) -> str:
    kind, value, limits = problem["type"], problem["input"], problem.get("ctx", {})
    if kind.startswith("int_"):
        return f"{name} takes a whole number, not {value!r}"
    if kind.startswith("float_"):
        return f"{name} takes a number, not {value!r}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{name} takes {limits[key]} {words}, not {value}"
    quoted = re.findall(r"'([^']*)'", problem["msg"])
    if " is not one of " in problem["msg"] and len(quoted) > 1:
        written, *choices = quoted
        near = difflib.get_close_matches(written, choices, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(choices)}"
        return f"{name}: {written!r} is not one of its values; {advice}"
    return f"{name}: {problem['msg'].removeprefix('Value error, ')}"
