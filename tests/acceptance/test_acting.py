"""People retry, hold, release and reorder batches, and drain a node, on a real cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import distribute
from acceptance.cluster_kit import as_person, person_with_cluster
from acceptance.person import Person, until
from distribute.client.person import user_name


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person with a cluster of one node with one cpu: so one job runs after the other."""
    home = tmp_path_factory.mktemp("home")
    with person_with_cluster(home, "--nodes", "1", "--cpus", "1") as person:
        yield person


def refused(jane: Person, *arguments: str, code: int = 4) -> str:
    """What a verb says that is refused. It exits with this code."""
    return jane.runs(*arguments, code=code).stderr


def states(jane: Person, batch: str) -> dict[str, str]:
    return {job["job"]: job["state"] for job in jane.asks("status", batch)["job_list"]}


def opens(path: Path) -> str:
    """A command that waits until somebody opens the gate."""
    return f"until [ -e {path} ]; do sleep 0.05; done"


def test_failed_jobs_run_again_and_what_was_built_and_succeeded_is_kept(jane: Person) -> None:
    """The batch has a job that runs after the others: it sees what the second attempt left."""
    once = "test $DISTRIBUTE_ATTEMPT = 2 && echo again > distribute_save/again.txt"
    (jane.home / "mended.yaml").write_text(
        "meta: {namespace: jane, batch_name: mended, resources: {cpus: 1}}\n"
        "command:\n"
        f"  initialize: {{build: 'echo built >> {jane.home}/builds'}}\n"
        "  jobs:\n"
        f"    - {{name: good, command: 'echo ran >> {jane.home}/good'}}\n"
        f"    - {{name: flaky, command: '{once}'}}\n"
        f"    - {{name: other, command: '{once}'}}\n"
        "finally: {name: table, command: 'ls input/results/*/again.txt > distribute_save/table.txt'}\n"
    )
    jane.runs("add", "mended.yaml", "--wait", code=1)
    assert states(jane, "jane/mended") == {
        "good": "succeeded", "flaky": "failed", "other": "failed", "table": "failed",
    }  # fmt: skip

    would = jane.asks("retry", "jane/mended", "flaky", "--dry")
    assert (would["failed"], would["killed"], would["job_names"]) == (1, 0, ["flaky"])
    assert jane.asks("status", "jane/mended")["state"] == "failed", "it only said what would happen"
    assert "1 failed job of jane/mended runs again" in jane.runs("retry", "jane/mended/flaky").stdout
    jane.runs("wait", "jane/mended", code=1)
    assert states(jane, "jane/mended") == {
        "good": "succeeded", "flaky": "succeeded", "other": "failed", "table": "succeeded",
    }  # fmt: skip

    said = jane.runs("retry", "jane/mended", "--failed", "--hold").stdout
    assert "1 failed job of jane/mended runs again, once it is released" in said
    assert jane.asks("status", "jane/mended")["held_by"] == user_name()
    assert states(jane, "jane/mended")["other"] == "queued"
    jane.runs("release", "jane/mended")
    jane.runs("wait", "jane/mended")
    assert jane.asks("status", "jane/mended")["state"] == "completed"
    jane.runs("pull", "mended")
    (table,) = (jane.home / "mended").rglob("table.txt")
    assert table.read_text().split() == [f"input/results/{job}/again.txt" for job in ("flaky", "other")]
    assert (jane.home / "good").read_text() == "ran\n"
    assert (jane.home / "builds").read_text() == "built\n"


def test_a_batch_that_gave_up_goes_on_with_the_chosen_job(jane: Person) -> None:
    jobs = {"a": "false", "b": "true", "c": "true"}
    jane.runs("add", jane.writes("gave-up", jobs, max_failures=1), "--wait", code=1)
    assert states(jane, "jane/gave-up") == {"a": "failed", "b": "failed", "c": "failed"}
    jane.runs("retry", "jane/gave-up", "b")
    jane.runs("wait", "jane/gave-up", code=1)
    assert states(jane, "jane/gave-up") == {"a": "failed", "b": "succeeded", "c": "failed"}
    (never,) = [job for job in jane.asks("status", "jane/gave-up")["job_list"] if job["job"] == "c"]
    assert never["reason"] == "1 of its jobs failed, and its max_failures is 1"


