"""Figures, reasons, and what people wrote, in words."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 file`, `2 files`. `things` is the plural where it is not `thing` with an s."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def killed_by(person: str | None) -> str:
    """Why a job or a build was ended. None: no person killed it."""
    return "killed, because its batch is over" if person is None else f"killed by {person}"


MAX_TOLD = 20
"""So many problems are told. A person mends these, and then asks again."""


def first_of(problems: Sequence[str], more: int = 0) -> list[str]:
    """The first problems of many, and a line that counts the others. `more` of them are not in `problems`."""
    others = len(problems[MAX_TOLD:]) + more
    return [*problems[:MAX_TOLD], *([f"and {counted(others, 'more problem')}"] if others else [])]


LONGEST_QUOTED = 60
LONGEST_QUOTED_PATH = 400


def quoted(text: str, longest: int = LONGEST_QUOTED) -> str:
    """`text` as messages quote it: on one line, and cut if it is longer than `longest` characters.

    People write, or generate, values of megabytes; a message is to be read.
    """
    shown = repr(text[:longest])
    return shown if len(text) <= longest else f"{shown[:-1]}…{shown[-1]}"
