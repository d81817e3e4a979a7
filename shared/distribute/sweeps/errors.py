"""The error of a sweep."""

from __future__ import annotations

from distribute.core.errors import InputError


class SweepError(InputError):
    """A sweep, or a template, is wrong.

    `loc` is the part that is wrong, as keys and indices below the sweep: `("grid", "re", 3)`. It is empty if
    that is the whole, or a template that its caller knows.
    """

    def __init__(self, problem: str, *loc: str | int) -> None:
        super().__init__(problem)
        self.loc = loc
