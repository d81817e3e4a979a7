"""How units ended, until the runner has read it, and what the runner noted beside them for a later one."""

from __future__ import annotations

import json
import os

from distribute_services.node_runner.keeper import lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]


class Exits:
    """The exits of units, in memory and in files."""

    def __init__(self, report: Callable[[Message], None]) -> None:
        self.of: dict[str, Message] = {}
        """How units ended that were not forgotten yet."""
        self.notes: dict[str, Message] = {}
        """What the runner noted beside units, for a later one. Kept until they are forgotten."""
        self._report = report
        self._unsaved: dict[str, tuple[str, Message]] = {}

    def add(self, name: str, ended: Message, path: str | None) -> None:
        """A unit has ended. `path` is the file that `save` writes; None: no file."""
        self.of[name] = ended
        if path is not None:
            self._unsaved[name] = (path, ended)

    def forget(self, name: str) -> None:
        """The runner needs this unit's exit no more."""
        self.of.pop(name, None)
        self.notes.pop(name, None)
        self._unsaved.pop(name, None)

    def disown(self, name: str) -> None:
        """No later runner is to take this unit up."""
        self.notes.pop(name, None)

    def save(self) -> None:
        """Write the exits that are in memory only."""
        for name, (path, ended) in self._unsaved.items():
            part = f"{path}.part"
            beside = {"unit": name, "note": self.notes.get(name), "boot_id": lease.boot_id()}
            try:
                with open(part, "w", encoding="ascii") as file:  # noqa: PTH123 (no pathlib here)
                    json.dump({**ended, **beside}, file)
                os.replace(part, path)  # noqa: PTH105
            except OSError as error:
                self._report({"type": "note", "text": f"the end of a job could not be noted: {error}"})
        self._unsaved.clear()
