"""The changes of an edit that a Python program asks for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NamedTuple

from distribute.client.editing import Changes
from distribute.core import specs
from distribute.core.errors import InvalidArgument


class _Range(NamedTuple):
    """The numbers that a change may be."""

    least: int
    most: int
    is_whole: bool = True

    def has(self, value: object) -> bool:
        """Is this one of them? None changes nothing."""
        if value is None:
            return True
        is_number = type(value) is int or (type(value) is float and not self.is_whole)
        return is_number and self.least <= value <= self.most  # type: ignore[operator] # it is a number

    def __str__(self) -> str:
        return f"a {'whole number' if self.is_whole else 'number'} from {self.least} to {self.most}"


_RANGES: Mapping[str, _Range] = {
    "cpus": _Range(1, specs.MAX_CPUS),
    "memory_bytes": _Range(0, specs.MAX_BYTES),
    "gpus": _Range(0, specs.MAX_GPUS),
    "timeout_s": _Range(0, specs.MAX_TIMEOUT_S, is_whole=False),
    "retries": _Range(0, specs.MAX_RETRIES),
    "max_running": _Range(0, specs.MAX_JOBS),
    "max_failures": _Range(0, specs.MAX_JOBS),
}


def checked_changes(given: Mapping[str, object]) -> Changes:
    """The changes with these names and values.

    Raises:
        InvalidArgument: a name or a value can't be. It names all such.
    """
    problems = []
    for name, value in given.items():
        if name not in _RANGES:
            near = difflib.get_close_matches(name, _RANGES, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_RANGES)}"
            problems.append(f"edit(): nothing is called {name!r}; {advice}")
        elif not _RANGES[name].has(value):
            problems.append(f"edit(): {name} takes {_RANGES[name]}, not {value!r}")
    if problems:
        raise InvalidArgument("\n".join(problems))
    return Changes(**given)  # type: ignore[arg-type] # the ranges have the types
