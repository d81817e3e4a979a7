"""Everything about one job, as `status JOB` shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client.job_story import read_story
from distribute.client.queries import Queries
from distribute.core.errors import UnknownName
from distribute.core.files.manifest import Manifest, Outputs, Outside, OutsideFile
from distribute.core.folding.work import marked
from distribute.core.ids import AttemptId, JobId
from distribute.core.spec.git_commit import GitCommit
from distribute.core.spec.specs import (
    CommandJob,
    CommandWork,
    InputFile,
    InputFolder,
    PythonJob,
    PythonWork,
    Resources,
    SignalBefore,
)
from distribute.testing import builders as make

JOBS = (
    CommandJob(name="job1", command=("./solver", "--re", "100"), timeout_s=60, env={"RE": "100"}),
    CommandJob(name="line", command="./solver | sort", resources=Resources(cpus=3, gpus=1), retries=0),
    CommandJob(name="job3", command="true"),
)
SPEC = make.batch(JOBS, retries=2, env={"OMP": "x"}, capabilities=frozenset({"gcc"}))
JOB = JobId(*SPEC.id, "job1")
FAILED = {"succeeded": False, "exit_code": 1, "reason": None, "last_lines": ("in f", "ValueError")}


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


async def story(cluster: Any, job: str = "job1") -> Any:
    queries = Queries(cluster, clock=lambda: make.EPOCH.timestamp())
    return await read_story(cluster, queries, JobId(*SPEC.id, job))


async def test_a_job_is_described_by_its_own_values_and_else_those_of_its_batch(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC))
    found = await story(cluster)
    described = ("namespace", "batch", "job", "user", "kind", "state", "command", "capabilities")
    assert [found[key] for key in described] == [
        *("lab", "sweep", "job1", "jane", "command", "queued"),
        *(["./solver", "--re", "100"], ["gcc"]),
    ]
    assert (found["resources"], found["timeout_s"], found["retries"], found["env"]) == (
        {"cpus": 1, "memory_bytes": 0, "gpus": 0},
        60,
        2,
        {"OMP": "x", "RE": "100"},
    )
    line = await story(cluster, "line")
    assert (line["command"], line["resources"]["gpus"], line["retries"], line["timeout_s"]) == (
        "./solver | sort",
        1,
        0,
        None,
    )
    assert found["attempts"] == []


async def test_a_job_has_a_grace_and_a_warning_of_its_own_and_else_those_of_its_batch(cluster: Any) -> None:
    jobs = (
        CommandJob(name="job1", command="x", timeout_s=60, grace_s=0),
        CommandJob(name="untimed", command="x", signal_before=SignalBefore(signal="TERM", before_s=9)),
    )
    fields = {"grace_s": 30, "signal_before": SignalBefore(signal="USR1", before_s=5), "timeout_s": None}
    await cluster.say(make.submitted(SPEC.model_copy(update={"work": CommandWork(jobs=jobs), **fields})))
    found, untimed = await story(cluster), await story(cluster, "untimed")
    assert (found["grace_s"], found["signal_before"]) == (0, {"signal": "USR1", "before_s": 5})
    assert (untimed["grace_s"], untimed["signal_before"]) == (30, None), "it has no timeout"


async def test_the_script_and_the_image_of_a_job_are_named(cluster: Any) -> None:
    file = InputFile(alias="run.py", sha256="0" * 64, size_bytes=1)
    python = PythonWork(build=file, jobs=(PythonJob(name="job1", script=file, args=("--re", "1")),))
    await cluster.say(make.submitted(SPEC.model_copy(update={"work": python})))
    found = await story(cluster)
    assert (found["command"], found["script"]) == (["python3", "job.py", "--re", "1"], "run.py")
    assert found["image"] is None


async def test_the_commits_that_a_job_finds_are_named(cluster: Any) -> None:
    def folder(alias: str, commit: str | None) -> InputFolder:
        git = None if commit is None else GitCommit(commit=commit * 40, ref="main", dirty=True, folder="src")
        return InputFolder(
            alias=alias, sha256="0" * 64, listing_bytes=1, content="1" * 64, entries=1, size_bytes=1, git=git
        )

    job = CommandJob(name="job1", command="x", folders=(folder("code", "b"), folder("lib", None)))
    batch = (folder("code", "a"), folder("lib", "c"), folder("base", "d"))
    work = CommandWork(jobs=(job, CommandJob(name="other", command="x")))
    await cluster.say(make.submitted(SPEC.model_copy(update={"work": work, "folders": batch})))
    found = (await story(cluster))["git"]
    assert found[0] == {
        "input": "base", "commit": "d" * 40, "ref": "main", "dirty": True, "folder": "src", "remote": None,
    }  # fmt: skip
    assert [(one["input"], one["commit"][0]) for one in found] == [("base", "d"), ("code", "b")]
    others = (await story(cluster, "other"))["git"]
    assert [(one["input"], one["commit"][0]) for one in others] == [
        ("code", "a"),
        ("lib", "c"),
        ("base", "d"),
    ]


async def test_a_waiting_job_says_what_it_waits_for(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC))
    assert (await story(cluster))["why"] == {
        "summary": "waits: no node could ever run it",
        "state": "queued",
        "waits_for": "node",
        "asked_at": "2026-01-01T00:00:00.000Z",
        "queue": None,
        "start": None,
        "nodes": [{"node": "ws1", "obstacle": "capabilities", "text": "lacks capabilities: gcc"}],
    }


async def test_each_attempt_is_shown_with_its_node_times_and_outcome(cluster: Any) -> None:
    await cluster.say(make.joined(), make.joined("ws2"), make.submitted(SPEC))
    await cluster.say(make.assigned(), make.claimed(), make.started(), make.released(reason="node_lost"))
    await cluster.say(make.assigned(attempt=2), make.claimed(attempt=2))
    await cluster.say(make.yielded(attempt=2))
    await cluster.say(make.assigned(attempt=3, node="ws2"), make.claimed(attempt=3, node="ws2"))
    await cluster.say(
        make.finished(attempt=3, node="ws2", **FAILED), make.job_archived(attempt=3, node="ws2")
    )
    await cluster.say(make.assigned(attempt=4), make.claimed(attempt=4), make.started(attempt=4))
    attempts = (await story(cluster))["attempts"]
    shown = [
        (one["attempt"], one["node"], one["outcome"], one["exit_code"], one["reason"]) for one in attempts
    ]
    assert shown == [
        (1, "ws1", "released", None, "its node was lost"),
        (2, "ws1", "yielded", None, "its owner works"),
        (3, "ws2", "failed", 1, None),
        (4, "ws1", "running", None, None),
    ]
    assert attempts[2]["last_lines"] == ["in f", "ValueError"]
    times = [(one["assigned_at"], one["started_at"], one["finished_at"]) for one in attempts]
    assert all(time is not None for time in times[0])
    assert times[1][1] is None
    assert times[3][2] is None


async def test_what_an_attempt_left_outside_its_results_is_told(cluster: Any) -> None:
    outside = Outside(files=2, size_bytes=9, largest=(OutsideFile(path="u.dat", size_bytes=8),))
    await cluster.say(make.joined(), make.submitted(SPEC), make.assigned(), make.claimed())
    await cluster.say(make.finished(outputs=Outputs(outside=outside)))
    (attempt,) = (await story(cluster))["attempts"]
    assert attempt["outside"] == outside.model_dump() | {"largest": [{"path": "u.dat", "size_bytes": 8}]}


async def test_what_could_not_be_archived_is_told(cluster: Any) -> None:
    lines = ("pipe: a pipe, not a file",)
    stored = await cluster.keep(Manifest(left_out=lines).model_dump_json().encode())
    await cluster.say(make.joined(), make.submitted(SPEC), make.assigned(), make.claimed())
    await cluster.say(make.finished(outputs=Outputs(stored=stored, left_out=1)))
    assert (await story(cluster))["left_out"] == list(lines)


async def test_a_list_of_files_that_is_gone_hides_nothing_else(cluster: Any) -> None:
    stored = await cluster.keep(b"no manifest")
    await cluster.say(make.joined(), make.submitted(SPEC), make.assigned(), make.claimed())
    await cluster.say(make.finished(outputs=Outputs(stored=stored, left_out=1)))
    found = await story(cluster)
    assert (found["left_out"], found["state"]) == ([], "succeeded")


async def test_a_failure_that_was_excused_says_so(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC), make.assigned(), make.claimed())
    await cluster.say(make.finished(**FAILED | {"wall_s": 1.0}), make.excused())
    assert [one["outcome"] for one in (await story(cluster))["attempts"]] == ["excused"]


async def test_unknown_names_are_told_apart(cluster: Any) -> None:
    with pytest.raises(UnknownName, match="there is no batch lab/sweep"):
        await story(cluster)
    await cluster.say(make.submitted(SPEC))
    with pytest.raises(UnknownName, match="lab/sweep has no job 'nobody'"):
        await story(cluster, "nobody")


async def test_what_does_not_count_is_named_with_its_place(cluster: Any) -> None:
    submitted = make.submitted(SPEC)
    await cluster.say(submitted)
    for number, node in ((1, "ws1"), (2, "ws2"), (3, "ws1")):
        await cluster.say(make.assigned(JOB, node=node, attempt=number))
        if number < 3:
            await cluster.say(make.released(JOB, node=node, attempt=number, reason="node_lost"))
    for submission, number, node in (
        (submitted.id, 1, "ws1"),
        ("another", 2, "ws2"),
    ):
        of = AttemptId(*JOB, number)
        await cluster.say(make.superseded(node, of, submission=submission, folder=f"/kept/{number}"))
    await cluster.say(make.superseded("ws1", AttemptId(*SPEC.id, "line", 3)))
    first, second, third = (await story(cluster))["attempts"]
    assert first["superseded"] == {
        "folder": "/kept/1",
        "size_bytes": 5,
        "until": "2026-01-08T00:00:00+00:00",
    }
    assert (second["superseded"], third["superseded"]) == (None, None)


async def test_what_a_kept_job_left_aside_is_named_after_its_batch_was_replaced(cluster: Any) -> None:
    submitted = make.submitted(SPEC)
    left = make.superseded("ws1", AttemptId(*JOB, 1), submission=submitted.id, folder="/kept/1")
    ends = {"of": SPEC, "submission": submitted.id}
    await cluster.say(
        make.joined(), submitted, make.assigned(JOB), make.released(JOB, reason="node_lost"), left,
        make.kill_requested(**ends, job="line"), make.kill_requested(**ends, job="job3"),
        *[make_of(JOB, attempt=2) for make_of in (make.assigned, make.claimed, make.finished)],
        make.job_archived(JOB, attempt=2), make.completed(state="killed", **ends),
        make.batch_archived(**ends),
        make.submitted(marked(SPEC, frozenset({"job1"})), replaces=submitted.id),
    )  # fmt: skip
    first, second = (await story(cluster))["attempts"]
    assert (first["superseded"]["folder"], second["superseded"]) == ("/kept/1", None)
    assert (await story(cluster, "line"))["attempts"] == []
