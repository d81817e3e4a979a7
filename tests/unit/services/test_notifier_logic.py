"""What a notifier tells, by which events, and how it goes on after a restart: without I/O."""

from __future__ import annotations

from typing import Any

import pytest

from distribute.core.errors import LogReplaced
from distribute.core.files.manifest import Outputs
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.slices import at_once
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.batch_record import changing_pieces, fixed_pieces, seal
from distribute.core.state.packing import pack
from distribute.core.state.state import State
from distribute.snapshot import dump, load
from distribute.testing import builders as make
from distribute_services.notifier.logic import MOST_SINGLE, RECALLED, Letter, Outbox, note_of, queues_of


class Notifier:
    """A notifier's pure part, and the log that it reads."""

    def __init__(self, *channels: str) -> None:
        self.channels = channels or ("mail",)
        self.log: list[Recorded] = []
        self.note: dict[str, Any] = {}
        self.outbox = Outbox(State(), queues_of({}, self.channels, 0))

    def happen(self, *events: Event) -> None:
        for event in events:
            time = make.EPOCH.timestamp() + len(self.log)
            self.log.append(Recorded(len(self.log) + 1, time, event))
            self.outbox.deliver(self.log[-1])

    def take(self, channel: str = "mail") -> Letter | None:
        """The next message. The notifier notes it before it goes out."""
        letter = self.outbox.next(channel)
        self.note = note_of(self.outbox)
        return letter

    def tell(self, channel: str = "mail") -> list[str]:
        """Send all that there is to tell, and say so in the log. Returns what each message tells."""
        told = []
        while (letter := self.take(channel)) is not None:
            told.append("summary" if letter.is_summary else letter.notices[0].news)
            self.say_told(letter, channel)
            self.outbox.queues[channel].sent(letter)
        self.note = note_of(self.outbox)
        return told

    def say_told(
        self, letter: Letter, channel: str = "mail", most: int = 1000, refused: str | None = None
    ) -> None:
        for notice in letter.notices[:most]:
            self.happen(
                make.notified(
                    notice.batch,
                    submission=notice.submission,
                    news=notice.news,
                    channel=channel,
                    to=letter.to,
                    key=notice.key,
                    summary=letter.key if letter.is_summary else None,
                    refused=refused,
                )
            )

    def restart(self, *, snapshot_at: int = 0, is_of_this_log: bool = True) -> None:
        """Kill it, and start it again with a snapshot of the state at an earlier event."""
        state = State()
        before = Outbox(state, [])
        for recorded in self.log[:snapshot_at]:
            before.deliver(recorded)
        for batch_id in [batch.id for batch in state.batches.values() if batch.archived]:
            batch = state.batches[batch_id]
            pack(state, batch_id, seal(fixed_pieces(batch)), seal(at_once(changing_pieces(batch))))
        queues = queues_of(self.note, self.channels, len(self.log), is_of_this_log=is_of_this_log)
        self.outbox = Outbox(load(dump(state)), queues)
        done_until = min(queue.done_until for queue in queues)
        for recorded in self.log[done_until:snapshot_at]:
            if recorded.event.type in RECALLED:
                self.outbox.recall(recorded)
        self.outbox.begin()
        for recorded in self.log[snapshot_at:]:
            self.outbox.deliver(recorded)


RAN = (make.assigned(), make.claimed(), make.finished())
FAILED = (make.assigned(), make.claimed(), make.finished(succeeded=False))


def test_a_person_is_told_of_the_end() -> None:
    notifier = Notifier()
    notifier.happen(make.joined(), make.submitted(), *RAN)
    assert notifier.tell() == []
    notifier.happen(make.completed())
    letter = notifier.take()
    assert letter is not None
    assert (letter.to, letter.notices[0].facts["state"]) == ("jane", "completed")
    assert notifier.tell() == ["end"]
    notifier.happen(make.batch_archived())
    assert notifier.tell() == []


