"""Which batches the views select, and the builds that they show."""

from typing import Any

from core_kit import Lab
from distribute.core.ids import BatchId, JobId
from distribute.core.views.views import batch_view, batches_view, nodes_view
from distribute.testing import builders as make

SWEEP = BatchId("lab", "sweep")
BUILDS = (
    make.joined(),
    make.submitted(make.batch(build="make")),
    make.assigned(),
    make.claimed(),
    make.build_started(),
)


def test_batches_can_be_selected() -> None:
    specs = {name: make.batch(batch=name, build="make") for name in ("a", "b", "c", "d")}
    users = {"a": "jane", "b": "joe", "c": "jane", "d": "jane"}
    lab = Lab(make.joined(), *(make.submitted(spec, users[name]) for name, spec in specs.items()))
    job = JobId(*specs["c"].id, "job1")
    lab.happen(make.assigned(job), make.claimed(job), make.build_started("ws1", specs["c"]))

    def selected(**which: Any) -> str:
        return "".join(view["batch"] for view in batches_view(lab.state, **which)["batches"])

    assert selected(user="jane") == "acd"
    assert selected(user="nobody") == ""
    assert selected(last=2) == "cd"
    assert selected(last=9) == "abcd"
    assert selected(user="jane", last=2) == "cd"
    assert selected(states=["queued"]) == "abd"
    assert selected(states=["running", "killed"]) == "c"
    assert selected(states=["building"]) == "c"
    assert selected(states=["queued"], user="jane", last=1) == "d"


def test_a_build_is_shown_with_its_node_and_since_when_it_runs() -> None:
    lab = Lab(*BUILDS)
    since = "2026-01-01T00:00:05.000Z"
    view = batch_view(lab.state, SWEEP)
    assert view["building"] == {"ws1": since}
    assert view["job_list"][0]["state"] == "building"
    (node,) = nodes_view(lab.agenda, {})["nodes"]
    assert (node["state"], node["building"]) == (
        "busy",
        [{"namespace": "lab", "batch": "sweep", "since": since}],
    )
    lab.happen(make.build_finished(), make.started())
    assert batch_view(lab.state, SWEEP)["building"] == {}
    assert nodes_view(lab.agenda, {})["nodes"][0]["building"] == []


def test_a_build_whose_node_was_lost_is_not_shown_for_ever() -> None:
    lab = Lab(*BUILDS)
    lab.happen(make.lost(), make.released())
    assert batch_view(lab.state, SWEEP)["building"] == {}
    assert nodes_view(lab.agenda, {})["nodes"][0]["building"] == []
