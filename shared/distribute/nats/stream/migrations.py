"""Migrate a cluster of an older layout when the head of a newer distribute starts.

`MIGRATIONS` holds a function for each layout number that needs one. The head runs those that the cluster
lacks, in order, and then raises the number. A migration must be repeatable: it runs again if it was
interrupted, and two heads may run it at once. Events are never rewritten: old ones are read through
`upcasters`.

| layout | what it brought |
|---|---|
| 1 | the first |
| 2 | builds as a scope of their own, with subjects of their own; nodes name the attempts that they keep |
| 3 | assignments and builds name the submission that they belong to |
| 4 | so do all events about a batch; a node's events about itself name its incarnation |
| 5 | last lines; modes, times of files; build timeouts; setup; kept kills; pauses; nodes listed; holds |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from distribute.nats.client.connection import Connection

Migration = Callable[[Connection], Awaitable[None]]

MIGRATIONS: Mapping[int, Migration] = {}
"""By the layout number that each leads to."""
