"""Judge links by where they lead, not by how they are written.

A job may write a link to its own result as an absolute path, or by way of a folder above. Such a link is
archived as a relative one, so that it still leads to the result after a pull.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from distribute.core.manifest import link_stays_inside

_MOST_LINKS = 40
"""Max. links on the way of a path, as the kernel has it."""


class Links:
    """The links in a folder of results."""

    def __init__(self, save: bytes, seen_as: Sequence[bytes] = ()) -> None:
        """`save` is the folder's path, without links. `seen_as` are paths under which the job saw it."""
        self._save = save
        self._seen_as = (save, *seen_as)

    def archived(
        self, name: bytes, target: bytes, place: Callable[[bytes], bytes] = lambda name: name
    ) -> bytes | None:
        """The target to archive for the link `name`. None: the link leads out of the folder.

        `place` gives the path under which a file of the folder is archived.
        """
        end = self._end(name, target)
        below = self._inside(end) if end is not None else None
        if end is not None and below is None:
            return None
        if below is not None and (place(name), place(below)) != (name, below):
            return _relative(place(name), place(below))
        for text in self._texts(name, target, below):
            if link_stays_inside(os.fsdecode(name), os.fsdecode(text)):
                return text
        return None

    def _texts(self, name: bytes, target: bytes, end: bytes | None) -> Iterator[bytes]:
        """Targets that lead to the same place, first the one that the job wrote."""
        yield target
        below = self._inside(target)
        if below is not None and b".." not in below.split(b"/"):
            yield _relative(name, below)
        if end is not None:
            yield _relative(name, end)

    def _inside(self, path: bytes) -> bytes | None:
        """The part of an absolute path that is below the folder. None: the path is not in it."""
        for folder in self._seen_as:
            if path == folder or path.startswith(folder + b"/"):
                return path[len(folder) :].strip(b"/")
        return None

    def _end(self, name: bytes, target: bytes) -> bytes | None:
        """Where the job gets through a link, following every link on the way. None: they lead in a loop."""
        at = os.path.dirname(os.path.join(self._save, name))  # noqa: PTH118, PTH120 (bytes)
        todo = _steps(target)
        links = 1
        while todo:
            part = todo.pop()
            if part == b"..":
                at = os.path.dirname(at)  # noqa: PTH120 (bytes)
                continue
            at = os.path.join(at, part)  # noqa: PTH118 (bytes)
            if at in self._seen_as:
                at = self._save
            try:
                further = os.readlink(at)  # noqa: PTH115 (bytes)
            except OSError:
                continue  # no link, or nothing is there
            links += 1
            if links > _MOST_LINKS:
                return None
            at = os.path.dirname(at)  # noqa: PTH120 (bytes)
            todo += _steps(further)
        return at


def _steps(target: bytes) -> list[bytes]:
    """The parts of a path, the first one last. An absolute path begins with `/`."""
    parts = [part for part in target.split(b"/") if part not in {b"", b"."}]
    return [*reversed(parts), *([b"/"] if target.startswith(b"/") else [])]


def _relative(name: bytes, below: bytes) -> bytes:
    """The target of the link `name` that leads to `below`. Both are paths in the folder."""
    return os.path.relpath(b"/" + below, b"/" + os.path.dirname(name))  # noqa: PTH120 (bytes)
