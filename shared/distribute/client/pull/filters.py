"""Which of a batch's files are wanted: patterns, searched for in the path `NAMESPACE/BATCH/JOB/path`.

A pattern is a regular expression, or a piece of a path as it stands: what `pull --dry` prints can be pasted
as a pattern, whatever characters it has.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from distribute.client.pull.foreign_forms import foreign_forms, in_python
from distribute.client.words import argument, printable
from distribute.core.errors import InputError

_ANCHORS = re.compile(r"\^|\\A|\(\?<[=!]")
"""What may look at the beginning of a path."""


MAX_SHOWN = 80
"""Of a longer pattern, messages show the first characters."""


class Pattern(NamedTuple):
    """A pattern as a person wrote it.

    `regex` is None if it is no regular expression, for the reason `problem`. Then it can only be a piece of a
    path.
    """

    text: str
    regex: re.Pattern[str] | None
    problem: str = ""

    def matches(self, path: str) -> bool:
        """Does it match the path `NAMESPACE/BATCH/JOB/path`?

        For `^`, the path begins with a slash, as in the first `distribute`, or without, or with its BATCH, as
        `pull --dry` prints it.
        """
        if self.text in (whole := "/" + path) or self.text in printable(whole):
            return True
        if self.regex is None:
            return False
        if self.regex.search(whole):
            return True
        if not _ANCHORS.search(self.text):
            return False
        return bool(self.regex.search(path) or self.regex.search(path.partition("/")[2]))


class Filter(NamedTuple):
    """Files that match any of `include` (if it is empty: all files) and none of `exclude`."""

    include: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()

    @property
    def is_all(self) -> bool:
        """Are all files wanted?"""
        return not self.include and not self.exclude

    def wants(self, path: str) -> bool:
        """Is the file at `NAMESPACE/BATCH/JOB/path` wanted?"""
        if self.include and not any(pattern.matches(path) for pattern in self.include):
            return False
        return not any(pattern.matches(path) for pattern in self.exclude)

    def check(self, paths: Iterable[str]) -> None:
        """Check that what is no regular expression is a piece of one of the batch's paths.

        Raises:
            InputError: some are neither; it names each, with the place and the cause.
        """
        unclear = [pattern for pattern in (*self.include, *self.exclude) if pattern.regex is None]
        if not unclear:
            return
        every = list(paths)
        wrong = [pattern for pattern in unclear if not any(map(pattern.matches, every))]
        if wrong:
            raise InputError(*(pattern.problem for pattern in wrong))


def make_filter(include: Sequence[str], exclude: Sequence[str]) -> Filter:
    """A filter of patterns.

    Raises:
        InputError: some are neither regular expressions nor pieces of a path; it names each, with the place
            and the cause.
    """
    made = Filter(tuple(map(_pattern, include)), tuple(map(_pattern, exclude)))
    wrong = [pattern for pattern in (*made.include, *made.exclude) if pattern.problem]
    # A path that `--dry` printed has a slash. Whether this is one is known when the files are.
    if problems := [pattern.problem for pattern in wrong if "/" not in pattern.text or not pattern.text]:
        raise InputError(*problems)
    return made


def _pattern(text: str) -> Pattern:
    shown = f"'{printable(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + '…')}'"
    if not text:
        return Pattern(text, None, f"{shown} matches every file; leave it out, or write what to look for")
    if forms := foreign_forms(text):
        missing = " and ".join(dict.fromkeys(f"'{printable(text[form.start : form.end])}'" for form in forms))
        instead = in_python(text, forms)
        advice = (
            f"write {argument(instead)}"
            if instead is not None
            else "; ".join(dict.fromkeys(form.advice for form in forms if form.advice))
        )
        problem = f"{shown}: pull takes Python's regular expressions, which lack {missing}; {advice}"
        return Pattern(text, None, problem)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return Pattern(text, re.compile(text))
    except (re.error, OverflowError, RecursionError) as error:
        return Pattern(text, None, f"{shown} is not a regular expression: {_cause(error)}; {_advice(text)}")


def _cause(error: Exception) -> str:
    if isinstance(error, re.error):
        return error.msg + (f" at character {error.pos + 1}" if error.pos is not None else "")
    return str(error) or "it is too deeply nested"


def _advice(text: str) -> str:
    if is_glob(text):
        return f"for the files that a shell would take for it, write {argument(glob_as_regex(text))}"
    if len(text) > MAX_SHOWN:
        return "write `\\` before each of its signs that is meant as it stands"
    return f"to search for it as plain text, write {argument(re.escape(text))}"


def is_glob(text: str) -> bool:
    """Does it look like a shell's pattern of file names?"""
    return bool(re.fullmatch(r"[^\\(){}|^$+]*[*?][^\\(){}|^$+]*", text)) and not re.search(r"\.[*?]", text)


def glob_as_regex(text: str) -> str:
    """The regular expression that finds the files whose path ends as a shell's pattern says."""
    pieces = []
    for found in re.finditer(r"(\*\*/)|(\*\*)|(\*)|(\?)|(\[!?\]?[^\]]*\])|(.)", text, re.DOTALL):
        match found.lastindex:
            case 1:
                pieces.append("/(?:.*/)?")
            case 2:
                pieces.append(".*")
            case 3:
                pieces.append("[^/]*")
            case 4:
                pieces.append("[^/]")
            case 5:
                pieces.append(found[0].replace("[!", "[^"))
            case _:
                pieces.append(re.escape(found[0]))
    if pieces[0] == "/(?:.*/)?":
        pieces[0] = "/"  # it is searched for, so what may stand before needs no words
    elif pieces[0] in {".*", "[^/]*"}:
        del pieces[0]
    elif pieces[0] != "/":
        pieces.insert(0, "/")
    return "".join(pieces) + "$"
