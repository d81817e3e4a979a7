"""A jobs file as Python values, without a text. The same code checks them, with the same words."""

from __future__ import annotations

from typing import Any, TypeVar

from distribute.config.sections.problems import validate
from distribute.config.sections.section import Section
from distribute.config.yaml.yaml_source import Document, Loc
from distribute.config.yaml.yaml_syntax import Found, Problem
from distribute.core.errors import InvalidArgument
from distribute.core.words import MAX_TOLD, first_of

S = TypeVar("S", bound=Section)


class Values(Document):
    """Values in place of a file. `name` is what problems begin with. Places are keys, in place of lines."""

    top = "it"

    def __init__(self, value: Any, name: str) -> None:
        self.name = name
        self.value = value
        self.found = Found()
        self.repeated = frozenset()
        self.excess = None
        self._places: list[Loc] = [()]

    def offset(self, loc: Loc, *, of_key: bool = False) -> int:
        """A number for the place, in the order in which problems are found."""
        self._places.append(loc)
        return len(self._places) - 1

    def loc(self, problem: Problem) -> Loc:
        """The keys that lead to a problem."""
        return self._places[problem.offset]

    def place(self, loc: Loc, *, of_key: bool = False) -> str:
        """As in a file, but with the keys that lead to the value."""
        return f"at {_path(loc)}"

    def lines(self, found: Found) -> list[str]:
        """The problems as `NAME: KEYS: text`. Of many, the first, and a line that counts the others."""
        told = (self.told(self.loc(problem), problem.words) for problem in found.problems)
        lines = list(dict.fromkeys(told))
        return first_of(lines[:MAX_TOLD], len(lines[MAX_TOLD:]) + found.more)

    def told(self, loc: Loc, words: str) -> str:
        """A problem of the value at `loc`, as one line."""
        # The words begin with the last key.
        around = _path(loc if loc and isinstance(loc[-1], int) else loc[:-1])
        return ": ".join(filter(None, [self.name, around, words]))


def made(called: str, model: type[S], values: dict[str, Any]) -> S:
    """The section that a function makes of its arguments. `called` is how problems name the function.

    Raises:
        InvalidArgument: it holds every problem, one line each.
    """
    document = Values(values, called)
    section, found = validate(document, model)
    if section is None:
        raise InvalidArgument(*document.lines(found))
    return section


def _path(loc: Loc) -> str:
    """`command.jobs[3].name`."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
