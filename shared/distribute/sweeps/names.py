"""The names of a sweep's jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from distribute.core.ids import MAX_NAME_BYTES, check_name
from distribute.core.words import quoted
from distribute.sweeps.errors import SweepError
from distribute.sweeps.points import Point, Sweep, point_text
from distribute.sweeps.templates import NUMBER, TextTemplate

_PLAIN = re.compile(rf"[A-Za-z0-9_=+-][A-Za-z0-9_=+.-]{{0,{MAX_NAME_BYTES - 1}}}")
"""Most names. They need no closer look."""

_MOST_NAMED = 8
"""A name of more parameters would be too long to be read."""


def default_name(sweep: Sweep) -> str:
    """The template of names for a sweep without one: each parameter with its value, `re{re}-n{n}`.

    Random values make no good names: their points are numbered.
    """
    parts = sweep.name_parts
    number = f"{{{NUMBER}:0{len(str(len(sweep)))}d}}"
    if sum(part.count("{") for part in parts) > _MOST_NAMED:
        return number
    return "-".join(parts).replace(f"{{{NUMBER}}}", number)


def numbered(sweep: Sweep) -> Iterator[Point]:
    """Each point with its number, unless a parameter has that name."""
    for number, point in enumerate(sweep.points(), 1):
        point.setdefault(NUMBER, number)
        yield point


def named(sweep: Sweep, template: TextTemplate) -> Iterator[tuple[str, Point]]:
    """Each point with its name. The points have their numbers, too.

    Raises:
        SweepError: a name is none, or two points have one name.
    """
    seen: dict[str, int] = {}
    for number, point in enumerate(numbered(sweep), 1):
        try:
            name = template.fill(point)
        except SweepError as error:
            raise SweepError(f"{error} (at {point_text(sweep.parameters(point))})", "name") from error
        first = seen.setdefault(name, number)
        if first != number:
            raise _double(sweep, template, name, first, number)
        if not _PLAIN.fullmatch(name):
            try:
                check_name(name)
            except ValueError as error:
                raise _bad_name(sweep, point, name, error) from error
        yield name, point


def _double(sweep: Sweep, template: TextTemplate, name: str, first: int, second: int) -> SweepError:
    one, other = (
        point_text(sweep.parameters(point))
        for number, point in enumerate(sweep.points(), 1)
        if number in {first, second}
    )
    if one == other:
        return SweepError(
            f"the point {one} is there twice, as jobs {first:,} and {second:,}; remove one", "name"
        )
    unused = [name for name in sweep.names if name not in template.names and name not in sweep.unrecorded]
    advice = f"add {{{unused[0]}}} or {{{NUMBER}}} to the name" if unused else f"add {{{NUMBER}}} to the name"
    return SweepError(f"two jobs would be called {quoted(name)}: {one}; and {other}; {advice}", "name")


def _bad_name(sweep: Sweep, point: Point, name: str, error: ValueError) -> SweepError:
    size = len(name.encode())
    if size > MAX_NAME_BYTES:
        text = f"the name {quoted(name)} has {size:,} bytes; a name may have {MAX_NAME_BYTES}"
    else:
        text = str(error)
    advice = f"use {{{NUMBER}}} in the name, or other parameters"
    return SweepError(f"{text} (of {point_text(sweep.parameters(point))}); {advice}", "name")
