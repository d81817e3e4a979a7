"""Judge links by where they lead, not by how they are written.

A job may write a link to its own result as an absolute path, or by way of a folder above. Such a link is
archived as a relative one, so that it still leads to the result after a pull.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from distribute.core.files.manifest import link_stays_inside

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
        if end is None:
            return target if _is_inside(name, target) else None  # a loop of links
        below = self._inside(end)
        if below is None:
            return None
        if (place(name), place(below)) == (name, below):
            for text in self._texts(name, target):
                if _is_inside(name, text) and self._stays(name, text):
                    return text
        return _relative(place(name), place(below))

    def _texts(self, name: bytes, target: bytes) -> Iterator[bytes]:
        """Targets that go the way of the job's own, by the same links: its own first."""
        yield target
        below = self._inside(target)
        if below is not None and b".." not in below.split(b"/"):
            yield _relative(name, below)

    def _inside(self, path: bytes) -> bytes | None:
        """The part of an absolute path that is below the folder. None: the path is not in it."""
        for folder in self._seen_as:
            if path == folder or path.startswith(folder + b"/"):
                return path[len(folder) :].strip(b"/")
        return None

    def _stays(self, name: bytes, target: bytes) -> bool:
        """Are all links on the way of a relative target archived, too?"""
        at = os.path.dirname(os.path.join(self._save, name))  # noqa: PTH118, PTH120 (bytes)
        for part in reversed(_steps(target)):
            at = _next(at, part)
            below, further = self._inside(at), _target_of(at)
            if further is not None and below is not None:
                end = self._end(below, further)
                if end is None or self._inside(end) is None:
                    return False
                at = end
        return True

    def _end(self, name: bytes, target: bytes) -> bytes | None:
        """Where the job gets through a link, following every link on the way. None: they lead in a loop."""
        at = os.path.dirname(os.path.join(self._save, name))  # noqa: PTH118, PTH120 (bytes)
        todo = _steps(target)
        links = 1
        while todo:
            part = todo.pop()
            at = _next(at, part)
            if at in self._seen_as:
                at = self._save
            further = _target_of(at) if part != b".." else None
            if further is None:
                continue
            links += 1
            if links > _MOST_LINKS:
                return None
            at = os.path.dirname(at)  # noqa: PTH120 (bytes)
            todo += _steps(further)
        return at


def _next(at: bytes, part: bytes) -> bytes:
    """One step on."""
    if part == b"..":
        return os.path.dirname(at)  # noqa: PTH120 (bytes)
    return os.path.join(at, part)  # noqa: PTH118 (bytes)


def _target_of(path: bytes) -> bytes | None:
    """The target of a link. None: there is no link."""
    try:
        return os.readlink(path)  # noqa: PTH115 (bytes)
    except OSError:
        return None


def _is_inside(name: bytes, target: bytes) -> bool:
    return link_stays_inside(os.fsdecode(name), os.fsdecode(target))


def _steps(target: bytes) -> list[bytes]:
    """The parts of a path, the first one last. An absolute path begins with `/`."""
    parts = [part for part in target.split(b"/") if part not in {b"", b"."}]
    return [*reversed(parts), *([b"/"] if target.startswith(b"/") else [])]


def _relative(name: bytes, below: bytes) -> bytes:
    """The target of the link `name` that leads to `below`. Both are paths in the folder."""
    return os.path.relpath(b"/" + below, b"/" + os.path.dirname(name))  # noqa: PTH120 (bytes)
