"""What verbs tell of a cluster with a real history, of which `eventful` says what happened."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio

from acceptance.eventful import (
    BROKEN,
    DOOMED,
    FLAKY,
    GPU,
    JOBS,
    LEFT,
    LONG,
    RIGHT,
    SMALL,
    SWEEP,
    TRAIN,
    Eventful,
    open_eventful_lab,
)
from acceptance.lab import Json
from acceptance.person import Person
from acceptance.told import assert_adds_up, assert_in_order, obstacles, phases, sentences

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_BEATS = ("load", "owner_idle_s", "heard_at")
"""What a log does not have of a node."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def past(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Eventful]:
    async with open_eventful_lab(tmp_path_factory.mktemp("eventful")) as eventful:
        yield eventful


def batches(status: Json) -> dict[str, Json]:
    return {f"{batch['namespace']}/{batch['batch']}": batch for batch in status["batches"]}


def nodes(document: Json) -> dict[str, Json]:
    """The nodes as a log tells of them."""
    return {
        node["node"]: {key: value for key, value in node.items() if key not in OF_BEATS}
        for node in document["nodes"]
    }


async def test_status_and_nodes_tell_what_became_of_all(past: Eventful) -> None:
    status = (await past.lab.distribute("status", "--json")).document
    assert {
        name: (batch["user"], batch["state"], batch["jobs"]["total"], batch["jobs"]["succeeded"])
        for name, batch in batches(status).items()
    } == {
        BROKEN: ("bob", "failed", 2, 0),
        FLAKY: ("bob", "completed", 2, 2),
        TRAIN: ("jane", "completed", 2, 2),
        LONG: ("jane", "completed", 1, 1),
        SWEEP: ("carol", "completed", JOBS, JOBS),
        DOOMED: ("jane", "killed", 1, 0),
    }
    found = nodes((await past.lab.distribute("nodes", "--json")).document)
    assert {
        name: (node["state"], node["gpus"], "compiler" in node["capabilities"])
        for name, node in found.items()
    } == {
        SMALL: ("idle", [], False),
        LEFT: ("idle", [], True),
        RIGHT: ("idle", [], True),
        GPU: ("idle", ["RTX 3090"], False),
    }


async def test_a_moment_of_the_middle_is_shown_as_people_saw_it(past: Eventful) -> None:
    then = past.then
    assert {name: batch["state"] for name, batch in batches(then.status).items()} == {
        BROKEN: "failed",
        FLAKY: "completed",
        TRAIN: "running",
        LONG: "running",
        SWEEP: "running",
        DOOMED: "killed",
    }
    assert {name: node["state"] for name, node in nodes(then.nodes).items()} == {
        SMALL: "draining",
        past.lost: "lost",
        past.other: "busy",
        GPU: "paused",
    }
    for moment in (["--at", then.time], ["--seq", str(then.seq)]):
        replayed = await past.asked("replay", *moment)
        assert (replayed["seq"], replayed["time"]) == (then.seq, then.time)
        assert replayed["batches"] == then.status["batches"]
        assert nodes(replayed) == nodes(then.nodes)
    for name, seen in then.batches.items():
        replayed = await past.asked("replay", "--seq", str(then.seq), name)
        replayed.pop("cluster")
        jobs = zip(replayed.pop("job_list"), seen["job_list"], strict=True)
        assert replayed == {key: seen[key] for key in replayed}
        for job, job_seen in jobs:
            running = ("wall_s", "paused_s") if job["finished_at"] is None else ()
            assert job == {key: job_seen[key] for key in job} | {key: job[key] for key in running}
    assert len(then.batches[SWEEP]["job_list"]) == JOBS
    held = then.batches[SWEEP]
    assert (held["held_by"], held["edited_by"]) == ("carol", "carol")
    assert held["jobs"]["queued"] > 0 < held["jobs"]["succeeded"]


async def test_why_says_what_jobs_waited_for_and_where_their_time_went(past: Eventful) -> None:
    of_gpu = past.then.why[f"{TRAIN}/b"]
    assert_adds_up(of_gpu["ledger"])
    assert (of_gpu["waits_for"], of_gpu["queue"]["place"]) == ("owner", 1)
    assert obstacles(of_gpu) == {SMALL: "gpus", LEFT: "gpus", RIGHT: "gpus", GPU: "paused"}
    assert any("by bob: a talk" in node["text"] for node in of_gpu["nodes"])
    held = past.then.why[f"{SWEEP}/{JOBS}"]
    assert_adds_up(held["ledger"])
    assert held["waits_for"] == "batch"
    assert "held by carol since " in held["summary"]
    assert held["summary"].endswith(": the mesh is wrong")
    for job, of_its_life in (
        (f"{LONG}/one", {"turn", "lost", "staging", "running"}),
        (f"{TRAIN}/a", {"running", "paused"}),
        (f"{TRAIN}/b", {"turn", "owner"}),
        (f"{SWEEP}/{JOBS}", {"batch"}),
        (f"{FLAKY}/bad", {"running", "over"}),
        (f"{BROKEN}/a", {"lost"}),
        (f"{DOOMED}/a", {"running"}),
    ):
        found = await past.asked("why", job)
        assert (found["waits_for"], found["ledger"]["over"]) == (None, True)
        assert phases(found) >= of_its_life, job
        assert_adds_up(found["ledger"])
        batch, _, name = job.rpartition("/")
        jobs = (await past.asked("status", batch, "--all"))["job_list"]
        (status,) = [one for one in jobs if one["job"] == name]
        assert found["ledger"]["submitted_at"] == status["submitted_at"]
        assert found["ledger"]["until"] >= (status["finished_at"] or status["submitted_at"])
    lost = (await past.asked("why", f"{LONG}/one"))["ledger"]["entries"]
    assert [entry["node"] for entry in lost if entry["phase"] == "lost"] == [past.other, past.lost]
    events = [one for one in await past.asked("history", f"{LONG}/one") if one["misfit"] is None]
    (assigned, released) = [
        moment(one) for one in events if one["type"] in {"assigned", "released"} and one["attempt"] == 2
    ]
    (taken,) = [entry["seconds"] for entry in lost if (entry["phase"], entry["attempt"]) == ("lost", 2)]
    assert released - assigned == pytest.approx(taken, abs=0.002)


