"""The people of the simulated world: they submit, kill, retry, delete, drain. As the command line does it:
look at how things stand, append behind that, and look again if something came between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from distribute.core import events as ev
from distribute.core.ids import BatchId, NodeId
from distribute.core.recorded import Guard, guard_scope
from distribute.core.specs import BatchSpec
from distribute.core.state import ENDED, BatchState, Status
from distribute.sim.stored_events import StoredEvents

from .process import WorldProcess
from .scenario import Verb

ASK_AGAIN_S = 3.0

Words = Callable[[BatchState], ev.Event | None]
"""What to say of a batch as it stands; None: nothing."""


class Person(WorldProcess):
    """Everybody who sits at a command line."""

    def submit(self, spec: BatchSpec, user: str) -> None:
        """Hand in a batch, if its name is free."""

        def standing(found: tuple[int, BatchState | None]) -> None:
            last_seq, batch = found
            if batch is not None:
                return
            event = ev.Submitted(**self._stamp(), **spec.id._asdict(), user=user, spec=spec)
            self.append(event, Guard(last_seq), lambda _: None)

        self._ask(spec.id, standing)

    def request(self, verb: Verb, of: BatchId | None = None) -> None:
        """Do one thing to something."""
        random, state = self.loop.random, self.world.truth.state
        if verb in {"drain", "undrain"}:
            if state.nodes:
                self._say_of_node(verb, random.choice(sorted(state.nodes)))
            return
        if not state.batches:
            return
        batch = state.batches.get(of or random.choice(sorted(state.batches)))
        if batch is None:
            return
        names, job, priority = batch.id._asdict(), random.choice(batch.names), random.randint(-9, 9)
        match verb:
            case "kill":
                self._say(batch.id, self._kill)
            case "kill_job":
                self._say(batch.id, lambda batch: self._kill_job(batch, job))
            case "retry":
                failed_only = random.random() < 0.5
                self._say(batch.id, lambda batch: self._retry(batch, failed_only))
            case "reprioritize":
                self._say(batch.id, lambda _: ev.Reprioritized(**self._stamp(), **names, priority=priority))
            case "delete":
                self._delete(batch.id, lambda: None)
            case "replace":
                self._replace(batch.id)
            case _:
                raise AssertionError(f"nobody can {verb}")

    def undrain(self, node: str) -> None:
        """Let a node take jobs again."""
        self._say_of_node("undrain", node)

    # --- what to say -------------------------------------------------------------------------------

    def _kill(self, batch: BatchState) -> ev.Event | None:
        if batch.end is not None:
            return None
        return ev.KillRequested(**self._stamp(), **batch.id._asdict())

    def _kill_job(self, batch: BatchState, job: str) -> ev.Event | None:
        if batch.end is not None or job not in batch.rows or batch.status[batch.rows[job]] in ENDED:
            return None
        return ev.KillRequested(**self._stamp(), **batch.id._asdict(), job=job)

    def _retry(self, batch: BatchState, failed_only: bool) -> ev.Event | None:
        unhappy = batch.counts[Status.FAILED] + (0 if failed_only else batch.counts[Status.KILLED])
        if not unhappy or (batch.kill_all and batch.end is None):
            return None
        return ev.RetryRequested(**self._stamp(), **batch.id._asdict(), failed_only=failed_only)

    def _delete(self, batch_id: BatchId, then: Callable[[], None]) -> None:
        """Kill the batch if it is not over, wait for its end, and delete it."""

        def words(batch: BatchState) -> ev.Event | None:
            if batch.end is not None:
                return ev.Deleted(**self._stamp(), **batch_id._asdict())
            return None if batch.kill_all else self._kill(batch)

        def said(event: ev.Event | None) -> None:
            if isinstance(event, ev.Deleted):
                then()
            else:
                self.after(ASK_AGAIN_S, lambda: self._delete(batch_id, then))

        self._say(batch_id, words, said)

    def _replace(self, batch_id: BatchId) -> None:
        spec, user = next(
            (spec, user) for _, spec, user in self.world.scenario.submissions if spec.id == batch_id
        )
        self._delete(batch_id, lambda: self.submit(spec, user))

    # --- how to say it -----------------------------------------------------------------------------

    def _ask(self, batch_id: BatchId, then: Callable[[tuple[int, BatchState | None]], None]) -> None:
        """The last sequence of a batch's scope, and how it stands, both from the log itself."""
        state = self.world.truth.state
        self.ask(lambda stored: (stored.last_seq_of(batch_id), state.batches.get(batch_id)), then)

    def _say(
        self, batch_id: BatchId, words: Words, then: Callable[[ev.Event | None], None] = lambda _: None
    ) -> None:
        """Say something of a batch, as it stands at the moment of reading: by the time the answer is here,
        things may have moved on. `then` learns what was said; where there is no such batch, it does not."""
        state = self.world.truth.state

        def look(stored: StoredEvents) -> tuple[int, bool, ev.Event | None]:
            batch = state.batches.get(batch_id)
            event = words(batch) if batch is not None else None
            last_seq = stored.last_seq_of(guard_scope(event)) if event is not None else 0
            return last_seq, batch is not None, event

        def speak(found: tuple[int, bool, ev.Event | None]) -> None:
            last_seq, there, event = found
            if event is not None:
                self.append(event, Guard(last_seq), lambda seq: answered(event, seq))
            elif there:
                then(None)

        def answered(event: ev.Event, seq: int | None) -> None:
            if seq is None:
                self._say(batch_id, words, then)
            else:
                then(event)

        self.ask(look, speak)

    def _say_of_node(self, verb: Verb, node: str) -> None:
        event: ev.Event = (
            ev.DrainRequested(**self._stamp(), node=node)
            if verb == "drain"
            else ev.Undrained(**self._stamp(), node=node)
        )

        def append(last_seq: int) -> None:
            self.append(event, Guard(last_seq), answered)

        def answered(seq: int | None) -> None:
            if seq is None:
                self._say_of_node(verb, node)

        self.ask(lambda stored: stored.last_seq_of(NodeId(node)), append)

    def _stamp(self) -> dict[str, Any]:
        time = datetime.fromtimestamp(self.clock(), UTC)
        return {"id": self.new_id(), "time": time, "author": "jane"}