def test_what_the_fold_refuses_is_not_told() -> None:
    notifier = Notifier()
    notifier.happen(make.joined(), make.submitted(), make.completed())
    assert notifier.tell() == []


@pytest.mark.parametrize(("by", "told"), [("jane", []), ("john", ["kill"])])
def test_a_kill_is_told_if_somebody_else_did_it(by: str, told: list[str]) -> None:
    notifier = Notifier()
    notifier.happen(make.joined(), make.submitted(make.batch(2)), make.assigned(), make.claimed())
    notifier.happen(make.kill_requested(job="job1", by="john"))
    assert notifier.tell() == []
    notifier.happen(make.kill_requested(by=by), make.kill_requested(by="ann"))
    assert notifier.tell() == told


def test_a_failed_build_is_told_once() -> None:
    notifier = Notifier()
    notifier.happen(make.joined(), make.submitted(make.batch(2, build="make")))
    notifier.happen(make.build_finished(succeeded=False), make.build_finished("ws2", succeeded=False))
    assert notifier.tell() == ["build_failure"]
    notifier.happen(make.build_finished("ws3", succeeded=False))
    assert notifier.tell() == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (None, [[], []]),
        (("start",), [["start"], []]),
        (("first_failure",), [[], ["first_failure"]]),
        (("first_failure", "start"), [["start"], ["first_failure"]]),
    ],
)
def test_start_and_first_failure_are_told_if_asked_for(asked: Any, told: list[list[str]]) -> None:
    notifier = Notifier()
    spec = make.batch(3, notify=asked, max_failures=None)
    notifier.happen(make.joined(), make.submitted(spec), make.assigned(), make.claimed(), make.started())
    first = notifier.tell()
    notifier.happen(make.finished(succeeded=False))
    for job in ("job2", "job3"):
        notifier.happen(make.assigned(job), make.claimed(job), make.finished(job, succeeded=False))
    assert [first, notifier.tell()] == told


def test_what_is_told_once_is_not_told_again_after_a_restart() -> None:
    notifier = Notifier()
    spec = make.batch(3, notify=("start", "first_failure"), build="make")
    notifier.happen(make.joined(), make.submitted(spec), make.build_finished(succeeded=False))
    notifier.happen(make.joined("ws2"), make.assigned(node="ws2"), make.claimed(node="ws2"))
    notifier.happen(make.finished(node="ws2", succeeded=False))
    assert notifier.tell() == ["build_failure", "start", "first_failure"]
    for snapshot_at in range(len(notifier.log) + 1):
        notifier.restart(snapshot_at=snapshot_at)
        queue = notifier.outbox.queues["mail"]
        left = [] if (letter := notifier.take()) is None else list(letter.notices)
        assert all(notifier.outbox.may_have_been_told("mail", notice) for notice in left)
        queue.drop("jane", left)


def test_a_retried_batch_is_told_of_again() -> None:
    notifier = Notifier()
    notifier.happen(make.joined(), make.submitted(), *FAILED, make.completed(state="failed"))
    assert notifier.tell() == ["end"]
    notifier.happen(make.job_archived(), make.retry_requested())
    again = (make.assigned(attempt=2), make.claimed(attempt=2), make.finished(attempt=2))
    notifier.happen(*again, make.completed())
    assert notifier.tell() == ["end"]


def test_each_channel_reaches_its_own_person() -> None:
    notifier = Notifier("mail", "matrix")
    spec = make.batch(matrix_user="@jane:example.org")
    notifier.happen(
        make.joined(), make.submitted(spec), make.kill_requested(), make.completed(state="killed")
    )
    letters = [notifier.take(channel) for channel in notifier.channels]
    assert [letter and letter.to for letter in letters] == ["jane", "@jane:example.org"]
    other = make.batch(batch="other")
    notifier.happen(make.submitted(other), make.kill_requested(other), make.completed(other, state="killed"))
    assert (notifier.tell("mail"), notifier.tell("matrix")) == (["end", "end"], ["end"])


