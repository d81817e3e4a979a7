"""The scheduler's answers equal the views. They are made in slices, of one moment."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core_kit import Lab, of
from distribute.core.scheduling.liveness import Lease
from distribute.core.slices import at_once
from distribute.core.state.state import State
from distribute.core.telling import listing
from distribute.core.views import views
from distribute.core.views.views import batch_view, batches_view, ignored_view, node_view
from distribute.ports import Garbage
from distribute.testing import builders as make
from distribute_services.scheduler.logic import Scheduler
from distribute_services.scheduler.queries import _batch, _names, _node, _status

SWEEP = make.batch(25)


def scheduler_of(state: State) -> Scheduler:
    return Scheduler(state, lease=Lease(), new_id=lambda: "", now=state.time, catch_up_to=0)


def busy() -> State:
    lab = Lab(make.joined("ws1"), make.submitted(SWEEP), make.submitted(make.batch(1, batch="other")))
    for number in range(1, 9):
        lab.happen(make.assigned(f"job{number}"))
        if number > 2:
            lab.run(f"job{number}")
        if number > 4:
            lab.happen(make.finished(f"job{number}", succeeded=number % 2 == 0))
    return lab.state


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "JOBS_AT_ONCE", 4)
    monkeypatch.setattr(views, "BATCHES_AT_ONCE", 1)


@pytest.mark.parametrize(
    "which",
    [{}, {"most": 3}, {"most": 100}, {"states": ["failed", "running"]}, {"job": "job7"}, {"job": "none"}],
)
def test_the_answer_to_batch_equals_the_view(which: dict[str, Any]) -> None:
    state = busy()
    answer = at_once(_batch(scheduler_of(state), namespace="lab", batch="sweep", **which))
    assert answer == orjson.dumps(batch_view(state, SWEEP.id, **which))


def test_the_answer_to_status_equals_the_view() -> None:
    for state in (busy(), State()):
        garbage = Garbage(2, "sequence 7 of the log: no JSON")
        expected = batches_view(state) | ignored_view(state, garbage.count, garbage.last)
        assert at_once(_status(scheduler_of(state), garbage)) == orjson.dumps(expected)
        selected = batches_view(state, last=1) | ignored_view(state, garbage.count, garbage.last)
        assert at_once(_status(scheduler_of(state), garbage, last=1)) == orjson.dumps(selected)


def test_the_answer_to_node_equals_the_view() -> None:
    scheduler = scheduler_of(busy())
    name = min(scheduler.state.nodes)
    assert _node(scheduler, name) == node_view(scheduler.agenda, name, None)
    with pytest.raises(KeyError, match="nobody"):
        _node(scheduler, "nobody")


def test_the_names_of_jobs_are_told() -> None:
    names = orjson.loads(at_once(_names(scheduler_of(busy()), SWEEP.id)))["jobs"]
    assert sorted(names) == sorted(job.name for job in SWEEP.work.jobs)


def test_an_answer_excludes_events_that_come_while_it_is_made() -> None:
    state = busy()
    before = orjson.dumps(batch_view(state, SWEEP.id))
    answering = _batch(scheduler_of(state), namespace="lab", batch="sweep")
    next(answering)
    make.happen(make.claimed("job1"), make.finished("job4"), make.paused("ws1"), state=state)
    make.happen(make.kill_requested(), make.job_archived("job6"), make.assigned(of("other")), state=state)
    assert batch_view(state, SWEEP.id) != orjson.loads(before)
    assert at_once(answering) == before
