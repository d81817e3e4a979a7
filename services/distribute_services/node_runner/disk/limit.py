"""The limit of what a node keeps on its disk for later: cached inputs and builds, together."""

from __future__ import annotations

from typing import Protocol

DEFAULT_MAX_BYTES = 20 * 2**30


class Shelf(Protocol):
    """Things that are kept. Only those that nothing uses can be removed."""

    @property
    def size_bytes(self) -> int:
        """The bytes of all of them."""

    def oldest_use(self) -> float | None:
        """When the one that is unused for longest was last used, in seconds since 1970.

        Returns None if all are in use.
        """

    def remove_oldest(self) -> None:
        """Remove that one."""


class Limit:
    """Removes from several shelves what was unused for longest, so that together they take `max_bytes`."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._shelves: list[Shelf] = []

    def covers(self, shelf: Shelf) -> None:
        """Count this shelf, too."""
        self._shelves.append(shelf)

    def make_room(self, needed_bytes: int = 0) -> None:
        """Remove until `needed_bytes` more fit, or all that is left is in use."""
        while sum(shelf.size_bytes for shelf in self._shelves) + needed_bytes > self._max_bytes:
            if not self._remove_oldest():
                return

    def empty(self) -> bool:
        """Remove all that is not in use. Returns False if there was nothing."""
        was_any = False
        while self._remove_oldest():
            was_any = True
        return was_any

    def _remove_oldest(self) -> bool:
        unused = [
            (used_at, number)
            for number, shelf in enumerate(self._shelves)
            if (used_at := shelf.oldest_use()) is not None
        ]
        if unused:
            self._shelves[min(unused)[1]].remove_oldest()
        return bool(unused)