def moment(event: Json) -> float:
    """When the log stored an event."""
    return datetime.fromisoformat(event["time"]).timestamp()


async def test_the_history_of_batches_tells_who_did_what(past: Eventful) -> None:
    for batch, wanted in {
        BROKEN: (
            "bob submitted bob/broken: 2 jobs",
            "bob/broken is being built on ",
            "bob/broken could not be built on ",
            "bob/broken could not be built on ",
            "bob/broken is over: 2 failed: the build failed on every node that could run it",
            "bob was told by command how bob/broken ended",
        ),
        FLAKY: (
            "bob/flaky is over: 1 succeeded, 1 failed",
            "bob has the failed jobs of bob/flaky run again",
            "bad, attempt 2, succeeded on ",
            "bob/flaky is over: 2 succeeded",
        ),
        LONG: (
            f"one started on {past.other}",
            "jane moves one away from its node",
            f"one was given back by {past.other}: moved by jane",
            f"one, attempt 2, started on {past.lost}",
            f"node {past.lost} is lost: silent for ",
            f"one, attempt 2, was taken from {past.lost}: its node was lost",
            f"one, attempt 3, started on {past.other}",
            f"one, attempt 3, succeeded on {past.other} after ",
            "jane/long is over: 1 succeeded",
        ),
        DOOMED: (
            "bob kills jane/doomed",
            "a was killed on ",
            "jane/doomed is over: 1 killed",
            "jane was told by command how jane/doomed ended",
        ),
        SWEEP: (
            f"carol submitted carol/sweep: {JOBS} jobs",
            "carol holds carol/sweep: the mesh is wrong",
            "carol edits carol/sweep: a timeout of 10m",
            "carol lets jobs of carol/sweep begin again",
            f"carol/sweep is over: {JOBS} succeeded",
            "carol was told by command how carol/sweep ended",
        ),
    }.items():
        assert_in_order(sentences(await past.says("history", batch)), *wanted)
    every = await past.asked("history", SWEEP)
    assert [one["seq"] for one in every] == sorted(one["seq"] for one in every)
    counts = Counter(one["type"] for one in every if one["misfit"] is None)
    assert (counts["submitted"], counts["finished"], counts["completed"]) == (1, JOBS, 1)
    assert "no such compiler: gfortran-99" in await past.says("logs", BROKEN)


async def test_the_history_of_nodes_and_jobs_tells_who_did_what(past: Eventful) -> None:
    def tell(node: str) -> Awaitable[str]:
        return past.says("history", "--node", node)

    assert_in_order(
        sentences(await tell(GPU)),
        f"node {GPU} joined: 4 cpus, 8G of memory, 1 GPU",
        f"bob pauses node {GPU} until ",
        f"node {GPU} is paused until ",
        f"bob lets node {GPU} lend again",
        f"node {GPU} lends again",
    )
    of_small = sentences(await tell(SMALL))
    assert f"bob drains node {SMALL}: new disk" in of_small
    assert f"jane lets node {SMALL} take jobs again" in of_small
    assert_in_order(
        sentences(await tell(past.lost)),
        f"node {past.lost} is lost: silent for ",
        f"node {past.lost} is back",
    )
    of_job = sentences(await past.says("history", f"{TRAIN}/a"))
    assert_in_order(
        of_job,
        f"a started on {GPU}",
        f"node {GPU} is paused until ",
        f"node {GPU} lends again",
        "a succeeded",
    )
    assert not [line for line in of_job if line.startswith("b ")]


