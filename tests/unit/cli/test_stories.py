"""Everything about one job, or one node, on a terminal and for programs."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from distribute.client.documents import NodeStory
from distribute.core.log.beats import Beat
from distribute.core.scheduling.agenda import Agenda
from distribute.core.views.views import batch_view, node_view
from distribute.testing import builders as make
from distribute_cli.output import stories
from distribute_cli.output.plain_output import JsonOutput, QuietOutput

ATTEMPT: Any = {
    "attempt": 1,
    "node": "ws1",
    "outcome": "failed",
    "assigned_at": "2026-01-01T00:00:01.000Z",
    "started_at": "2026-01-01T00:00:02.000Z",
    "finished_at": "2026-01-01T00:01:02.000Z",
    "exit_code": 3,
    "signal": None,
    "reason": "no room",
    "last_lines": ["in f", "\x1b[31mValueError\x1b[0m"],
    "outside": {
        "files": 1,
        "size_bytes": 2048,
        "largest": [{"path": "u.dat", "size_bytes": 2048}],
        "is_part": False,
    },
    "superseded": None,
    "wall_s": 60.0,
    "cpu_s": 59.0,
    "paused_s": 0.0,
    "max_rss_bytes": 1 << 30,
}
SPEC = make.batch([make.job("re 100")])
WAITING: Any = {
    **batch_view(make.happen(make.submitted(SPEC)), SPEC.id)["job_list"][0],
    "namespace": "lab",
    "batch": "sweep",
    "user": "jane",
    "kind": "command",
    "priority": 0,
    "command": ["./solver", "--name", "a b"],
    "setup": ["module load gcc", "ulimit -s unlimited"],
    "shell": ["bash", "-l"],
    "script": None,
    "image": None,
    "capabilities": ["gcc"],
    "resources": {"cpus": 4, "memory_bytes": 8 << 30, "gpus": 1},
    "timeout_s": 7200.0,
    "grace_s": None,
    "signal_before": None,
    "retries": 1,
    "env": {"RE": "100 m"},
    "files": ["mesh.dat"],
    "git": [],
    "attempts": [ATTEMPT],
    "left_out": [f"pipe{number}: a pipe, not a file" for number in range(22)],
    "why": {
        "summary": "waits: 1 of 2 nodes could run it, none can now",
        "nodes": [
            {"node": "ws1", "obstacle": "gpus", "text": "has too few GPUs: 0, of 1 needed"},
            {"node": "ws2", "obstacle": None, "text": "could take it now"},
        ],
    },
}


def drawn(parts: Any, width: int = 100) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False, highlight=False, emoji=False)
    for part in parts:
        console.print(part)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def fact(lines: list[str], name: str) -> str:
    """What a fact says."""
    return next(line.removeprefix(name).strip() for line in lines if line.startswith(f"{name} "))


def test_a_waiting_job_shows_what_it_is_its_attempts_and_what_keeps_each_node_from_it() -> None:
    lines = drawn(stories.job(WAITING))
    assert lines[0] == "lab/sweep/re 100"
    assert fact(lines, "waits") == "1 of 2 nodes could run it, none can now"
    assert fact(lines, "command") == "./solver --name 'a b'"
    assert fact(lines, "setup") == "module load gcc; ulimit -s unlimited"
    assert fact(lines, "shell") == "bash -l"
    assert fact(lines, "resources") == "4 cpus, 8G, 1 GPU"
    assert (fact(lines, "needs"), fact(lines, "timeout"), fact(lines, "env")) == ("gcc", "2h", "RE='100 m'")
    (row,) = [line.split() for line in lines if line.split()[:2] == ["1", "ws1"]]
    assert (row[2:4], row[-5:]) == (["failed", "3"], ["1m", "59s", "1G", "no", "room"])
    assert lines[lines.index("its last lines:") + 1 :][:2] == ["  in f", "  ValueError"]
    at = next(number for number, line in enumerate(lines) if line.startswith("node  why not there"))
    assert lines[at + 1].split(maxsplit=1) == ["ws2", "could take it now"]
    assert lines[at + 2].split(maxsplit=1) == ["ws1", "has too few GPUs: 0, of 1 needed"]
    assert lines[-1] == "`distribute logs 'lab/sweep/re 100'` shows all that it printed"


def test_a_job_shows_the_commits_that_it_has_as_inputs() -> None:
    commit = {"input": "code", "commit": "1a" * 20, "ref": "HEAD", "dirty": True, "folder": "src"}
    plain = {
        "input": "lib",
        "commit": "2b" * 20,
        "ref": "2b2b2b",
        "dirty": False,
        "folder": "",
        "remote": None,
    }
    document = {**WAITING, "git": [{**commit, "remote": "git@example.org:code.git\x1b[31m"}, plain]}
    lines = [" ".join(line.split()) for line in drawn(stories.job(document), width=150)]
    at = next(number for number, line in enumerate(lines) if line.startswith("commit "))
    assert lines[at : at + 2] == [
        f"commit code: {'1a' * 20}:src (HEAD) of git@example.org:code.git\\x1b[31m, with changes",
        f"commit lib: {'2b' * 20}",
    ]


def test_a_job_shows_when_it_is_warned_and_its_grace() -> None:
    warned = {**WAITING, "grace_s": 30.0, "signal_before": {"signal": "USR1", "before_s": 120.0}}
    lines = drawn(stories.job(warned))
    assert (fact(lines, "timeout"), fact(lines, "grace")) == ("2h; SIGUSR1 comes 2m before", "30s")


def test_a_job_that_never_began_elsewhere_has_no_time_at_which_it_began() -> None:
    """As one that a person cancelled at SLURM while it waited there."""
    attempt = {**ATTEMPT, "node": "slurm", "assigned_at": None, "started_at": None}
    lines = drawn(stories.job({**WAITING, "attempts": [attempt]}))
    (row,) = [line.split() for line in lines if line.split()[:2] == ["1", "slurm"]]
    assert row[2:5] == ["failed", "3", "-"]


def test_a_job_that_is_over_shows_why_and_waits_for_nothing() -> None:
    over = {**WAITING, "state": "failed", "reason": "no room", "archived": True, "resources": None}
    over["finished_at"] = ATTEMPT["finished_at"]
    over["script"], over["image"] = "run.py", "solver.sif"
    lines = drawn(stories.job(over))
    assert (fact(lines, "script"), fact(lines, "image")) == ("run.py, which runs as job.py", "solver.sif")
    assert fact(lines, "why") == "no room"
    at = lines.index("not archived:")
    assert lines[at + 1] == "  pipe0: a pipe, not a file"
    assert lines[at + stories.MOST_LINES + 1] == "and 2 more: --json names all"
    assert "a file outside ./distribute_save is not archived: u.dat (2K)" in lines
    assert fact(lines, "resources") == "a whole node"
    assert fact(lines, "results") == "can be pulled"
    assert not any(line.startswith(("waits", "node  why not")) for line in lines)


@pytest.mark.parametrize(("year", "is_there"), [(2199, True), (2020, False)])
def test_what_does_not_count_is_named_while_it_is_kept(year: int, is_there: bool) -> None:
    kept = {"folder": "/w/superseded/1", "size_bytes": 2048, "until": f"{year}-01-01T00:00:00+00:00"}
    given_away = {**ATTEMPT, "outcome": "released", "superseded": kept}
    lines = drawn(stories.job({**WAITING, "attempts": [given_away, {**ATTEMPT, "attempt": 2}]}))
    told = "attempt 1 was given to another node while ws1 was out of touch. What it left does not count; ws1"
    at = " ".join(lines).find(told)
    assert (at >= 0) is is_there
    assert ("(2K) in /w/superseded/1" in " ".join(lines)) is is_there


def test_of_a_thousand_nodes_some_are_listed() -> None:
    verdicts: Any = [{"node": f"ws{n}", "obstacle": "busy", "text": "is busy"} for n in range(1000)]
    many = {**WAITING, "why": {"summary": "waits", "nodes": verdicts}}
    lines = drawn(stories.job(many))
    assert sum(line.endswith("is busy") for line in lines) == stories.MOST_LINES
    assert "and 980 more nodes: --json lists them all" in lines


def one_node() -> NodeStory:
    """A node with a GPU, which runs a job and builds another batch."""
    spec = make.batch(build="make")
    state = make.happen(
        make.joined(cpus=8, gpus=("A100", "A100"), capabilities=frozenset({"gcc"})),
        make.submitted(spec),
        make.submitted(make.batch(batch="other")),
        make.assigned(cpus=2, memory_bytes=1 << 30, gpus=(1,)),
        make.claimed(),
        make.build_started("ws1", spec),
    )
    beat = Beat(
        node="ws1",
        incarnation="1",
        load=2.5,
        cpu_percent=31.0,
        disk_free_bytes=1 << 40,
        disk_needed_bytes=1 << 30,
        freezes_by="signals",
        build_copies="bind",
        lacks={"apptainer": "it is not installed"},
    )
    document: Any = node_view(Agenda(state, now=state.time), "ws1", beat)
    return document


def test_a_node_shows_what_it_is_has_and_does() -> None:
    document = one_node()
    assert [(job["job"], job["state"], job["gpus"]) for job in document["jobs"]] == [
        ("job1", "building", [1])
    ]
    assert (document["memory_free_bytes"], document["gpus_used"]) == (7 << 30, [1])
    lines = drawn(stories.node(document))
    assert lines[0] == "ws1"
    assert fact(lines, "builds").startswith("lab/sweep for ")
    assert fact(lines, "cpus") == "8, 6 free"
    assert fact(lines, "memory") == "8G, 7G free for jobs"
    assert fact(lines, "gpus") == "0: A100, 1: A100 (in use)"
    assert (fact(lines, "load"), fact(lines, "disk")) == (
        "2.5, 31 % of its cpus",
        "1T free, of which jobs leave 1G",
    )
    assert fact(lines, "pauses by") == "signals (it can make no cgroups)"
    assert fact(lines, "build copies") == "copies, mounted where the build ran"
    assert (fact(lines, "can"), fact(lines, "can't")) == ("gcc", "apptainer: it is not installed")
    assert lines[-1].split()[:3] == ["lab/sweep/job1", "jane", "building"]


def test_a_paused_node_shows_until_when_by_whom_and_why() -> None:
    state = make.happen(make.joined(), make.paused(by="jane"))
    document: Any = node_view(Agenda(state, now=state.time), "ws1", None)
    lines = drawn(stories.node(document))
    assert (fact(lines, "state"), fact(lines, "why")) == ("paused", "its owner works")
    assert fact(lines, "until").endswith(" (paused, by jane)")


@pytest.mark.parametrize(
    ("idle_s", "source", "shown"),
    [
        (200.0, "logind, terminals", "3m20s (by logind, terminals)"),
        (None, "terminals", "since the node started (by terminals)"),
        (65.0, "", "1m5s"),
        (None, "", None),
    ],
)
def test_a_node_shows_for_how_long_its_owner_is_away_and_what_shows_that(
    idle_s: float | None, source: str, shown: str | None
) -> None:
    state = make.happen(make.joined())
    beat = Beat(node="ws1", incarnation="1", load=0, owner_idle_s=idle_s, owner_source=source)
    document: Any = node_view(Agenda(state, now=state.time), "ws1", beat)
    lines = drawn(stories.node(document))
    assert (fact(lines, "owner away") if shown else any("owner" in line for line in lines)) == (
        shown or False
    )


def test_a_node_lists_a_limited_number_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distribute.core.views.views.MOST_JOBS", 2)
    state = make.happen(make.joined(cpus=8), make.submitted(make.batch(5)))
    make.happen(*(make.assigned(f"job{n}") for n in range(1, 6)), state=state)
    view = node_view(Agenda(state, now=state.time), "ws1", None)
    assert (len(view["jobs"]), view["more_jobs"], view["running"]) == (2, 3, 5)


def test_programs_get_the_documents_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    JsonOutput().job(WAITING)
    assert json.loads(capsys.readouterr().out) == WAITING
    JsonOutput().node(one_node())
    assert json.loads(capsys.readouterr().out) == {"nodes": [one_node()]}
    QuietOutput().job(WAITING)
    QuietOutput().node(one_node())
    assert capsys.readouterr().out == "re 100 queued\nws1 busy\n"
