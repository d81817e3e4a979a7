"""The answers that say which nodes could run jobs: those of a new batch, and those that an edit changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from distribute.client.documents import Amounts


class TooLarge(TypedDict):
    """What a job asks for, and the most that any capable node has of each."""

    asked: Amounts
    most: Amounts


class MatchDocument(TypedDict):
    """How many of the `nodes` fit each shape of job, and how many nodes have each capability.

    `problem` says why some job could run on no node, not even on one that is away; None: every job could run
    somewhere. `too_large` is there if the job asks for too much. `away` names the nodes that some job waits
    for, because it could run on none of those that are here.
    """

    nodes: int
    fit: list[int]
    capabilities: dict[str, int]
    problem: str | None
    too_large: NotRequired[TooLarge | None]
    away: list[str]


class EditDocument(TypedDict):
    """What an edit changes: the `waiting` jobs. Those `in_flight` or `over` keep what they have.

    `unknown` names no job of the batch. `needs` is how many different needs its jobs would have. `match` says
    which nodes could run the jobs that would ask for something else. `lack_cpus` counts those of the waiting
    that take a whole node, and would get memory or GPUs, and no number of cpus.
    """

    waiting: int
    in_flight: int
    over: int
    unknown: list[str]
    needs: int
    match: MatchDocument
    lack_cpus: int
