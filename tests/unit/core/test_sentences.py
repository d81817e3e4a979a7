"""Each event in a sentence, alone and together with others that are alike."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

import pytest

from compat.samples import SAMPLES
from distribute.core.folding.work import marked
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.telling.node_sentences import OF_MANY
from distribute.core.telling.sentences import TAKEN_BACK, manner, sentence, sentence_of_many
from distribute.core.telling.wording import MAX_REASON, Known, Wording
from distribute.testing import builders as make


def day(time: datetime) -> str:
    return f"{time:%Y-%m-%d}"


WHOLE = Wording(day)
SHORT = Wording(day, BatchId("lab", "sweep"))
UNTIL = "2026-01-02"
REPLACED = make.submitted(marked(make.batch(3), frozenset({"job1", "job2"})), replaces="another")
ELSEWHERE: dict[str, Any] = {
    "submission": "any",
    "state": "killed",
    "wall_s": 2.0,
    "exit_code": None,
    "reason": None,
}


@pytest.mark.parametrize(
    ("event", "known", "told"),
    [
        (make.submitted(make.batch(2)), {}, "jane submitted lab/sweep: 2 jobs"),
        (make.submitted(make.batch(1)), {"jobs": 3000}, "jane submitted lab/sweep: 3000 jobs"),
        (make.submitted(ran_at=make.RAN_AT), {}, "jane submitted lab/sweep: 1 job that ran at slurm"),
        (REPLACED, {}, "jane replaced lab/sweep: 3 jobs, of which 2 are kept or go on"),
        (REPLACED, {"stays": (0, 1)}, "jane replaced lab/sweep: 3 jobs, of which 1 goes on"),
        (REPLACED, {"stays": (0, 0)}, "jane replaced lab/sweep: 3 jobs, of which none is kept"),
        (make.kill_requested(by="bob"), {}, "bob kills lab/sweep"),
        (make.kill_requested(job="job1"), {}, "jane kills lab/sweep/job1"),
        (make.kill_requested(state="queued"), {}, "jane kills what still waits of lab/sweep"),
        (make.retry_requested(), {}, "jane has the failed and the killed jobs of lab/sweep run again"),
        (make.retry_requested(failed_only=True), {}, "jane has the failed jobs of lab/sweep run again"),
        (make.retry_requested(jobs=("a", "b")), {}, "jane has a, b of lab/sweep run again"),
        (make.completed(state="failed"), {"ends": (3, 1, 0)}, "lab/sweep is over: 3 succeeded, 1 failed"),
        (make.completed(state="failed", reason="no node"), {}, "lab/sweep is over: failed: no node"),
        (make.deleted(), {}, "jane deleted lab/sweep"),
        (make.assigned(), {}, "lab/sweep/job1 was assigned to ws1"),
        (make.started(attempt=2), {}, "lab/sweep/job1, attempt 2, started on ws1"),
        (make.stop_ordered(by="bob"), {}, "lab/sweep/job1 is to be ended by ws1: killed by bob"),
        (make.finished(), {}, "lab/sweep/job1 succeeded on ws1 after 1m"),
        (
            make.finished(succeeded=False, reason=None, exit_code=3), {},
            "lab/sweep/job1 failed on ws1 after 1m: exit code 3",
        ),
        (
            make.finished(succeeded=False, reason="killed by bob"), {"was_killed": True},
            "lab/sweep/job1 was killed on ws1 after 1m: killed by bob",
        ),
        (make.collected(**ELSEWHERE), {}, "lab/sweep/job1 is collected: it was killed on nid001 after 2s"),
        (make.released(), {}, "lab/sweep/job1 was taken from ws1: its node was lost"),
        (make.job_archived(missing="no disk"), {}, "what lab/sweep/job1 left is lost: no disk"),
        (make.build_started(), {}, "lab/sweep is being built on ws1"),
        (
            make.build_finished(succeeded=False), {},
            "lab/sweep could not be built on ws1 after 0s: exit code 2",
        ),
        (
            make.build_finished(kept_from="lab/old"), {},
            "lab/sweep is built on ws1, which had kept the build of lab/old",
        ),
        (make.joined(), {}, "node ws1 joined: 4 cpus, 8G of memory"),
        (make.joined(), {"before": "another"}, "node ws1 has restarted: 4 cpus, 8G of memory"),
        (make.joined(keeps=make.kept(["job1"])), {"silent_s": 90.4},
         "node ws1 is back after 1m30s; it goes on with 1 job"),
        (make.lost(), {"attempts": 2},
         "node ws1 is lost: silent for 1m1s; others take its 2 jobs when they have room"),
        (make.paused(by="jane", reason="a talk"), {}, f"node ws1 is paused until {UNTIL}, by jane: a talk"),
        (make.drain_requested(reason=""), {}, "jane drains node ws1"),
        (make.listed(capabilities=None), {}, "jane no longer lists node ws1"),
    ],
    ids=lambda value: getattr(value, "type", None),
)  # fmt: skip
def test_an_event_is_told(event: ev.Event, known: dict[str, Any], told: str) -> None:
    assert sentence(event, WHOLE, Known(**known)) == told


def test_within_a_batch_its_jobs_have_their_own_names() -> None:
    assert sentence(make.started(), SHORT) == "job1 started on ws1"
    assert sentence(make.kill_requested(job="job1"), SHORT) == "jane kills job1"
    assert sentence(make.submitted(), SHORT) == "jane submitted lab/sweep: 1 job"


def test_every_type_of_event_has_a_sentence() -> None:
    told = {event.type: sentence(event, WHOLE) for event in SAMPLES.values()}
    assert told.keys() == set(map(ev.type_of, ev.KINDS))
    assert all(not one.endswith(".") and "  " not in one for one in told.values())


def test_every_reason_of_a_release_has_its_words() -> None:
    assert set(TAKEN_BACK) == set(get_args(ev.ReleaseReason))


def test_a_long_reason_is_cut() -> None:
    told = sentence(make.finished(succeeded=False, reason="x" * 5000), WHOLE)
    assert told.endswith("x…")
    assert len(told) < MAX_REASON + 100


def test_events_are_alike_if_they_differ_only_in_whom_and_where_and_how_long() -> None:
    failed: dict[str, Any] = {"succeeded": False, "reason": "exit code 1"}
    one = make.finished("job1", "ws1", wall_s=1.0, **failed)
    assert manner(one) == manner(make.finished("job2", "ws2", attempt=2, wall_s=9.0, **failed))
    assert manner(one) != manner(make.finished("job1"))
    assert manner(one) != manner(make.finished("job1", succeeded=False, reason="signal 9"))
    assert manner(one) != manner(one, Known(was_killed=True))
    assert manner(make.released(reason="node_lost")) != manner(make.released(reason="node_left"))


def test_many_events_are_told_in_one_sentence_which_names_the_jobs_in_trouble() -> None:
    jobs, nodes = [f"j{number}" for number in range(412)], ["ws1", "ws2"]
    assert sentence_of_many(make.assigned(), jobs, nodes, 412) == "412 jobs were assigned to ws1, ws2"
    assert sentence_of_many(make.finished(), jobs, nodes, 412) == "412 jobs succeeded on ws1, ws2"
    failed = make.finished(succeeded=False)
    told = "412 jobs failed on ws1, ws2: exit code 1 (j0, j1, j2, j3, j4 and 407 more)"
    assert sentence_of_many(failed, jobs, nodes, 412) == told
    assert sentence_of_many(make.stop_ordered(), jobs[:5], ["ws1"], 5) == (
        "5 jobs are to be ended by ws1: killed by jane (j0, j1, j2, j3, j4)"
    )
    assert sentence_of_many(make.build_started(), [], nodes, 2) == "lab/sweep is being built on ws1, ws2"
    assert (
        sentence_of_many(make.excused(), ["a"], ["ws1"], 5)
        == "1 job runs again elsewhere: ws1 may be to blame (a)"
    )


def test_many_events_of_nodes_are_told_in_one_sentence() -> None:
    assert sentence_of_many(make.paused(), [], ["ws1", "ws2"], 2) == "nodes ws1, ws2: paused"
    assert sentence_of_many(make.resumed(), [], ["ws1"], 9) == "node ws1: lent again, 9 times"
    assert OF_MANY.keys() == ev.types_of(ev.NodeEvent)
