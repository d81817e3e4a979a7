"""`run` says of each attempt that ends whether its job runs again, as the scheduler decides that."""

from __future__ import annotations

from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.spec.specs import BatchSpec
from distribute.here import BuildFailed, JobEnded
from distribute.testing import builders as make
from distribute_services.here.ends import Ends

SPEC = make.batch([make.job("job1", retries=1)])


def told(*events: Event, is_stopping: bool = False, of: BatchSpec = SPEC) -> list[JobEnded | BuildFailed]:
    ends = Ends(of.id, lambda: is_stopping)
    moment = make.EPOCH.timestamp()
    news = [
        ends.read(Recorded(seq, moment + seq, event))
        for seq, event in enumerate((make.submitted(of), *events), 1)
    ]
    return [one for one in news if one is not None]


def attempt(number: int, **end: object) -> tuple[Event, ...]:
    return (
        make.assigned(attempt=number),
        make.claimed(attempt=number),
        make.started(attempt=number),
        make.finished(attempt=number, outputs=None, **end),
    )


def how(news: list[JobEnded | BuildFailed]) -> list[tuple[int, bool, bool, bool]]:
    return [(one.attempt, one.succeeded, one.again, one.killed) for one in news if isinstance(one, JobEnded)]


def test_a_job_that_has_a_retry_left_runs_again() -> None:
    news = told(*attempt(1, succeeded=False), *attempt(2, succeeded=False))
    assert how(news) == [(1, False, True, False), (2, False, False, False)]
    assert how(told(*attempt(1))) == [(1, True, False, False)]


def test_an_attempt_that_was_taken_from_its_node_used_up_no_retry() -> None:
    news = told(
        make.assigned(), make.claimed(), make.started(), make.released(reason="node_restarted"),
        *attempt(2, succeeded=False), *attempt(3, succeeded=False),
    )  # fmt: skip
    assert how(news) == [(2, False, True, False), (3, False, False, False)]


def test_the_end_of_an_attempt_that_was_taken_back_is_not_told() -> None:
    news = told(*attempt(1, succeeded=False)[:3], make.released(), make.finished(succeeded=False))
    assert news == []


def test_a_job_that_a_person_ends_is_killed_and_not_tried_again() -> None:
    """Also while the kill is under way. One that failed for good before that failed."""
    begun = (make.assigned(), make.claimed(), make.started())
    end = make.finished(succeeded=False, outputs=None)
    assert how(told(*begun, make.kill_requested(SPEC), end, is_stopping=True)) == [(1, False, False, True)]
    assert how(told(*begun, end, is_stopping=True)) == [(1, False, False, True)]
    again = told(*attempt(1, succeeded=False), *attempt(2, succeeded=False), is_stopping=True)
    assert how(again)[-1] == (2, False, False, False)


def test_a_build_that_failed_is_told_with_what_it_printed() -> None:
    spec = make.batch([make.job("job1")], build="make")
    failed = make.build_finished(succeeded=False, reason="exit code 2", last_lines=("no compiler",))
    assert told(make.build_started(), failed, of=spec) == [BuildFailed("exit code 2", ["no compiler"])]
