"""Texts for scripts of bash, in which no name, value or command is read as anything else.

Some values are known only where a script runs: the folder, the number of cores. In a recipe's words a mark
stands for them. A mark has NULs, so no text of a batch can contain one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from functools import lru_cache

_MARK = re.compile("\0([a-z]+)\0")
_PLAIN = re.compile(r"[\w@%+=:,./-]+")


def later(variable: str) -> str:
    """The mark for the value that the variable of the script has."""
    return f"\0{variable}\0"


@lru_cache(maxsize=1 << 12)
def word(text: str) -> str:
    """One word for bash. Each mark in `text` becomes the value of its variable."""
    parts = _MARK.split(text)  # the odd ones are names of variables
    quoted = [f'"${name}"' if number % 2 else shlex.quote(name) for number, name in enumerate(parts) if name]
    return "".join(quoted) or "''"


def words(texts: Iterable[str]) -> str:
    """The texts as words for bash."""
    return " ".join(word(text) for text in texts)


def within_script(script: str) -> str:
    """A script for another shell: variables of the environment stand for the marks in its quoted words."""
    # `shlex.quote` puts a word with a NUL into single quotes: they end before the variable and begin again.
    return _MARK.sub(lambda mark: f"""'"$distribute_{mark[1]}"'""", script)


def marks_in(script: str) -> list[str]:
    """The names of the variables whose marks a text has, each once."""
    return sorted(set(_MARK.findall(script)))


@lru_cache(maxsize=1 << 12)
def sbatch_line(name: str, value: str) -> str:
    """An option of sbatch, as a line at the top of a script. `value` "": the option has none.

    Raises:
        ValueError: no such line can have this value.
    """
    if any(character < " " or character in "\x7f\x85\u2028\u2029" for character in value):
        raise ValueError("it has a control character; write it on one line, without any")
    if len(value) > MAX_VALUE:
        raise ValueError(f"it has {len(value)} characters; sbatch reads {MAX_VALUE} at most")
    if value and not _PLAIN.fullmatch(value):
        # As sbatch 22.05 reads it: a backslash means itself only behind another, and guards no blank.
        value = '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    return f"#SBATCH --{name.replace('_', '-')}" + (f"={value}" if value else "")


MAX_VALUE = 1000
