"""What people and programs are told of files that a job left outside its folder of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.words import printable
from distribute.config.sections.units import format_size
from distribute.core.spec.recipe import SAVE
from distribute.core.words import counted

if TYPE_CHECKING:
    from distribute.client.documents import OutsideDocument
    from distribute.core.files.manifest import Outside
    from distribute.core.log.events import Ending
    from distribute.core.projections.attempts import AttemptRecord


def outside_document(outside: Outside) -> OutsideDocument:
    """As JSON has it."""
    return {
        "files": outside.files,
        "size_bytes": outside.size_bytes,
        "largest": [{"path": file.path, "size_bytes": file.size_bytes} for file in outside.largest],
        "is_part": outside.is_part,
    }


def outside_of(ended: Ending | AttemptRecord | None) -> OutsideDocument | None:
    """What an attempt left outside. None: nothing, or it is not over."""
    if ended is None or ended.outputs is None or ended.outputs.outside is None:
        return None
    return outside_document(ended.outputs.outside)


def told_of_outside(outside: OutsideDocument) -> str:
    """A line that names the largest files that were left outside."""
    largest = outside["largest"]
    names = ", ".join(f"{printable(file['path'])} ({format_size(file['size_bytes'])})" for file in largest)
    if outside["files"] == 1 and names and not outside["is_part"]:
        return f"a file outside ./{SAVE} is not archived: {names}"
    least = "at least " if outside["is_part"] else ""
    count = f"{least}{counted(outside['files'], 'file')} ({format_size(outside['size_bytes'])})"
    first = f"the largest are {names}" if outside["files"] > len(largest) else names
    return f"{count} outside ./{SAVE} are not archived: {first}"
