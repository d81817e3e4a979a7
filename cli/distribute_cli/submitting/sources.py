"""Where the values of a batch's jobs come from: `--array`, `--each`, `--each-line`; and the placeholders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from distribute.core.errors import InputError
from distribute.core.spec.recipe import INPUT
from distribute.core.words import quoted
from distribute_cli.submitting.array import parse_array

_BARE = re.compile(r"(?<![${])\{\}(?!\})")
_SHORT = re.compile(r"(?<![${])\{(|\.|/|/\.|//|#)\}(?!\})")
"""`{}`, and the other placeholders of GNU parallel."""
_NAMED = re.compile(r"(?<![${])\{[^\W\d]\w*(?::[^{}]*)?\}(?!\})")

_SOURCES = "--array 1-30, --each 'cases/*' or --each-line FILE"
_TABLES = (".csv", ".tsv")


class Source(NamedTuple):
    """The values of the jobs: the `sweep` of a jobs file that `option` means.

    `shorts` are the placeholders of GNU parallel that it gives, in full.
    """

    option: str
    sweep: dict[str, Any]
    shorts: dict[str, str]
    at_once: str | None = None

    def in_full(self, text: str) -> str:
        """A text with the placeholders of GNU parallel written as in a jobs file.

        Raises:
            InputError: it has one that this source does not give.
        """

        def full(short: re.Match[str]) -> str:
            if short[1] in self.shorts:
                return self.shorts[short[1]]
            known = ", ".join(f"{{{each}}}" for each in self.shorts)
            if not short[1]:
                return self._no_bare(known)
            raise InputError(
                f"{short[0]} means nothing with {self.option}; it gives {known}; "
                f"for the text itself write {{{short[0]}}}"
            )

        return _SHORT.sub(full, text)

    def _no_bare(self, known: str) -> str:
        raise InputError(
            f"{{}} means nothing with a table: write a column's name in braces, such as {{re}}; also {known}"
        )


_ONCE = {
    "--array": "write one list, such as 1-9,20",
    "--each": "write one pattern for all files, such as 'cases/*'",
    "--each-line": "put all lines into one file",
}


def only_one(option: str, values: Sequence[str] | None) -> str | None:
    """The value of an option that gives all values of the jobs.

    Raises:
        InputError: it is given several times.
    """
    if values and len(values) > 1:
        raise InputError(f"{option} is given {len(values)} times; {_ONCE[option]}")
    return values[0] if values else None


def find_source(array: str | None, each: str | None, each_line: str | None) -> Source | None:
    """The source that the options name. None: it is a single job.

    Raises:
        InputError: they name two, or `array` is none.
    """
    given = {"--array": array, "--each": each, "--each-line": each_line}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1:
        raise InputError(
            f"{' and '.join(named)} can't go together; write one of them, or a file with a sweep of both"
        )
    if array is not None:
        indices, at_once = parse_array(array)
        sweep = {"grid": {"index": [str(index) for index in indices]}, "name": "{index}"}
        return Source("--array", sweep, {"": "{index}", "#": "{number}"}, at_once)
    if each is not None:
        shorts = {"": "{file}", ".": f"{INPUT}/{{stem}}", "/.": "{stem}", "#": "{number}"}
        return Source("--each", {"each": each}, shorts)
    if each_line is not None:
        is_table = each_line.lower().endswith(_TABLES)
        shorts = {"#": "{number}"} if is_table else {"": "{line}", "#": "{number}"}
        return Source("--each-line", {"each-line": each_line}, shorts)
    return None


def has_placeholder(text: str) -> bool:
    """Is there a placeholder in this text, in which all are written in full?"""
    return _NAMED.search(text) is not None


def unescaped(text: str) -> str:
    """A text of a single job, in which braces mean nothing; `{{}}` is `{}`.

    Raises:
        InputError: it has a `{}`.
    """
    if _BARE.search(text):
        raise InputError(
            f"{quoted(text)}: {{}} stands for a value, and there is none; add {_SOURCES}; "
            "for the text itself write {{}}"
        )
    return text.replace("{{}}", "{}")
