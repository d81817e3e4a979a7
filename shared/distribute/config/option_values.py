"""The contents of a jobs file that options of a command line say, judged by the same code as a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from distribute.config.sections.values import Values
from distribute.config.yaml.yaml_source import Loc, Value

OptionOf: TypeAlias = Callable[[Loc, Value], str]
"""The option that says the value at a place. Empty: no option does."""


class OptionValues(Values):
    """Values that options say. Problems name the option in place of a line."""

    def __init__(self, value: Any, option_of: OptionOf) -> None:
        super().__init__(value, "")
        self._option_of = option_of

    def option(self, loc: Loc) -> str:
        return self._option_of(loc, self.at(loc))

    def place(self, loc: Loc, *, of_key: bool = False) -> str:
        return f"in {self.option(loc) or 'the command line'}"

    def told(self, loc: Loc, words: str) -> str:
        option = self.option(loc)
        if not option or words.startswith(option):
            return words
        key = next((part for part in reversed(loc) if isinstance(part, str)), "")
        return f"{option}: {words.removeprefix(f'{key}: ')}"
