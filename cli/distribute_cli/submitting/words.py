"""The command of `submit`: which of its words are files that are sent, and what it is called.

A word that begins with `./` or `../` and is a file here is sent. So is what `--file` names. The job finds
them in ./input, and a word that is the path of such a file becomes its path there: `./solver` becomes
`input/solver`. No other word changes.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from distribute.client.words import argument, printable
from distribute.config.sections.file_refs import own_name
from distribute.core.spec.recipe import INPUT
from distribute.core.words import LONGEST_QUOTED_PATH, few, quoted

_FOR_SHELL = re.compile(r"[\s|&;<>()$`\\\"'*?\[\]]")
"""A command of one word with one of these is a text for sh."""
_FROM_HERE = ("./", "../")
_EXTENSION = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{0,3}$", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")
_LONGEST_NAME = 60


class Words(NamedTuple):
    """The words of a command. `sent` are those that are files here, with the paths that the job finds.

    `is_built`: a build runs first, and may make what the command names.
    """

    words: tuple[str, ...]
    sent: dict[str, str]
    is_built: bool = False

    @property
    def is_text(self) -> bool:
        """Is it one text for sh?"""
        return len(self.words) == 1 and _FOR_SHELL.search(self.words[0]) is not None

    @property
    def program(self) -> str:
        """The program that runs, as far as it can be told."""
        return (_split(self.words[0]) or [""])[0] if self.is_text else self.words[0]

    @property
    def name(self) -> str:
        """A name for the batch: that of the script that is sent, or else of the program."""
        path = next(iter(self.sent), self.program)
        name = _EXTENSION.sub("", own_name(path))
        return _NOT_IN_NAMES.sub("-", name).strip("-.")[:_LONGEST_NAME] or "batch"

    def problems(self) -> Iterator[str]:
        """Why the command could run on no node."""
        program = self.words[0]
        if not program:
            yield "the command begins with an empty word; write the program that runs"
        if self.is_text or not program.startswith(_FROM_HERE):
            return
        if program not in self.sent:
            if self.is_built:
                return
            yield (
                f"there is no file {quoted(program, LONGEST_QUOTED_PATH)} here that could be sent; "
                "write a path relative to this folder, or a program that the nodes have"
            )
        elif _is_here(program) and not os.access(program, os.X_OK):
            run_it = f"chmod +x {argument(program)}, or write what runs it: -- python3 {argument(program)}"
            yield f"{quoted(program, LONGEST_QUOTED_PATH)} is not executable; {run_it}"

    def warnings(self, files: Sequence[str]) -> Iterator[str]:
        """What looks like a file that was to be sent. `files` are the paths of `--file`."""
        words = _split(self.words[0]) if self.is_text else self.words
        left = [word for word in words if word not in self.sent and word not in files and _is_here(word)]
        if not left:
            return
        names = few([printable(word) for word in dict.fromkeys(left)])
        are = "is a file here, and is" if len(set(left)) == 1 else "are files here, and are"
        first = left[0] if left[0].startswith(_FROM_HERE) else f"./{left[0]}"
        if self.is_text:
            inside = printable(f"{INPUT}/{own_name(left[0])}")
            advice = f"add --file {argument(left[0])}, and write {inside} in the text"
            yield f"{names} {are} not sent: a text for sh stays as it is; {advice}"
        else:
            yield f"{names} {are} not sent with the batch; write {argument(first)} to send it"


def read_words(command: Sequence[str], *, is_built: bool = False) -> Words:
    """The words of a command, and which of them are sent. `is_built`: as in `Words`."""
    found = Words(tuple(command), {}, is_built)
    if found.is_text:
        return found
    paths = [word for word in command if word.startswith(_FROM_HERE) and os.path.lexists(word)]
    return found._replace(sent={path: in_job(path) for path in paths})


def in_job(path: str) -> str:
    """Where the job finds the file at `path`."""
    return f"{INPUT}/{own_name(path)}"


def _is_here(word: str) -> bool:
    # Unlike a `Path`, this takes any text, also one that is too long for a name.
    return word[:1] not in ("/", "-", "") and os.path.isfile(word)  # noqa: PTH113


def _split(text: str) -> list[str]:
    """The words of a shell's text, about; none if its quotes are never closed."""
    try:
        return shlex.split(text)
    except ValueError:
        return []
