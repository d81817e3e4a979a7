"""What must hold, whoever crashes: checked after every event, and whenever a job's process starts."""

from __future__ import annotations

from collections import Counter, deque

from distribute.core.checking.invariants import check, check_touched
from distribute.core.folding.fold import apply
from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import BatchState, State
from distribute.sim.computer import Process
from distribute.sim.loop import VirtualLoop
from distribute.sim.stored_files import StoredFiles
from distribute.snapshot import digest, dump, load

from . import ledgers
from .beginnings import Beginnings
from .changes import Asked, Edits
from .counting import count_given_back, count_kills
from .forgery import changes, is_forged
from .looking import Look
from .requests import Holds
from .stories import Broken, Stories, Verdict, require
from .subjects import copy_for, subject
from .trace import line_of

CHECK_EVERY, CHECK_ALL_EVERY = 4, 64
"""At every fourth event, what it touched must be right, and at every 64th everything; we keep that digest."""
TRACE_LENGTH = 400


class Truth:
    """The log folded as it grows, each job's story, and what really runs."""

    def __init__(self, loop: VirtualLoop, files: StoredFiles) -> None:
        self._loop = loop
        self.state = State()
        self.log: list[Recorded] = []
        self.digests: dict[int, str] = {}
        self.files = files
        self.printed: dict[tuple[JobId, int], list[bytes]] = {}
        """The lines that the processes of each attempt printed, of deleted batches of the same name, too."""
        self.stories = Stories(files)
        self.given: Counter[str] = Counter()
        """How many jobs each node was given."""
        self._claimed: set[tuple[JobId, int, str]] = set()
        self._assigned: set[tuple[JobId, int]] = set()
        self._launched: set[str] = set()
        self._kept: dict[tuple[JobId, int, str], Process] = {}
        self._taken: set[tuple[JobId, int]] = set()
        """Attempts that the scheduler took from their nodes, or told them to end."""
        self._asked = Asked()
        self.edits = Edits()
        self._over: set[BatchId] = set()
        """Batches that were over, if only for a time."""
        self._is_torn = False
        """Whether the log has lost its end, ever."""
        self._undeleted: set[BatchId] = set()
        """Batches whose deletion the log has lost. By then the archiver may have carried it out."""
        self.forgotten: set[BatchId | str] = set()
        """Batches, and nodes by name, of which the log has lost something."""
        self._archived: set[BatchId] = set()
        """Batches that were over and archived, if only for a time."""
        self.happened: Counter[str] = Counter()
        """How often what happened, so that it can be told whether enough does."""
        self._beginnings = Beginnings(self.happened)
        self.holds = Holds()
        self._looks: list[Look] = []
        self._trace: deque[tuple[float, str, object]] = deque(maxlen=TRACE_LENGTH)

    def note(self, who: str, what: object) -> None:
        """Remember what happened, for the story of a failure."""
        self._trace.append((self._loop.now, who, what))

    @property
    def trace(self) -> str:
        """What happened last."""
        return "\n".join(f"{now:9.3f}  {who:<12} {line_of(what)}" for now, who, what in self._trace)

    # --- events ------------------------------------------------------------------------------------

    def appended(self, recorded: Recorded) -> None:
        """An event came into the log."""
        event = recorded.event
        self.note("log", recorded)
        self.log.append(recorded)
        if is_forged(recorded):
            self._refused(recorded)
            return
        if isinstance(event, ev.Assigned):
            self.given[event.node] += 1
            self.happened["a last job begins"] += event.last is not None
            self._beginnings.begins(event, recorded.time, self.state, is_torn=self._is_torn)
        self.happened[f"released: {event.reason}" if isinstance(event, ev.Released) else event.type] += 1
        if isinstance(event, ev.JobArchived) and event.missing is not None:
            self.happened["results missing"] += 1
        elif isinstance(event, ev.Leaving):
            count_given_back(self.happened, self.state, event)
        self._note_for_ever(event)
        self.holds.note(recorded)
        self.edits.note(recorded, self.state.batches.get(event.scope) if event.about == "batch" else None)
        verdict = self._verdict_on(recorded)
        misfit = apply(self.state, recorded)
        self._asked.note(event, self.state, self._loop.now)
        if recorded.seq % CHECK_EVERY == 0:
            check_touched(self.state, event)
        if isinstance(event, ev.BatchArchived) and verdict is Verdict.FITS:
            self.stories.compare(self.state.batches[event.scope])
        if verdict is Verdict.FITS:
            require(misfit is None, self.state.last_misfit)
        else:
            self.happened[verdict.name.lower().replace("_", " ")] += 1
            if isinstance(event, ev.Assigned):
                # Its batch was replaced while it was on its way.
                self._taken.add((event.scope, event.attempt))
        count_kills(self.happened, self.state, event)
        self._note_looks()
        self._keep_digest(recorded)

    def _refused(self, recorded: Recorded) -> None:
        """A forgery came into the log. The fold has to refuse it."""
        event = recorded.event
        if changes(self.state, recorded):
            # The log may lack the word that the stories know, and the fold does not.
            is_torn = not isinstance(event, ev.NodeEvent) and event.batch_id in self.forgotten
            require(is_torn, f"{line_of(recorded)}: it is forged, and the fold accepts it")
        self.happened[f"forged: {event.type}"] += 1
        apply(self.state, recorded)
        self._keep_digest(recorded)

    def _keep_digest(self, recorded: Recorded) -> None:
        if recorded.seq % CHECK_ALL_EVERY == 0:
            check(self.state)
            self.digests[recorded.seq] = digest(self.state)

    def _verdict_on(self, recorded: Recorded) -> Verdict:
        if self._comes_too_late(recorded):
            return Verdict.ABOUT_NOTHING
        try:
            return self.stories.tell(recorded.event, self.state)
        except Broken as error:
            raise Broken(f"{line_of(recorded)}: {error}") from None

    def _comes_too_late(self, recorded: Recorded) -> bool:
        """Whether it does not fit, and need not: the log lost something of its batch.

        A lost word is said again when it may not fit any more, attempts and builds begin a second time, and
        a sequence that a guard names is given a second time.
        """
        event = recorded.event
        if subject(event) not in self.forgotten:
            return False
        if isinstance(event, ev.JobArchived) and not self._waits_for(event):
            return True  # the fold passes this by without calling it a misfit
        return apply(copy_for(event, self.state), recorded) is not None

    def _waits_for(self, event: ev.JobArchived) -> bool:
        batch = self.state.batches.get(event.batch_id)
        return batch is not None and batch.rows.get(event.job) in batch.unarchived

    def _is_lost(self, released: ev.Released) -> None:
        """A runner that starts anew, and never paused, gives up only what its computer has not any more."""
        node = self.state.nodes.get(released.node)
        if subject(released) in self.forgotten or (node is not None and node.pauses):
            return
        found = self._kept.get((released.scope, released.attempt, released.node))
        has_it = found is not None and found in found.computer.kept
        require(not has_it, f"{released.scope} is taken from {released.node}, which has it")

    def _note_for_ever(self, event: ev.Event) -> None:
        """What happened, happened, whatever the log loses."""
        match event:
            case ev.Assigned():
                # Given a second time, for the log lost the first: perhaps elsewhere, or with other resources.
                if (event.scope, event.attempt) in self._assigned:
                    self._taken.add((event.scope, event.attempt))
                self._assigned.add((event.scope, event.attempt))
            case ev.Submitted():
                self._beginnings.submitted(event, self.state)
                self.happened["a batch is replaced"] += event.replaces is not None
                self.happened["a job is kept"] += sum(job.kept is not None for job in event.spec.work.jobs)
                self.happened["a job goes on"] += self._going_on(event)
            case ev.Claimed():
                self._claimed.add((event.scope, event.attempt, event.node))
            case ev.Released():
                if event.reason in {"node_restarted", "node_rebooted"}:
                    self._is_lost(event)
                self._taken.add((event.scope, event.attempt))
            case ev.RetryRequested():
                self.happened["chosen jobs run again"] += event.jobs is not None
            case ev.StopOrdered():
                self._taken.add((event.scope, event.attempt))
            case ev.Completed() | ev.Deleted():
                self._over.add(event.scope)
                if isinstance(event, ev.Completed):
                    self._beginnings.completed(event)
            case ev.BatchArchived():
                self._archived.add(event.scope)
            case _:
                pass

    def _going_on(self, event: ev.Submitted) -> int:
        """How many jobs run, and go on in the batch that replaces theirs."""
        kept = [JobId(*event.scope, job.name) for job in event.spec.work.jobs if job.kept]
        stories = [self.stories.of[job] for job in kept if job in self.stories.of]
        return sum(story.holder is not None for story in stories)

    def lost(self, events: list[Recorded]) -> None:
        """The log has lost its end."""
        for recorded in events:
            self.note("log", f"has lost {line_of(recorded)}")
            self._is_torn = self.holds.is_torn = True
            self.forgotten.add(subject(recorded.event))
            self.happened["events lost"] += 1
            if isinstance(recorded.event, ev.Submitted):
                self.stories.vanish(recorded.event.scope)
            if isinstance(recorded.event, ev.Deleted) or (
                isinstance(recorded.event, ev.Submitted) and recorded.event.replaces is not None
            ):
                self._undeleted.add(recorded.event.scope)
            self.stories.lost_words.note(recorded.event)
        self.log = self.log[: -len(events)]
        last_seq = self.log[-1].seq if self.log else 0
        self.digests = {seq: digest for seq, digest in self.digests.items() if seq <= last_seq}
        self.state, self.stories = State(), self.stories.anew()
        for recorded in self.log:
            if not (is_forged(recorded) or self._comes_too_late(recorded)):
                self.stories.tell(recorded.event, self.state)
            apply(self.state, recorded)
        self.stories.checks = True
        self._note_looks()

    def agrees(self, state: State) -> None:
        """A scheduler's state is what the log adds up to: however it was restarted, whatever came twice."""
        if state.seq % CHECK_ALL_EVERY:
            return
        if self._is_torn or self._lacks_compacted(state.seq):
            return  # it may not have heard yet that the log is another one
        expected = self.digests.get(state.seq)
        if expected is not None and digest(state) != expected:
            raise Broken(f"a scheduler's state at event {state.seq} is not what the log adds up to")

    def _lacks_compacted(self, seq: int) -> bool:
        """May a reader that is this far lack events that were moved into an archive meanwhile?

        It reads anew once it meets the compaction.
        """
        return any(
            isinstance(one.event, ev.Compacted) and one.event.first_seq <= seq < one.seq for one in self.log
        )

    def agrees_in_the_end(self, service: str, state: State) -> None:
        """The state of a service that has read the whole log is what the log adds up to."""
        seq = self.state.seq
        if seq not in self.digests:
            self.digests[seq] = digest(self.state)
        if state.seq == seq and digest(state) != self.digests[seq]:
            raise Broken(f"the {service}'s state at event {seq}, the last, is not what the log adds up to")

    # --- what really runs --------------------------------------------------------------------------

    def launched(self, process: Process) -> None:
        """A process was started."""
        unit, computer = process.unit, process.computer
        self.note(computer.name, f"runs {unit}")
        if not isinstance(unit.of, JobId):
            return
        job, attempt = unit.of, unit.attempt
        record = unit.record
        assigned = record.assigned_id if record is not None else ""
        require(assigned not in self._launched, f"{computer.name} runs {unit} a second time")
        self._launched.add(assigned)
        self._kept[job, attempt, computer.name] = process
        if (story := self.stories.of.get(job)) and (story.attempt, story.holder) == (attempt, computer.name):
            story.launched = True
        claimed = (job, attempt, computer.name) in self._claimed
        require(claimed, f"{computer.name} runs {job} without a claim in the log")
        shares = [other.unit.share for other in computer.running if other.unit.attempt]
        cpus = sum(share.cpus for share in shares)
        require(cpus <= computer.cpus, f"{computer.name} runs jobs for {cpus} of {computer.cpus} cpus")
        memory = sum(share.memory_bytes for share in shares)
        require(memory <= computer.memory_bytes, f"{computer.name} runs jobs for {memory} bytes")
        gpus = [gpu for share in shares for gpu in share.gpus]
        require(len(gpus) == len(set(gpus)), f"{computer.name} gives a GPU to two jobs: {gpus}")
        require(set(gpus) <= set(range(len(computer.gpus))), f"{computer.name} has no such GPUs: {gpus}")

    def gone(self, process: Process) -> None:
        """A process is gone, in a world without trouble, and its runner lives."""
        if isinstance(process.unit.of, JobId):
            self._asked.gone(process, process.unit.of, self._loop.now)

    def stopped(self, process: Process) -> None:
        """A living node-runner, which goes on, ends a job."""
        job = process.unit.of
        if isinstance(job, JobId):
            is_over = (job, process.unit.attempt) in self._taken or job.batch_id in self._over
            require(is_over, f"{process.computer.name} stops {process.unit}, which nobody took from it")

    # --- results -----------------------------------------------------------------------------------

    def results_are_there(self) -> None:
        """What was archived can be pulled."""
        for job, story in self.stories.of.items():
            is_archived = story.succeeded and not story.to_archive and not story.missing
            if is_archived and not self.may_be_deleted(job.batch_id):
                there = all(map(self.files.is_committed, story.left))
                require(there, f"the results of {job} are archived, and gone")

    def may_be_deleted(self, batch: BatchId) -> bool:
        """Has the log lost a deletion of the batch, which the archiver may have carried out by then?"""
        return batch in self._undeleted

    def told_archived(self, batch: BatchId) -> None:
        """A person was told that a batch is over, and that its results can be pulled."""
        require(batch in self._archived, f"a person was told that {batch} is archived")

    def read_output(self, job: JobId, attempt: int, text: bytes) -> None:
        """A person was shown this as what an attempt printed."""
        printed = self.printed.get((job, attempt), [])
        foreign = [line for line in text.splitlines(keepends=True) if line not in printed]
        require(not foreign, f"people read {foreign}, and attempt {attempt} of {job} did not print that")

    def read_archived_output(self, job: JobId, text: bytes) -> None:
        """A person was shown this as what a job printed whose last attempt is over and archived."""
        expected = b"".join(self.files.content(stored) for stored in self.stories.of[job].archived)
        require(text == expected, f"of {job}, people read {text!r}, and not {expected!r}")

    def submission_of(self, batch: BatchId) -> str | None:
        """The id of the submission of a batch; None: there is no such batch."""
        found = self.state.find(batch)
        return None if found is None else found.submission

    def look(self, batch: BatchId) -> Look:
        """A person begins to look at a batch's results."""
        look = Look(batch)
        look.note(self.state, self.stories)
        self._looks.append(look)
        return look

    def _note_looks(self) -> None:
        for look in self._looks:
            look.note(self.state, self.stories)

    # --- the end -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """The last check: of every job, and of replay."""
        check(self.state)
        for batch in self.state.batches.values():
            self.stories.compare(batch)
            self._quotes_what_was_printed(batch)
        for usage in self.state.usage.values():
            require(usage.cores == 0 or bool(self.unended()), f"cores are held by nobody: {usage}")
        self.results_are_there()
        ledgers.add_up(self.log, self.state, self.happened)
        self._replay()

    def _quotes_what_was_printed(self, batch: BatchState) -> None:
        """What the state has as the last line of a failed job, that job printed, in an attempt of its own."""
        for row, line in batch.last_lines.items():
            job = batch.job_id(row)
            attempts = range(1, batch.attempts[row] + 1)
            printed = {text.decode().strip() for n in attempts for text in self.printed.get((job, n), ())}
            require(
                line in printed | {""}, f"{job} failed, and is quoted with {line!r}: it did not print that"
            )

    def unended(self) -> list[BatchId]:
        return [batch.id for batch in self.state.batches.values() if batch.end is None]

    def _replay(self) -> None:
        """The first half of the log, a snapshot of it, and the second half add up to the same."""
        whole = self.digests.get(self.state.seq) or digest(self.state)
        middle = self.log[len(self.log) // 2].seq if self.log else 0
        state = State()
        for recorded in self.log:
            apply(state, recorded)
            if recorded.seq == middle:
                state = load(dump(state))
        require(digest(state) == whole, "a replay, by way of a snapshot, adds up to something else")
