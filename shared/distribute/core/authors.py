"""Who writes which events."""

from __future__ import annotations

from distribute.core.events import Assigned, Event, Released


def subject_author(event: Event) -> str:
    """Whose name ends the event's subject: for the scheduler's words to a node, the node; else the author."""
    if isinstance(event, Assigned | Released):
        return event.node
    return event.author
