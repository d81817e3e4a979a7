"""The words of the notifier's messages."""

from __future__ import annotations

import pytest

from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import State
from distribute.testing import builders as make
from distribute_services.notifier.channel import Message
from distribute_services.notifier.logic import Outbox, queues_of
from distribute_services.notifier.texts import message_of


def told(*events: Event) -> Message:
    """The first message that these events cause. Each comes a minute after the one before."""
    outbox = Outbox(State(), queues_of({}, ["mail"], 0))
    for seq, event in enumerate(events, start=1):
        outbox.deliver(Recorded(seq, make.EPOCH.timestamp() + 60 * seq, event))
    letter = outbox.next("mail")
    assert letter is not None
    return message_of(letter)


def test_the_end_says_what_it_took_and_how_to_get_the_results() -> None:
    spec = make.batch([make.job("re=100"), make.job("re=400")], batch="my sweep")
    events = [make.joined(), make.submitted(spec)]
    for name in ("re=100", "re=400"):
        job = spec.id._asdict() | {"job": name}
        events += [
            make.assigned(name).model_copy(update=job),
            make.claimed(name).model_copy(update=job),
            make.finished(name, wall_s=1800.0).model_copy(update=job),
        ]
    assert told(*events, make.completed(spec)).plain.split("\n") == [
        "lab/my sweep has completed: of 2 jobs, 2 succeeded.",
        "",
        "It took 7m from its submission. Its jobs used 1 core hours.",
        "",
        "Its results:",
        "    distribute pull 'lab/my sweep'",
    ]


def test_a_failed_batch_names_its_failed_jobs_and_what_they_printed() -> None:
    lines = ("\x1b[31mred\x1b[0m", "<b>\x07")
    message = told(
        make.joined(),
        make.submitted(make.batch(2)),
        make.assigned(),
        make.claimed(),
        make.finished(succeeded=False, reason="out of memory", signal=9, exit_code=None, last_lines=lines),
        make.assigned("job2"),
        make.claimed("job2"),
        make.finished("job2"),
        make.completed(state="failed"),
    )
    assert message.subject == "lab/sweep failed"
    assert "job1 (SIGKILL on ws1: out of memory)" in message.plain
    assert "distribute logs lab/sweep/job1\n" in message.plain
    assert "\x1b" not in message.plain
    assert "<b>" not in message.html
    assert "<p><code>distribute logs lab/sweep/job1</code></p>" in message.html


@pytest.mark.parametrize(
    ("events", "subject", "line"),
    [
        (
            (make.kill_requested(by="john"),),
            "john killed lab/sweep",
            "john killed lab/sweep: of 2 jobs, 2 killed.",
        ),
        (
            (make.build_finished(succeeded=False, reason="exit code 2", last_lines=("no gcc",)),),
            "the build of lab/sweep failed",
            "    no gcc",
        ),
    ],
    ids=["kill", "build"],
)
def test_a_kill_and_a_failed_build_are_told(events: tuple[Event, ...], subject: str, line: str) -> None:
    message = told(make.joined(), make.submitted(make.batch(2, build="make")), *events)
    assert message.subject == subject
    assert line in message.plain.split("\n")


def test_a_summary_names_what_went_badly_first_and_is_short() -> None:
    outbox = Outbox(State(), queues_of({}, ["mail"], 0))
    log: list[Event] = [make.joined()]
    for number in range(100):
        spec = make.batch(batch=f"b{number}")
        end = make.completed(spec, state="failed", reason="x") if number == 99 else None
        log += [make.submitted(spec)]
        log += [end] if end else [make.kill_requested(spec), make.completed(spec, state="killed")]
    for seq, event in enumerate(log, start=1):
        outbox.deliver(Recorded(seq, make.EPOCH.timestamp() + seq, event))
    letter = outbox.next("mail")
    assert letter is not None
    message = message_of(letter)
    assert message.subject == "news of 100 batches: 1 failed, 99 killed"
    lines = message.plain.split("\n")
    assert lines[1] == "    lab/b99: failed; of 1 job, 1 failed"
    assert "And 80 more batches." in lines
    assert len(lines) < 30
    assert message.facts["states"] == {"failed": 1, "killed": 99}
