"""Messages for wrong usage, in one line: what is wrong, and what to write instead."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import typer

from distribute.core.words import quoted

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


_EXTRA = re.compile(r"extra arguments?(?:\(s\))? \((.*)\)", re.DOTALL)
_NO_VALUE = re.compile(r"Option '([^']*)' does not take a value")


def usage_line(error: Any) -> str:
    """The line for an error in what a person typed (a `UsageError`)."""
    wrong = _what_is_wrong(error)
    if "`" in wrong or error.ctx is None:
        return wrong
    return f"{wrong} (see `{_typed(error.ctx)} --help`)"


def is_help(error: Exception) -> bool:
    """Is this only the help, shown because no verb was typed?"""
    return type(error).__name__ == "NoArgsIsHelpError"


def _typed(context: Any) -> str:
    """The command as a person types it: `distribute add`, or only `distribute`."""
    return "distribute" if context.parent is None else f"distribute {context.command.name}"


def _what_is_wrong(error: Any) -> str:
    """What is wrong, in our words: typer's depend on its version, and give no advice."""
    from pydantic import ValidationError

    cause, message = error.__cause__, str(error.format_message())
    if isinstance(cause, ValidationError):
        return _bad_value(error.ctx, error.param, cause.errors()[0])
    match type(error).__name__:
        case "NoSuchOption":
            return _no_such_option(error)
        case "MissingParameter":
            return _missing(error)
    if found := _NO_VALUE.search(message):
        return f"{found[1]} takes no value"
    if (option := getattr(error, "option_name", None)) is not None:
        return f"{option} needs a value"
    if found := _EXTRA.search(message):
        return _too_much(error.ctx, found[1])
    message = message.rstrip(".")
    return message[:1].lower() + message[1:]


def _no_such_option(error: Any) -> str:
    known = [name for parameter in error.ctx.command.params for name in parameter.opts] if error.ctx else []
    near = difflib.get_close_matches(error.option_name, [*known, "--help"], n=1)
    advice = f"; did you mean {near[0]}?" if near else ""
    return f"there is no option {error.option_name}{advice}"


def _missing(error: Any) -> str:
    name = _name_of(error.param)
    if error.param.param_type_name == "option":
        return f"the option {name} is missing"
    needed = [
        _name_of(each)
        for each in error.ctx.command.params
        if each.param_type_name == "argument" and each.required
    ]
    return f"{name} is missing; write `{' '.join([_typed(error.ctx), *needed])}`"


def _too_much(context: Any, words: str) -> str:
    taken = [_name_of(each) for each in context.command.params if each.param_type_name == "argument"]
    takes = " and ".join(taken) or "no names"
    return f"{_typed(context).removeprefix('distribute ')} takes {takes}, and not {words!r} as well"


def _name_of(parameter: Any) -> str:
    """`--state`, or `KIND`."""
    is_option = parameter.param_type_name == "option"
    return str(parameter.opts[0] if is_option else parameter.metavar or parameter.name)


def _bad_value(context: Any, parameter: Any, problem: ErrorDetails) -> str:
    name = _name_of(parameter)
    kind, value, limits = problem["type"], problem["input"], problem.get("ctx", {})
    if kind.startswith("int_"):
        return f"{name} takes a whole number, not {quoted(str(value))}"
    if kind.startswith("float_") or kind == "finite_number":
        return f"{name} takes a number, not {quoted(str(value))}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{name} takes {limits[key]:g} {words}, not {value}"
    choices = re.findall(r"'([^']*)'", problem["msg"].rpartition(" is not one of ")[2])
    if choices:
        noun = parameter.name if parameter.name != "name" else context.command.name
        return _no_such_choice(parameter, noun.replace("_", " "), str(value), choices)
    return f"{name} can't be {quoted(str(value))}"


def _no_such_choice(parameter: Any, noun: str, written: str, choices: list[str]) -> str:
    """`--state: 'runing' is not a state; did you mean 'running'?`"""
    near = difflib.get_close_matches(written, choices, n=1)
    if len(choices) == 1 and parameter.param_type_name == "option":
        return f"{parameter.opts[0]} takes only {choices[0]}, not {quoted(written)}"
    *most, last = choices
    there_are = f"{', '.join(most)} or {last}" if most else last
    advice = f"did you mean {near[0]!r}?" if near else f"write {there_are}"
    is_option = parameter.param_type_name == "option"
    place = f"{parameter.opts[0]}: " if is_option else ""
    return f"{place}{quoted(written)} is not a {noun}; {advice}"