def killed(spec: BatchSpec, user: str = "jane") -> tuple[Event, ...]:
    return (
        make.submitted(spec, user),
        make.kill_requested(spec, by=user),
        make.completed(spec, state="killed"),
    )


MANY = [make.batch(batch=f"b{number}") for number in range(MOST_SINGLE + 3)]


def test_many_batches_are_told_in_one_message() -> None:
    notifier = Notifier()
    for spec in MANY:
        notifier.happen(*killed(spec))
    assert notifier.tell() == ["summary"]
    notifier.happen(*killed(make.batch(batch="last")))
    assert notifier.tell() == ["end"]


@pytest.mark.parametrize("refused", [None, "there is no such mailbox"])
@pytest.mark.parametrize("count", [1, len(MANY)])
@pytest.mark.parametrize("noted", [0, 1, 3])
def test_a_message_cut_short_goes_out_as_the_same_message(
    count: int, noted: int, refused: str | None
) -> None:
    """Killed after it was sent, and before all of it was noted in the log. Meanwhile more batches end.

    If the person could not be reached, the rest of it must not be noted as told.
    """
    first = Notifier()
    for spec in MANY[:count]:
        first.happen(*killed(spec))
    letter = first.take()
    assert letter is not None
    first.say_told(letter, most=noted, refused=refused)
    for number in range(10):
        first.happen(*killed(make.batch(batch=f"later{number}")))
    first.happen(make.batch_archived(MANY[0]))
    for snapshot_at in range(len(first.log) + 1):
        first.restart(snapshot_at=snapshot_at)
        again = first.take()
        assert again is not None
        if noted >= count:
            assert again.key != letter.key
            continue
        assert (again.key, again.is_sent) == (letter.key, noted > 0)
        assert again.refused == (refused if noted else None)
        assert [notice.key for notice in again.notices] == [notice.key for notice in letter.notices[noted:]]


def test_a_summary_cut_short_tells_the_same_also_of_what_is_told_once() -> None:
    notifier = Notifier()
    notifier.happen(make.joined())
    building = [make.batch(2, batch=f"built{number}", build="make") for number in range(4)]
    for spec in building[:3]:
        notifier.happen(make.submitted(spec), _build_failed(spec))
    notifier.happen(make.submitted(building[3]))
    for spec in MANY[:4]:
        notifier.happen(*killed(spec))
    letter = notifier.take()
    assert letter is not None
    notifier.happen(_build_failed(building[3]))
    for snapshot_at in range(len(notifier.log) + 1):
        notifier.restart(snapshot_at=snapshot_at)
        again = notifier.take()
        assert again is not None
        assert again.key == letter.key
        assert {notice.key for notice in again.notices} == {notice.key for notice in letter.notices}


def test_a_summary_cut_short_tells_nothing_that_a_log_that_lost_its_end_got_since() -> None:
    """What came at the sequences of what was lost was not in the message: it is told by itself."""
    notifier = Notifier()
    for spec in MANY:
        notifier.happen(*killed(spec))
    letter = notifier.take()
    assert letter is not None
    del notifier.log[-len(killed(MANY[-1])) :]
    notifier.happen(*killed(make.batch(batch="another")))
    for snapshot_at in range(len(notifier.log) + 1):
        notifier.restart(snapshot_at=snapshot_at, is_of_this_log=False)
        again = notifier.take()
        assert again is not None
        assert again.key == letter.key
        assert [notice.key for notice in again.notices] == [notice.key for notice in letter.notices[:-1]]
    assert notifier.tell() == ["summary", "end"]


def test_two_summaries_that_tell_different_things_are_two_messages() -> None:
    """Or whoever takes a message once would discard the second."""
    letters = []
    for left_out in range(len(MANY)):
        notifier = Notifier()
        for spec in MANY[:left_out] + MANY[left_out + 1 :]:
            notifier.happen(*killed(spec))
        letters.append(notifier.take())
    assert len({letter and letter.key for letter in letters}) == len(MANY)


