"""Who may write which events.

The last token of a subject is the author, and the broker's permissions can confine a person or a node to
its own name. So a reader can trust the author; this module says which kind of author each type of event has.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from distribute.core.log import events as ev
from distribute.core.log.events import ARCHIVER, KINDS, NOTIFIER, SCHEDULER, Event, type_of


class AuthorKind(Enum):
    """Kinds of authors. A person has any name that no service has."""

    SCHEDULER = "the scheduler"
    ARCHIVER = "the archiver"
    NOTIFIER = "the notifier"
    NODE = "the node it names"
    PERSON = "a person"


AUTHORS: Mapping[str, AuthorKind] = {
    type_of(kind): author
    for author, kinds in {
        AuthorKind.PERSON: (
            ev.Submitted, ev.KillRequested, ev.RetryRequested, ev.Reprioritized, ev.Held, ev.HoldReleased,
            ev.Edited, ev.MoveRequested,
            ev.Deleted, ev.Collected, ev.BuildCollected, ev.PauseRequested, ev.ResumeRequested,
            ev.DrainRequested, ev.Undrained, ev.Forgotten, ev.Listed,
        ),
        AuthorKind.SCHEDULER: (
            ev.Completed, ev.BatchArchived, ev.Assigned, ev.StopOrdered, ev.Released, ev.Excused, ev.Lost,
            ev.Quarantined,
        ),
        AuthorKind.ARCHIVER: (ev.JobArchived, ev.Compacted),
        AuthorKind.NOTIFIER: (ev.Notified,),
        AuthorKind.NODE: (
            ev.Claimed, ev.Started, ev.Finished, ev.Yielded, ev.Joined, ev.Leaving, ev.Left, ev.Paused,
            ev.Resumed, ev.Superseded, ev.BuildStarted, ev.BuildFinished,
        ),
    }.items()
    for kind in kinds
}  # fmt: skip
"""The kind of author of each type of event."""

SERVICES = frozenset({SCHEDULER, ARCHIVER, NOTIFIER})
"""Names that neither a person nor a node can have."""

_UNNAMED = set(map(type_of, KINDS)) - AUTHORS.keys()
assert not _UNNAMED, f"who writes {_UNNAMED}?"


_SERVICE_OF = {
    AuthorKind.SCHEDULER: SCHEDULER,
    AuthorKind.ARCHIVER: ARCHIVER,
    AuthorKind.NOTIFIER: NOTIFIER,
}
_ONLY_AUTHOR: dict[type[Event], str] = {
    kind: _SERVICE_OF[author] for kind in KINDS if (author := AUTHORS[type_of(kind)]) in _SERVICE_OF
}
BY_A_NODE = frozenset(kind for kind in KINDS if AUTHORS[type_of(kind)] is AuthorKind.NODE)
"""Events that name a node, and that it alone may write."""
_BY_A_PERSON = frozenset(kind for kind in KINDS if AUTHORS[type_of(kind)] is AuthorKind.PERSON)
# `AUTHORS` by class, and without members of an enumeration, which are slow to get: a replay uses it for every
# event.


def wrong_author(event: Event) -> str | None:
    """Why the event's author may not write it; None if it is allowed."""
    author = event.author
    only = _ONLY_AUTHOR.get(type(event))
    if only is not None:
        is_right = author == only
    else:
        is_right = author not in SERVICES and (
            author == getattr(event, "node", None) or type(event) in _BY_A_PERSON
        )
    return None if is_right else f"{author!r} wrote it, and only {AUTHORS[event.type].value} may"


ADDRESSED: frozenset[type[Event]] = frozenset({ev.Assigned, ev.StopOrdered, ev.Released})
"""The scheduler's events that address a node: their subjects end with the name of the node."""


def subject_author(event: Event) -> str:
    """The name that ends the event's subject: the node that it addresses, or else the author."""
    if event.type == "assigned" or event.type == "released" or event.type == "stop_ordered":
        return event.node
    return event.author
