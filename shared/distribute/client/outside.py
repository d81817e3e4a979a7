"""What people are told of files that a job left outside its folder of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.words import printable
from distribute.config.units import format_size
from distribute.core.recipe import SAVE
from distribute.core.words import counted

if TYPE_CHECKING:
    from distribute.core.manifest import Outside, OutsideFile


def told_of_outside(outside: Outside) -> str:
    """A line that names the largest files that were left outside."""
    named = ", ".join(map(_named, outside.largest))
    if outside.files == 1 and named and not outside.is_part:
        return f"a file outside ./{SAVE} is not archived: {named}"
    least = "at least " if outside.is_part else ""
    count = f"{least}{counted(outside.files, 'file')} ({format_size(outside.size_bytes)})"
    rest = outside.files - len(outside.largest)
    first = f"the largest are {named}" if rest else named
    return f"{count} outside ./{SAVE} are not archived: {first}"


def _named(file: OutsideFile) -> str:
    return f"{printable(file.path)} ({format_size(file.size_bytes)})"