async def test_the_stream_of_events_is_chosen_by_type_and_time(past: Eventful) -> None:
    def seqs(printed: str) -> list[int]:
        return [json.loads(line)["seq"] for line in printed.splitlines()]

    every = seqs(await past.says("events", "--json"))
    assert every == list(range(1, await past.lab.cluster.log.last_seq() + 1))
    acts = ("pause_requested", "drain_requested", "kill_requested", "move_requested", "lost")
    chosen = [word for act in acts for word in ("--type", act)]
    found = [json.loads(line) for line in (await past.says("events", "--json", *chosen)).splitlines()]
    assert {(one["type"], one["author"]) for one in found} == {
        ("pause_requested", "bob"),
        ("move_requested", "jane"),
        ("kill_requested", "bob"),
        ("drain_requested", "bob"),
        ("lost", "scheduler"),
    }
    assert len(found) == len(acts)
    after = seqs(await past.says("events", "--json", "--since", str(past.then.seq)))
    assert after == [seq for seq in every if seq > past.then.seq]
    since = seqs(await past.says("events", "--json", "--since", past.then.time))
    assert since[-len(after) - 1 :] == [past.then.seq, *after]


async def test_the_log_is_sound_and_the_scheduler_has_the_same_state(past: Eventful) -> None:
    found = await past.asked("replay", "--verify")
    last = await past.lab.cluster.log.last_seq()
    assert found["sound"]
    assert (found["events"], found["last_seq"]) == (last, last)
    assert found["scheduler"] == {"seq": last, "compared": True, "differs": []}
    assert (await past.says("replay", "--verify")).splitlines() == [
        f"every invariant holds: {last} events, up to {last}",
        f"the scheduler's state at event {last} is the same",
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def saved(past: Eventful, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the cluster in a file."""
    file = tmp_path_factory.mktemp("saved") / "lab.log.gz"
    await past.says("replay", "--export", str(file))
    return file


async def test_a_saved_log_answers_as_the_cluster_does(past: Eventful, saved: Path) -> None:
    with Person(saved.parent) as alone:
        alone.sets(DISTRIBUTE_FROM=str(saved))

        async def says(*arguments: str) -> str:
            return (await asyncio.to_thread(alone.runs, *arguments)).stdout

        for words in (
            ("history", SWEEP), ("history", BROKEN), ("history", "--node", past.lost),
            ("why", f"{LONG}/one"), ("why", f"{TRAIN}/a"), ("events", "--json"),
        ):  # fmt: skip
            assert await says(*words) == await past.says(*words) != "", words
        for words in (
            ("status",), ("status", SWEEP, "--all"), ("status", f"{LONG}/one"),
            ("nodes",), ("replay", "--at", past.then.time), ("replay", "--verify"),
        ):  # fmt: skip
            live, alike = await past.asked(*words), json.loads(await says(*words, "--json"))
            assert of_log(alike) == of_log(live), words


def of_log(document: Json) -> Json:
    """What an answer has from the log, which does not tell where and when it was asked, nor of heartbeats."""
    of_asking = {"cluster", "saved", "scheduler", "asked_at"}
    found = {key: value for key, value in document.items() if key not in of_asking}
    if "why" in found:
        found["why"] = of_log(found["why"])
    if "batch" not in found and "nodes" in found:
        found["nodes"] = nodes(document)
    return found


async def test_an_altered_file_is_refused_at_the_event(past: Eventful, saved: Path) -> None:
    lines = gzip.decompress(saved.read_bytes()).splitlines(keepends=True)
    number, line = next((number, line) for number, line in enumerate(lines) if b'"drain_requested"' in line)
    lines[number] = line.replace(b"new disk", b"old disk")
    altered = saved.with_name("altered.gz")
    altered.write_bytes(gzip.compress(b"".join(lines)))
    seq = json.loads(line)["seq"]
    place = f"altered.gz: was altered or cut short in line {number + 1}, behind event {seq - 1}: "
    cut = saved.with_name("cut.gz")
    cut.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    for verb in (["status"], ["nodes"], ["replay", "--verify"]):
        refused = await past.lab.distribute(*verb, "--from", str(altered), code=1)
        assert place in refused.err
        assert refused.out == ""
        refused = await past.lab.distribute(*verb, "--from", str(cut), code=1)
        assert re.search(r"cut\.gz: was altered or cut short in line \d+, behind event \d+: ", refused.err)


async def test_each_person_was_told_what_concerns_them(past: Eventful) -> None:
    told = Counter((message["to"], message["subject"]) for message in past.messages)
    assert told == {
        ("bob", "the build of bob/broken failed"): 1,
        ("bob", "bob/broken failed"): 1,
        ("bob", "bob/flaky failed"): 1,
        ("bob", "bob/flaky has completed"): 1,
        ("jane", "jane/long started"): 1,
        ("jane", "bob killed jane/doomed"): 1,
        ("jane", "jane/doomed was killed by bob"): 1,
        ("jane", "jane/train has completed"): 1,
        ("jane", "jane/long has completed"): 1,
        ("carol", "carol/sweep has completed"): 1,
    }
    (of_sweep,) = [message for message in past.messages if message["to"] == "carol"]
    assert of_sweep["facts"]["jobs"]["succeeded"] == JOBS
    (of_build,) = [message for message in past.messages if message["facts"]["news"] == "build_failure"]
    assert of_build["facts"]["failed_builds"][0]["last_lines"] == ["no such compiler: gfortran-99"]
