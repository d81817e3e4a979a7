"""Who may write which events.

The last token of a subject is the author, and the broker's permissions can confine a person or a node to
its own name. So a reader may believe the author; here stands which author a type of event takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import get_args

from distribute.core import events as ev
from distribute.core.events import ARCHIVER, SCHEDULER, Assigned, Event, Released


class AuthorKind(Enum):
    """Kinds of author. A person is any name that is no service's."""

    SCHEDULER = "the scheduler"
    ARCHIVER = "the archiver"
    NODE = "the node it names"
    PERSON = "a person"


AUTHORS: Mapping[str, AuthorKind] = {
    kind.model_fields["type"].default: author
    for author, kinds in {
        AuthorKind.PERSON: (
            ev.Submitted, ev.KillRequested, ev.RetryRequested, ev.Reprioritized, ev.Deleted,
            ev.PauseRequested, ev.DrainRequested, ev.Undrained, ev.Forgotten,
        ),
        AuthorKind.SCHEDULER: (
            ev.Completed, ev.BatchArchived, ev.Assigned, ev.Released, ev.Excused, ev.Lost, ev.Quarantined,
        ),
        AuthorKind.ARCHIVER: (ev.JobArchived,),
        AuthorKind.NODE: (
            ev.Claimed, ev.Started, ev.Finished, ev.Yielded, ev.Joined, ev.Leaving, ev.Left, ev.Paused,
            ev.Resumed, ev.BuildStarted, ev.BuildFinished,
        ),
    }.items()
    for kind in kinds
}  # fmt: skip
"""The kind of author of each type of event."""

SERVICES = frozenset({SCHEDULER, ARCHIVER})
"""Names that neither a person nor a node can have."""

_UNNAMED = {kind.model_fields["type"].default for kind in get_args(get_args(Event)[0])} - AUTHORS.keys()
assert not _UNNAMED, f"who writes {_UNNAMED}?"


def wrong_author(event: Event) -> str | None:
    """Why the event's author may not write it; None if he may."""
    kind, author = AUTHORS[event.type], event.author
    match kind:
        case AuthorKind.SCHEDULER:
            right = author == SCHEDULER
        case AuthorKind.ARCHIVER:
            right = author == ARCHIVER
        case AuthorKind.NODE:
            right = author == getattr(event, "node", None) and author not in SERVICES
        case AuthorKind.PERSON:
            right = author not in SERVICES
    return None if right else f"{author!r} wrote it, and only {kind.value} may"


def subject_author(event: Event) -> str:
    """Whose name ends the event's subject: for the scheduler's words to a node, the node; else the author."""
    if isinstance(event, Assigned | Released):
        return event.node
    return event.author
