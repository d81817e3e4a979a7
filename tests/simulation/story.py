"""The story of one job, derived from the events without the fold."""

from __future__ import annotations

from dataclasses import dataclass

from distribute.core.files.manifest import StoredObject
from distribute.core.log import events as ev


class Broken(AssertionError):
    """An invariant is broken."""


def require(holds: bool, otherwise: str) -> None:
    """Raises `Broken`."""
    if not holds:
        raise Broken(otherwise)


@dataclass(slots=True)
class Story:
    """A job since its batch was submitted."""

    retries: int
    attempt: int = 0
    holder: str | None = None
    submission: str | None = None
    """The submission under which its last attempt was assigned."""
    claimed: bool = False
    started: bool = False
    launched: bool = False
    """Its process was started. Before that, its node may give it back, and the log not have that yet."""
    ordered: bool = False
    """The scheduler told its node to end it: a failure is none of the job's own."""
    moved: bool = False
    """A person wants the node that has it to give it back."""
    left_node: str | None = None
    """The node that gave it back because a person moved it. It shall run elsewhere, if it can."""
    failures: int = 0
    runs_again: bool = False
    """It runs again, once, whatever its retries are: it was to when a person changed them, or is excused."""
    suspect: str | None = None
    """The node at which it failed fast, if that was its last failure."""
    inexcusable: bool = False
    """A failure was taken back, or it failed at two nodes: its failures are its own."""
    to_be_killed: bool = False
    forgiven: bool = False
    """It failed, and a person had others run again since: so that counts for no `max_failures` any more."""
    given_up: bool = False
    """It never began, or was not tried again, because its batch ended before."""
    succeeded: bool = False
    outdated: bool = False
    """It runs after the others, and those run again since it began."""
    to_archive: bool = False
    """An attempt ended, and the archiver has not said that its outputs are there."""
    left: tuple[StoredObject, ...] = ()
    """What the last attempt that ended has left."""
    archived: tuple[StoredObject, ...] = ()
    """What can be pulled: of the last attempt that the archiver saw to, or that left nothing."""
    missing: bool = False
    """The archiver said that the last attempt's outputs are gone."""

    def begin(self, event: ev.Assigned) -> None:
        """An attempt at it is assigned."""
        self.attempt, self.holder, self.submission = event.attempt, event.node, event.submission
        self.claimed = self.started = self.launched = False
        self.ordered = self.outdated = self.moved = self.forgiven = False
        self.left_node = None