def test_a_message_in_a_note_that_does_not_say_what_it_tells_is_told_anew() -> None:
    notifier = Notifier()
    notifier.happen(*killed(MANY[0]))
    letter = notifier.take()
    assert letter is not None
    notifier.note["channels"]["mail"]["sending"] = [["jane", letter.key, 0], ["john", "summary", 6, []]]
    notifier.restart()
    assert notifier.outbox.queues["mail"].sending == []
    assert notifier.tell() == ["end"]


def _build_failed(spec: BatchSpec) -> Event:
    return make.build_finished(succeeded=False).model_copy(update=spec.id._asdict())


@pytest.mark.parametrize("count", [1, len(MANY)])
def test_while_one_person_is_postponed_others_are_told(count: int) -> None:
    notifier = Notifier()
    for spec in MANY[:count]:
        notifier.happen(*killed(spec))
    first = notifier.take()
    assert first is not None
    notifier.happen(*killed(make.batch(batch="johns"), "john"), *killed(make.batch(batch="later")))
    second = notifier.outbox.next("mail", {"jane"})
    assert second is not None
    assert (first.to, second.to) == ("jane", "john")
    notifier.note = note_of(notifier.outbox)
    for snapshot_at in range(len(notifier.log) + 1):
        notifier.restart(snapshot_at=snapshot_at)
        again = notifier.outbox.next("mail"), notifier.outbox.next("mail", {"jane"})
        assert [letter and letter.key for letter in again] == [first.key, second.key]
    assert notifier.outbox.next("mail", {"jane", "john"}) is None
    assert notifier.tell() == ["summary" if count > 1 else "end", "end", "end"]


def test_only_what_happens_after_a_channel_is_configured_is_told() -> None:
    notifier = Notifier()
    notifier.happen(*killed(MANY[0]), make.submitted(MANY[1]))
    assert notifier.tell() == ["end"]
    notifier.channels = ("mail", "webhook")
    notifier.restart(snapshot_at=4)
    notifier.happen(make.kill_requested(MANY[1]), make.completed(MANY[1], state="killed"))
    assert [notifier.tell("mail"), notifier.tell("webhook")] == [["end"], ["end"]]


def test_a_deleted_batch_is_not_told_of() -> None:
    notifier = Notifier()
    notifier.happen(*killed(MANY[0]), make.deleted(MANY[0]), *killed(MANY[0])[:1])
    assert notifier.tell() == []


def test_a_note_of_a_longer_log_is_taken_as_far_as_the_log_goes() -> None:
    note = {"channels": {"mail": {"since": 5, "done_until": 90, "sending": [["jane", "key", 0]]}}}
    (queue,) = queues_of(note, ["mail"], 10)
    assert (queue.since, queue.done_until) == (5, 10)
    (queue,) = queues_of(note, ["mail"], 100, is_of_this_log=False)
    assert (queue.since, queue.done_until) == (5, 5)


def test_the_end_of_a_batch_is_told_whose_jobs_never_ended_but_were_given_back() -> None:
    """What a job left at the node that gave it back makes room for outcomes, and no node is named in them."""
    notifier = Notifier()
    notifier.happen(make.joined(), make.submitted(make.batch(2, resources=None)), make.assigned())
    notifier.happen(make.claimed(), make.started(), make.yielded(outputs=Outputs(files=1)))
    notifier.happen(make.job_archived(), make.kill_requested(), make.completed(state="killed"))
    letter = notifier.take()
    assert letter is not None
    assert [notice.facts["core_hours"] for notice in letter.notices] == [0.0]


def test_a_notifier_that_reads_while_events_are_removed_reads_anew() -> None:
    late = Recorded(4, 1.0, make.compacted(2))
    with pytest.raises(LogReplaced, match="they were removed while the log was read"):
        Outbox(State(), [], catch_up_to=3).deliver(late)
    again = Outbox(State(), [], catch_up_to=4)
    again.deliver(late)
    assert again.state.misfits == 1