def test_killed_jobs_come_back(jane: Person) -> None:
    gate = jane.home / "gate-of-killed"
    jane.runs("add", jane.writes("dropped", {"a": opens(gate), "b": "true", "c": "false"}))
    until(lambda: states(jane, "jane/dropped")["a"] == "running")
    jane.runs("kill", "jane/dropped", "--state", "queued")
    assert states(jane, "jane/dropped") == {"a": "running", "b": "killed", "c": "killed"}
    assert "only jobs that failed run again; of jane/dropped, not b (killed)" in refused(
        jane, "retry", "jane/dropped", "b", "--failed"
    )
    none = refused(jane, "retry", "jane/dropped", "--include", "x", code=1)
    assert "no failed or killed job of jane/dropped matches 'x'" in none
    assert (
        "1 killed job of jane/dropped would run"
        in jane.runs("retry", "jane/dropped", "--include", "^b", "--dry").stdout
    )
    assert "2 killed jobs of jane/dropped run again" in jane.runs("retry", "jane/dropped", "--killed").stdout
    gate.touch()
    jane.runs("wait", "jane/dropped", code=1)
    assert states(jane, "jane/dropped") == {"a": "succeeded", "b": "succeeded", "c": "failed"}


def test_nothing_of_a_held_batch_begins_and_people_see_who_holds_it(jane: Person) -> None:
    gate = jane.home / "gate-of-held"
    jane.runs("add", jane.writes("held", {"a": opens(gate), "b": "true"}))
    until(lambda: states(jane, "jane/held")["a"] == "running")
    would = jane.runs("hold", "jane/held", "--dry").stdout
    assert "jane/held would be held: 1 job waits; 1 job runs on" in would
    assert jane.asks("status", "jane/held")["held_by"] is None
    document = jane.asks("hold", "jane/held", "--reason", "the mesh is wrong")
    user = document["held_by"]
    gate.touch()
    until(lambda: states(jane, "jane/held")["a"] == "succeeded")

    # The node is free now, and takes another batch, but nothing of the held one.
    jane.runs("add", jane.writes("beside", {"a": "true"}), "--wait")
    status = jane.asks("status", "jane/held")
    assert (status["held_by"], states(jane, "jane/held")["b"]) == (user, "queued")
    said = f"held by {user} since {status['held_at']}: the mesh is wrong"
    assert status["held"] == said
    here = rf"held by {user} since [\d :-]+: the mesh is wrong"  # by the clock of this computer
    assert re.search(here, jane.runs("status", "jane/held").stdout)
    assert f"its batch: {said}" in jane.asks("status", "jane/held/b")["why"]["summary"]
    assert f"jane/held is held already, by {user}" in jane.runs("hold", "jane/held").stdout

    assert "jane/held is released: 1 waiting job" in jane.runs("release", "jane/held").stdout
    jane.runs("wait", "jane/held")
    assert "jane/held is over: there is nothing to hold" in refused(jane, "hold", "jane/held")


def test_a_batch_of_higher_priority_goes_first(jane: Person) -> None:
    gate, order = jane.home / "gate-of-order", jane.home / "order"
    jane.runs("add", jane.writes("running", {"a": opens(gate)}))
    until(lambda: states(jane, "jane/running")["a"] == "running")
    for name in ("early", "late"):
        jane.runs("add", jane.writes(name, {"a": f"echo {name} >> {order}"}))
    jane.runs("priority", "jane/early", "-5")
    said = jane.runs("priority", "jane/late", "50", "--dry").stdout
    assert "jane/late would have the priority 50; it was 0" in said
    document = jane.asks("priority", "jane/late", "50")
    assert (document["priority"], document["priority_before"]) == (50, 0)
    assert jane.asks("status", "jane/early")["priority"] == -5
    gate.touch()
    jane.runs("wait", "jane/early")
    jane.runs("wait", "jane/late")
    assert order.read_text().split() == ["late", "early"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["retry", "jane/fine"], 4, "no jobs of jane/fine failed or were killed: there is nothing to retry"),
        (["retry", "jane/fine", "a"], 4, "of jane/fine, not a (succeeded)"),
        (["retry", "jane/fine", "z"], 4, "jane/fine has no job 'z'"),
        (["retry", "jane/nothing"], 4, "there is no batch"),
        (["retry", "jane/fine", "--include", "("], 2, "--include: '(' is not a regular expression"),
        (["retry", "jane/fine", "a", "--include", "b"], 2, "name the batch alone, or leave --include out"),
        (["hold", "jane/fine"], 4, "jane/fine is over: there is nothing to hold"),
        (["release", "jane/fine"], 4, "jane/fine is over: there is nothing to release"),
        (["hold", "jane/fine/a"], 2, "names a job; a batch is NAMESPACE/BATCH: jane/fine"),
        (["priority", "jane/fine", "5"], 4, "jane/fine is over: there is nothing to prioritize"),
        (["priority", "jane/fine", "1000"], 2, "a priority is a whole number from -100 to 100, not '1000'"),
        (["priority", "jane/fine", "-101"], 2, "a priority is a whole number from -100 to 100, not '-101'"),
        (["priority", "jane/fine", "high"], 2, "a priority is a whole number from -100 to 100, not 'high'"),
        (["drain", "nobody"], 4, "there is no node 'nobody'"),
        (["drain", "nobody", "--until", "2001-01-01"], 2, "--until: '2001-01-01' is in the past"),
        (["drain", "nobody", "--until", "soon"], 2, "--until: 'soon' is not a time"),
        (["undrain", "nobody"], 4, "there is no node 'nobody'"),
    ],
)
def test_what_makes_no_sense_is_refused(jane: Person, arguments: list[str], code: int, says: str) -> None:
    if not (jane.home / "fine.yaml").exists():
        jane.runs("add", jane.writes("fine", {"a": "true"}), "--wait")
    assert says in refused(jane, *arguments, code=code)


