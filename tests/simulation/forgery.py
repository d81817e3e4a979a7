"""Forged events: anybody on the network can publish them, past every guard. Nobody may act on one.

Each is readable, or nearly so, and wrong in one way: by what the stories say, the fold must refuse it. Left
out are assignments in the scheduler's name: a node can't tell them from true ones (see `machine`), so only
the broker's permissions can keep people from writing them.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from distribute.core.folding.fold import apply
from distribute.core.ids import BatchId, BuildId, JobId, NodeId, Scope
from distribute.core.log import events as ev
from distribute.core.log.event_base import EARLIEST, LATEST
from distribute.core.log.events import ARCHIVER, SCHEDULER
from distribute.core.log.recorded import Recorded
from distribute.core.state.packing import unpack
from distribute.core.state.state import State
from distribute.snapshot import digest

if TYPE_CHECKING:
    from .stories import Story
    from .world import World

FAR_AWAY = (EARLIEST.isoformat(), LATEST.isoformat(), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
"""The first and last time that an event may have, and two that none may have."""
FORGED = "forged-"
"""The ids of all forgeries begin with this."""
STRANGER = "mallory"
BY_NODES = ("claimed", "started", "finished", "yielded")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Forgery:
    """A message, and the scope on whose subject it is published."""

    scope: Scope
    body: bytes


class Forger:
    """Somebody who reads the log, and publishes what looks like the next word of an author."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        self._truth = world.truth

    def forge(self) -> Forgery | None:
        """Make one. None: there is nothing yet that it could be about."""
        kinds = (
            self._of_attempt,
            self._of_attempt,
            self._of_collecting,
            self._of_archive,
            self._of_compaction,
            self._of_end,
            self._of_build,
            self._of_node,
        )
        made = self._random.choice(kinds)()
        if made is None:
            return None
        scope, told = made
        told = {"id": f"{FORGED}{self._world.loop.next_number():X}", "time": self._time(), **told}
        return Forgery(scope, orjson.dumps(told))

    def _time(self) -> str:
        if self._random.random() < 0.3:
            return self._random.choice(FAR_AWAY)
        return "2026-01-01T00:00:00Z"

    def _of_attempt(self) -> tuple[Scope, Json] | None:
        """A word about a job that a node has, by another node, of another attempt or of another's story."""
        held = [(job, story) for job, story in sorted(self._truth.stories.of.items()) if story.holder]
        if not held:
            return None
        job, story = self._random.choice(held)
        assert story.holder is not None, "only such jobs were looked at"
        told: Json = {
            "type": self._random.choice(BY_NODES),
            **job._asdict(),
            "node": story.holder,
            "author": story.holder,
            "attempt": story.attempt,
            "causation": self._cause_of(job),
        }
        further: dict[object, Json] = {"finished": {"succeeded": True}, "yielded": {"reason": "mood"}}
        told |= further.get(told["type"], {})
        wrongs: tuple[Callable[[], Json], ...] = (
            lambda: dict.fromkeys(("node", "author"), self._other_node(story)),
            lambda: {"author": self._random.choice((self._other_node(story), STRANGER, SCHEDULER))},
            lambda: {"attempt": self._random.choice((story.attempt + 1, max(1, story.attempt - 1) + 1000))},
            lambda: {"causation": "of-another-story"},
            lambda: {"type": "released", "reason": "killed"},  # by the node
            lambda: {
                "type": "released",
                "reason": "killed",
                "author": SCHEDULER,
                "attempt": story.attempt + 1,
            },
        )
        return job, told | self._random.choice(wrongs)()

    def _of_collecting(self) -> tuple[Scope, Json] | None:
        """A word that a job has ended elsewhere, which a node of this lab has or will get."""
        batches = self._truth.state.batches
        here = [job for job in sorted(self._truth.stories.of) if job.batch_id in batches]
        here = [job for job in here if batches[job.batch_id].ran_at is None]
        if not here:
            return None
        job = self._random.choice(here)
        batch = batches[job.batch_id]
        told: Json = {
            "type": "collected",
            **job._asdict(),
            "node": self._random.choice(("nid001", *sorted(self._truth.state.nodes))),
            "author": self._random.choice((batch.user, STRANGER)),
            "attempt": batch.attempts[batch.rows[job.job]] + 1,
            "submission": self._random.choice((batch.submission, "of-another-batch")),
            "state": self._random.choice(("succeeded", "failed", "killed")),
            "ended_at": self._time(),
        }
        return job, told

    def _of_archive(self) -> tuple[Scope, Json] | None:
        """A word that a job's results are archived, or lost, while the archiver is at work on them."""
        left = [(job, story) for job, story in sorted(self._truth.stories.of.items()) if story.to_archive]
        if not left:
            return None
        job, story = self._random.choice(left)
        told = {
            "type": "job_archived",
            **job._asdict(),
            "node": self._other_node(story),
            "author": ARCHIVER,
            "attempt": story.attempt,
            "causation": "of-another-story",
            "missing": self._random.choice((None, "the disk burnt")),
        }
        wrongs: tuple[Json, ...] = ({}, {"author": STRANGER}, {"attempt": story.attempt + 1})
        return job, told | self._random.choice(wrongs)

    def _of_compaction(self) -> tuple[Scope, Json] | None:
        """A word that events of a batch were moved into an archive, which is not so, or is so already."""
        state = self._truth.state
        open_ = [batch_id for batch_id, batch in sorted(state.batches.items()) if batch.end is None]
        batches = sorted(state.compacted) * 2 + open_
        if not batches:
            return None
        batch_id = self._random.choice(batches)
        batch = state.find(batch_id)
        assert batch is not None, "it is there"
        last_seq = self._random.choice((1, batch.first_seq, batch.under_seq, state.seq, 2**60))
        told: Json = {
            "type": "compacted",
            **batch_id._asdict(),
            "author": ARCHIVER,
            "submission": self._random.choice((batch.submission, "of-another-batch")),
            "by": STRANGER,
            "archive": self._random.choice(("0" * 64, *self._world.broker.files.inputs)),
            "events": self._random.choice((1, 2, 9)),
            "first_seq": self._random.choice((1, batch.first_seq, last_seq)),
            "last_seq": last_seq,
        }
        return batch_id, told

    def _of_end(self) -> tuple[Scope, Json] | None:
        """A word that a batch has ended while nodes have jobs of it, or that it is submitted once more.

        A scheduler that has not read that a batch is over may give a job of it to a node. It is over even so.
        """
        batches = self._truth.state.batches
        held = sorted(
            {
                job.batch_id
                for job, story in self._truth.stories.of.items()
                if story.holder and job.batch_id in batches and batches[job.batch_id].end is None
            }
        )
        if not held:
            return None
        batch = self._random.choice(held)
        ends: tuple[Json, ...] = (
            {"type": "completed", "state": "completed", "author": SCHEDULER},
            {"type": "completed", "state": "failed", "reason": "forged", "author": SCHEDULER},
            {"type": "completed", "state": "killed", "author": STRANGER},
            {"type": "batch_archived", "author": SCHEDULER},
            {"type": "deleted", "author": STRANGER},
            self._submission_of(batch),
        )
        return batch, {**batch._asdict(), **self._random.choice(ends)}

    def _submission_of(self, batch: BatchId) -> Json:
        spec = self._random.choice([spec for _, spec, _ in self._world.scenario.submissions])
        told = {"type": "submitted", "author": STRANGER, "user": STRANGER}
        if spec.id == batch:
            told["replaces"] = self._truth.state.batches[batch].submission
        return {**told, "spec": spec.model_dump(mode="json", exclude_none=True)}

    def _of_build(self) -> tuple[Scope, Json] | None:
        """A word about a build that nobody began, or of a batch that was deleted."""
        batches, nodes = sorted(self._truth.state.batches), sorted(self._truth.state.nodes)
        if not (batches and nodes):
            return None
        batch, node = self._random.choice(batches), self._random.choice(nodes)
        told: Json = {**batch._asdict(), "node": node, "author": node, "causation": "of-another-story"}
        submission = self._truth.state.batches[batch].submission
        words: tuple[Json, ...] = (
            {"type": "build_started", "submission": "of-another-batch"},
            {"type": "build_finished", "succeeded": True},
            {"type": "build_finished", "succeeded": False, "reason": "forged"},
            {"type": "build_finished", "succeeded": True, "author": STRANGER},
            {"type": "build_collected", "succeeded": False, "submission": submission, "author": STRANGER},
        )
        told |= self._random.choice(words)
        return BuildId(batch, node), told

    def _of_node(self) -> tuple[Scope, Json] | None:
        """A word about a node that is here, by somebody who can't know or want that."""
        here = [node.name for _, node in sorted(self._truth.state.nodes.items()) if node.presence == "here"]
        if not here:
            return None
        node = self._random.choice(here)
        words: tuple[Json, ...] = (
            {"type": "forgotten"},
            {"type": "left"},
            {"type": "lost", "silent_s": 60.0},
            {"type": "leaving", "keeps": []},
        )
        return NodeId(node), {"node": node, "author": STRANGER, **self._random.choice(words)}

    def _cause_of(self, job: JobId) -> str:
        """The id of the last true event about a job."""
        return next(
            recorded.event.id
            for recorded in reversed(self._truth.log)
            if recorded.event.scope == job and not is_forged(recorded)
        )

    def _other_node(self, story: Story) -> str:
        """A node that does not have the job."""
        others = [name for name in sorted(self._truth.state.nodes) if name != story.holder]
        return self._random.choice([*others, STRANGER])


def is_forged(recorded: Recorded) -> bool:
    return recorded.event.id.startswith(FORGED)


def changes(state: State, recorded: Recorded) -> bool:
    """Does an event change more of a state than what was read last?"""
    before, after = deepcopy(state), deepcopy(state)
    apply(after, recorded)
    return _digest_but_for_sequences(before, recorded.event) != _digest_but_for_sequences(
        after, recorded.event
    )


def _digest_but_for_sequences(state: State, event: ev.Event) -> str:
    state.seq = state.misfits = 0
    state.time, state.cause, state.last_misfit = 0.0, "", ""
    if isinstance(event, ev.NodeEvent):
        if (node := state.nodes.get(event.node)) is not None:
            node.last_seq, node.cause = 0, ""
    elif (batch := state.batches.get(event.batch_id) or unpack(state, event.batch_id)) is not None:
        batch.under_seq = 0
        if isinstance(event, ev.BatchEvent):
            batch.last_seq = 0
        elif isinstance(event, ev.JobEvent) and event.job in batch.rows:
            batch.job_seq[batch.rows[event.job]] = 0
    elif (compacted := state.compacted.get(event.batch_id)) is not None:
        state.compacted[event.batch_id] = replace(compacted, under_seq=0)
    return digest(state)
