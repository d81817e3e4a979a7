"""The views: JSON for people and scripts, whose keys are a contract."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from core_kit import Lab
from distribute.core.ids import BatchId
from distribute.core.log.beats import Beat
from distribute.core.log.events import Event
from distribute.core.slices import at_once
from distribute.core.spec.specs import Resources
from distribute.core.telling.listing import Listing, rfc3339
from distribute.core.views.views import batch_view, batches_view, nodes_view
from distribute.core.views.why_view import why_view
from distribute.testing import builders as make
from distribute.testing.builders import GIB

SWEEP = BatchId("lab", "sweep")


QUARANTINED = "2 jobs that failed here within seconds succeeded elsewhere"


def after(*events: Event, jobs: int = 1, **fields: Any) -> Lab:
    """A node joins ten seconds after New Year, the batch is submitted a second later, then the events."""
    return Lab(make.joined(), make.submitted(make.batch(jobs, **fields)), *events)


RUNNING = (make.assigned(), make.claimed(), make.started())


def test_times_are_rfc_3339_in_utc() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 678901, UTC).timestamp()) == "2026-01-02T03:04:05.678Z"
    assert rfc3339(None) is None
    assert rfc3339(0) is None


def test_a_batch_is_shown() -> None:
    (view,) = batches_view(after(jobs=3, priority=2).state)["batches"]
    assert view == {
        "namespace": "lab",
        "batch": "sweep",
        "user": "jane",
        "kind": "command",
        "ran_at": None,
        "state": "queued",
        "priority": 2,
        "after": [],
        "submitted_at": "2026-01-01T00:00:02.000Z",
        "finished_at": None,
        "reason": None,
        "jobs": {
            "total": 3,
            "queued": 3,
            "assigned": 0,
            "running": 0,
            "succeeded": 0,
            "failed": 0,
            "killed": 0,
        },
        "archived": False,
        "compacted_at": None,
        "build_failed": {},
        "build_last_lines": {},
        "building": {},
        "build_kept": {},
        "held": None,
        "held_by": None,
        "held_at": None,
        "killed_by": None,
        "killed_at": None,
        "max_running": None,
        "max_failures": None,
        "edited_by": None,
        "edited_at": None,
    }


def test_the_counts_of_a_batch_are_shown() -> None:
    lab = after(*RUNNING, make.finished(), make.assigned("job2"), make.assigned("job3"), jobs=9, retries=1)
    lab.happen(make.claimed("job3"), make.assigned("job4"))
    lab.run("job4")
    lab.happen(make.assigned("job5"))
    lab.run("job5")
    lab.happen(make.finished("job5", succeeded=False))  # to be tried again
    for attempt in (1, 2):
        lab.happen(make.assigned("job6", attempt=attempt))
        lab.fail_fast("job6", attempt=attempt)
    lab.happen(make.kill_requested(job="job7"))
    view = batch_view(lab.state, SWEEP)
    assert view["state"] == "running"
    assert view["jobs"] == {
        "total": 9,
        "queued": 3,
        "assigned": 2,
        "running": 1,
        "succeeded": 1,
        "failed": 1,
        "killed": 1,
    }


@pytest.mark.parametrize("state", ["completed", "failed", "killed"])
def test_a_batch_that_is_over_is_shown(state: str) -> None:
    lab = after(*RUNNING, make.finished())
    lab.happen(make.completed(state=state, reason="so it is"), make.job_archived(), make.batch_archived())
    view = batch_view(lab.state, SWEEP)
    assert (view["state"], view["reason"], view["archived"]) == (state, "so it is", True)
    assert view["finished_at"] == "2026-01-01T00:00:07.000Z"


def test_batches_are_listed_in_order_of_submission() -> None:
    lab = Lab(*(make.submitted(make.batch(batch=name)) for name in ("z", "a", "m")))
    assert [view["batch"] for view in batches_view(lab.state)["batches"]] == ["z", "a", "m"]


NEVER_RAN = {
    "job": "job1",
    "state": "queued",
    "attempt": 0,
    "node": None,
    "exit_code": None,
    "signal": None,
    "reason": None,
    "last_line": None,
    "submitted_at": "2026-01-01T00:00:02.000Z",
    "started_at": None,
    "finished_at": None,
    "wall_s": None,
    "cpu_s": None,
    "paused_s": None,
    "max_rss_bytes": None,
    "archived": False,
    "killed_by": None,
    "killed_at": None,
    "moved_by": None,
    "waits_for": None,
}


def the_job(lab: Lab) -> dict[str, object]:
    (view,) = batch_view(lab.state, SWEEP)["job_list"]
    assert list(view) == list(NEVER_RAN)
    return dict(view)


def test_a_waiting_job_is_shown() -> None:
    assert the_job(after()) == NEVER_RAN | {"waits_for": "turn"}


def test_a_job_in_flight_is_shown() -> None:
    given = NEVER_RAN | {"state": "assigned", "attempt": 1, "node": "ws1"}
    assert the_job(after(RUNNING[0])) == given
    assert the_job(after(*RUNNING[:2])) == given
    running = given | {"state": "running", "started_at": "2026-01-01T00:00:05.000Z"}
    running |= {"wall_s": 0.0, "paused_s": 0.0}
    assert the_job(after(*RUNNING)) == running
    assert the_job(after(*RUNNING, make.paused())) == running | {"state": "paused", "wall_s": 1.0}


def test_how_long_a_running_job_has_run_excludes_its_pauses() -> None:
    lab = after(*RUNNING)
    lab.happen(make.paused(), apart_s=10)
    lab.happen(make.resumed(), apart_s=100)
    view = Listing(lab.batch(), lab.state, lab.now + 5)
    for _ in range(2):
        ((job,),) = view.slices()
        assert (job["state"], job["wall_s"], job["paused_s"]) == ("running", 15.0, 100.0)
        lab.happen(make.paused(), apart_s=1000)  # a listing shows the moment at which it was made


def test_a_job_that_is_over_is_shown() -> None:
    figures: dict[str, Any] = {"wall_s": 61.5, "cpu_s": 60.5, "paused_s": 1.5, "max_rss_bytes": 12}
    lab = after(*RUNNING, make.finished(**figures))
    over = NEVER_RAN | figures | {
        "state": "succeeded",
        "attempt": 1,
        "node": "ws1",
        "exit_code": 0,
        "started_at": "2026-01-01T00:00:05.000Z",
        "finished_at": "2026-01-01T00:00:06.000Z",
    }  # fmt: skip
    assert the_job(lab) == over
    lab.happen(make.job_archived())
    assert the_job(lab) == over | {"archived": True}


def test_a_job_whose_results_are_lost_is_shown() -> None:
    gone = make.job_archived(missing="no chunks")
    view = the_job(after(*RUNNING, make.finished(), gone))
    assert (view["state"], view["archived"]) == ("succeeded", False)
    assert view["reason"] == "its results are gone: no chunks"
    view = the_job(after(*RUNNING, make.finished(succeeded=False), gone))
    assert (view["state"], view["archived"]) == ("failed", False)
    assert view["reason"] == "exit code 1; its results are gone: no chunks"


def test_a_job_that_a_signal_ended_is_shown() -> None:
    ending = make.finished(succeeded=False, exit_code=None, signal=9, reason="out of memory")
    view = the_job(after(*RUNNING, ending))
    assert (view["state"], view["exit_code"], view["signal"]) == ("failed", None, 9)
    assert view["reason"] == "out of memory"


def test_a_job_that_never_ran_has_its_batchs_reason() -> None:
    view = the_job(after(make.completed(state="failed", reason="the build failed")))
    assert view == NEVER_RAN | {"state": "failed", "reason": "the build failed"}


def test_a_killed_job_is_shown() -> None:
    assert the_job(after(make.kill_requested()))["state"] == "killed"


def test_jobs_are_listed_in_the_order_of_the_file() -> None:
    jobs = [make.job("b"), make.job("a", resources=Resources(cpus=3)), make.job("c")]
    lab = Lab(make.submitted(make.batch(jobs)))
    assert [job["job"] for job in batch_view(lab.state, SWEEP)["job_list"]] == ["b", "a", "c"]


def test_a_short_listing_begins_with_failed_and_running_jobs() -> None:
    lab = after(make.kill_requested(job="job1"), make.assigned("job3"), jobs=6)
    lab.run("job3")
    lab.happen(make.finished("job3", succeeded=False), make.assigned("job5"))
    view = batch_view(lab.state, SWEEP, most=3)
    assert [job["job"] for job in view["job_list"]] == ["job3", "job5", "job1"]
    assert (view["more_jobs"], view["jobs"]["total"]) == (3, 6)
    view = batch_view(lab.state, SWEEP, most=6)
    assert [job["job"] for job in view["job_list"]] == [f"job{number}" for number in range(1, 7)]
    assert view == batch_view(lab.state, SWEEP)
    assert "more_jobs" not in view


def test_a_listing_can_be_limited_to_states_or_to_one_job() -> None:
    lab = after(*RUNNING, make.paused(), make.kill_requested(job="job3"), jobs=4)

    def listed(**which: Any) -> list[str]:
        return [job["job"] for job in batch_view(lab.state, SWEEP, **which)["job_list"]]

    assert listed(states=["paused", "killed"]) == ["job1", "job3"]
    assert listed(states=["running"]) == []
    assert batch_view(lab.state, SWEEP, states=["queued"], most=1)["more_jobs"] == 1
    assert listed(job="job2") == ["job2"]
    assert listed(job="nobody") == []


def test_an_unknown_batch_is_named() -> None:
    with pytest.raises(KeyError, match="sweep"):
        batch_view(Lab().state, SWEEP)


def test_a_node_is_shown() -> None:
    lab = Lab(
        make.joined(
            cpus=8, gpus=("A100",), gpu_memory_bytes=(40 * GIB,), capabilities=frozenset({"mpi", "gcc"})
        ),
        make.submitted(),
    )
    lab.assign()
    beat = Beat(node="ws1", incarnation="1", load=2.5, owner_idle_s=30.0)
    (view,) = nodes_view(lab.agenda, {"ws1": beat})["nodes"]
    assert view == {
        "node": "ws1",
        "state": "busy",
        "capabilities": ["gcc", "mpi"],
        "listed": None,
        "cpus": 8,
        "cpus_free": 7,
        "memory_bytes": 8 * GIB,
        "gpus": ["A100"],
        "gpu_memory_bytes": [40 * GIB],
        "running": 1,
        "building": [],
        "load": 2.5,
        "owner_idle_s": 30.0,
        "version": "1",
        "paused_until": None,
        "paused_by": None,
        "drained_until": None,
        "drained_by": None,
        "quarantined_until": None,
        "reason": None,
        "heard_at": "2026-01-01T00:00:03.000Z",
    }


@pytest.mark.parametrize(
    ("events", "state", "reason"),
    [
        ((), "idle", None),
        ((make.submitted(), make.assigned()), "busy", None),
        ((make.paused(),), "paused", "its owner works"),
        ((make.paused(by="jane", reason=""),), "paused", None),
        ((make.drain_requested(),), "draining", "for repair"),
        ((make.drain_requested(reason=""),), "draining", None),
        ((make.quarantined(),), "quarantined", QUARANTINED),
        (
            (make.leaving(),),
            "draining",
            "its node-runner ends, once it has stored what its last jobs left",
        ),
        ((make.leaving(), make.left()), "left", None),
        ((make.lost(),), "lost", None),
        ((make.left(),), "left", None),
    ],
)
def test_the_state_of_a_node_is_shown(events: tuple[Event, ...], state: str, reason: str | None) -> None:
    (view,) = nodes_view(Lab(make.joined(), *events).agenda, {})["nodes"]
    assert (view["state"], view["reason"], view["load"]) == (state, reason, None)


def test_a_node_whose_disk_is_short_of_room_says_so() -> None:
    lab = Lab(make.joined())
    beat = Beat(node="ws1", incarnation="1", load=0.0, disk_free_bytes=GIB // 2, disk_needed_bytes=GIB)
    (view,) = nodes_view(lab.agenda, {"ws1": beat})["nodes"]
    assert view["reason"] == "its disk has 512M free, and no job begins there with less than 1G"
    lab.happen(make.drain_requested())
    (view,) = nodes_view(lab.agenda, {"ws1": beat})["nodes"]
    assert view["reason"] == "for repair"


def test_nodes_out_of_touch_and_paused_are_shown() -> None:
    lab = Lab(make.joined("b"), make.joined("a"), make.paused("a"))
    lab.quiet.update({"a", "b"})
    lab.wait(15)
    views = nodes_view(lab.agenda, {})["nodes"]
    assert [(view["node"], view["state"]) for view in views] == [("a", "paused"), ("b", "out_of_touch")]
    assert views[0]["paused_until"] == "2026-01-02T00:00:03.000Z"


def test_who_paused_a_node_is_shown_until_the_pause_is_over() -> None:
    lab = Lab(make.joined(), make.paused(by="jane", until=make.EPOCH + timedelta(minutes=1)))
    assert nodes_view(lab.agenda, {})["nodes"][0]["paused_by"] == "jane"
    lab.wait(120)
    (view,) = nodes_view(lab.agenda, {})["nodes"]
    assert (view["state"], view["paused_by"], view["paused_until"]) == ("idle", None, None)


def test_who_drained_a_node_is_shown_until_the_drain_is_over() -> None:
    """Also if the node starts again meanwhile."""
    until = make.EPOCH + timedelta(minutes=1)
    lab = Lab(make.joined(), make.drain_requested(until=until), make.joined())
    (view,) = nodes_view(lab.agenda, {})["nodes"]
    assert (view["drained_by"], view["drained_until"]) == ("jane", "2026-01-01T00:01:02.000Z")
    lab.wait(120)
    (view,) = nodes_view(lab.agenda, {})["nodes"]
    assert (view["state"], view["drained_by"], view["drained_until"]) == ("idle", None, None)


def test_why_explains_a_waiting_job_node_by_node() -> None:
    lab = after(resources=Resources(cpus=64))
    assert at_once(why_view(lab.agenda, lab.batch(), "job1")) == {
        "namespace": "lab",
        "batch": "sweep",
        "job": "job1",
        "state": "queued",
        "summary": "waits: no node could ever run it",
        "waits_for": "node",
        "asked_at": "2026-01-01T00:00:02.000Z",
        "queue": None,
        "start": None,
        "nodes": [
            {"node": "ws1", "obstacle": "cpus", "text": "has too few cpus: 4, of 64 needed"},
        ],
    }
    with pytest.raises(KeyError, match="job9"):
        at_once(why_view(lab.agenda, lab.batch(), "job9"))


def test_every_view_is_json() -> None:
    lab = after(*RUNNING, make.finished(), jobs=2, build="make")
    for view in (
        batches_view(lab.state),
        batch_view(lab.state, SWEEP),
        nodes_view(lab.agenda, {}),
        at_once(why_view(lab.agenda, lab.batch(), "job2")),
    ):
        assert orjson.loads(orjson.dumps(view)) == view