def test_another_persons_batch_is_acted_on_only_by_force(jane: Person) -> None:
    gate = jane.home / "gate-of-ours"
    owner = user_name()
    jane.runs("add", jane.writes("ours", {"a": opens(gate), "b": "true", "c": "true"}))
    until(lambda: states(jane, "jane/ours")["a"] == "running")
    jane.runs("kill", "jane/ours/c")
    jane.sets(LOGNAME="bob")
    try:
        for verb, *more in (["hold"], ["priority", "5"], ["retry"]):
            said = refused(jane, verb, "jane/ours", *more)
            assert f"jane/ours is {owner}'s batch, and you are bob: it takes force to" in said
            assert "(--force)" in said
        assert jane.asks("hold", "jane/ours", "--force")["held_by"] == "bob"
        assert "to release it" in refused(jane, "release", "jane/ours")
        jane.runs("retry", "jane/ours", "c", "--force")
    finally:
        jane.sets(LOGNAME=None)
        gate.touch()
    assert "jane/ours, held by bob, is released: 2 waiting jobs" in jane.runs("release", "jane/ours").stdout
    jane.runs("wait", "jane/ours")


def the_node(jane: Person) -> Any:
    (node,) = jane.asks("nodes")["nodes"]
    return node


def test_a_drain_is_seen_and_ends_by_itself(jane: Person) -> None:
    name = the_node(jane)["node"]
    assert f"{name} would take no new jobs" in jane.runs("drain", name, "--dry").stdout
    assert the_node(jane)["state"] == "idle"
    jane.runs("drain", name, "--reason", "new disk", "--until", "2s")
    jane.runs("add", jane.writes("after-drain", {"a": "true"}))
    jane.runs("wait", "jane/after-drain")  # once the drain is over; nobody undrains the node
    assert the_node(jane)["state"] == "idle"
    jane.runs("drain", name, "--reason", "new disk")
    node = the_node(jane)
    assert (node["state"], node["reason"], node["drained_until"]) == ("draining", "new disk", None)
    assert f"by {node['drained_by']}: new disk" in jane.runs("nodes").stdout
    assert f"{name} would take jobs again; it is draining" in jane.runs("undrain", name, "--dry").stdout
    assert f"{name} takes jobs again; it was draining" in jane.runs("undrain", name).stdout
    assert f"{name} takes jobs already" in jane.runs("undrain", name).stdout
    assert the_node(jane)["state"] == "idle"


def test_python_programs_have_the_same(jane: Person) -> None:
    with as_person(jane, jane.home):
        batch = distribute.Batch("lab/orders", resources={"cpus": 1})
        batch.job("a", "test $DISTRIBUTE_ATTEMPT = 2")
        batch.submit().wait(progress=False)
        with pytest.raises(distribute.Refused, match="lab/orders is over"):
            batch.hold()
        with pytest.raises(distribute.InvalidArgument, match="write a whole number from -100 to 100"):
            batch.set_priority(1000)
        with pytest.raises(distribute.InvalidArgument, match="write 'failed' or 'killed'"):
            batch.retry(only="lost")  # type: ignore[arg-type]
        with pytest.raises(distribute.InvalidArgument, match=r"of a list, write retry\(\*names\)"):
            batch.retry(["a"])  # type: ignore[arg-type]
        with pytest.raises(distribute.InvalidArgument, match="write 10000 at most"):
            batch.hold("x" * 10_001)
        with pytest.raises(distribute.UnknownName, match="lab/orders has no job 'b'"):
            batch.retry("b")
        assert batch.retry("a") == (1, 0)
        assert batch.wait(progress=False)["state"] == "completed"
        late = distribute.Batch("lab/late", resources={"cpus": 1})
        gate = jane.home / "gate-of-late"
        late.job("a", opens(gate))
        late.submit()
        late.set_priority(3)
        assert late.hold("a new mesh") is None
        assert late.hold() == late.release() == user_name()
        gate.touch()
        late.wait(progress=False)
        assert late.status()["priority"] == 3
