"""Tables, JSON and bare names are forms of the same document."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from distribute.client.words import argument, printable
from distribute.core.scheduling.agenda import Agenda
from distribute.core.state.state import State
from distribute.core.views.views import batch_view, batches_view, nodes_view
from distribute.testing.builders import (
    assigned,
    batch,
    batch_archived,
    build_finished,
    build_started,
    claimed,
    completed,
    finished,
    happen,
    job,
    job_archived,
    joined,
    left,
    paused,
    quarantined,
    started,
    submitted,
)
from distribute_cli.output import table_output, tables
from distribute_cli.output.choice import make_output
from distribute_cli.output.form import Document, Output
from distribute_cli.output.plain_output import JsonOutput, QuietOutput
from distribute_cli.output.table_output import TableOutput

SPEC = batch([job("job1"), job("job2"), job("job3")])
STATE = happen(
    joined("ws1"),
    joined("ws2", capabilities=frozenset({"gpu", "matlab"})),
    joined("ws3"),
    submitted(SPEC),
    assigned("job1", "ws1"),
    claimed("job1", "ws1"),
    started("job1", "ws1"),
    finished("job1", "ws1", succeeded=False, signal=9, reason="killed by the kernel", wall_s=75.4),
    job_archived("job1", "ws1"),
    assigned("job2", "ws2"),
    claimed("job2", "ws2"),
    started("job2", "ws2"),
    left("ws3"),
)
BATCHES, BATCH = batches_view(STATE), batch_view(STATE, SPEC.id)
NODES = nodes_view(Agenda(STATE, now=STATE.time), {})


def drawn(table: Callable[[Document], object], document: Document, width: int = 200) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False, highlight=False, emoji=False)
    for part in table(document):  # type: ignore[attr-defined]
        console.print(part)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_batches_are_shown_as_a_table() -> None:
    heading, row = drawn(tables.batches, BATCHES)
    assert heading.split() == [
        "batch",
        "user",
        "state",
        "jobs",
        "succeeded",
        "running",
        "queued",
        "failed",
        "submitted",
        "took",
    ]
    assert row.split()[:8] == [f"{SPEC.namespace}/{SPEC.batch}", "jane", "running", "3", "-", "1", "1", "1"]


def test_one_batch_is_shown_as_a_table() -> None:
    lines = drawn(tables.batch, BATCH)
    assert lines[3].split() == ["job", "state", "attempt", "node", "exit", "took", "cpu", "why"]
    assert lines[4].split(maxsplit=7)[:6] == ["job1", "failed", "1", "ws1", "SIGKILL", "1m15s"]
    assert lines[4].endswith("killed by the kernel")
    assert lines[5].split()[:4] == ["job2", "running", "1", "ws2"]
    assert lines[6].split()[:7] == ["job3", "queued", "-", "-", "-", "-", "-"]
    assert lines[6].endswith("waits for its turn")


def test_a_batch_that_ran_elsewhere_says_so() -> None:
    here, there = drawn(tables.batch, BATCH), drawn(tables.batch, BATCH | {"ran_at": "slurm"})
    assert set(there) - set(here) == {"it ran at slurm, not on this cluster"}


def test_a_table_says_how_many_jobs_it_does_not_list() -> None:
    lines = drawn(tables.batch, batch_view(STATE, SPEC.id, most=1))
    assert lines[4].split()[:2] == ["job1", "failed"]
    assert "2 more jobs: --all lists all, --state those of one state" in lines
    assert (TableOutput.most_jobs, JsonOutput.most_jobs, QuietOutput.most_jobs) == (100, None, None)
    assert "more jobs" not in "".join(drawn(tables.batch, BATCH))


def test_a_batch_shows_why_it_failed_and_where_its_build_failed() -> None:
    builds = {f"ws{n}": "exit code 2" for n in range(1, 10)} | {"ws0": "no compiler"}
    printed = {"ws7": ["cc -O2", "error: \x1b[31mno main\x1b[0m\a"], "ws8": ["cc -O2", "error: no main\a"]}
    document = BATCH | {"reason": "none could build it", "build_failed": builds, "build_last_lines": printed}
    lines = drawn(tables.batch, document)
    assert "none could build it" in lines
    first = lines.index("the build failed at ws7, ws8: exit code 2; its last lines:")
    assert lines[first : first + 6] == [
        "the build failed at ws7, ws8: exit code 2; its last lines:",
        "    cc -O2",
        "    error: no main",
        "the build failed at ws0: no compiler",
        "the build failed at ws1, ws2: exit code 2",
        "the build failed at 5 more nodes",
    ]
    assert lines[first + 6] == "`distribute logs lab/sweep` shows all that it printed"


def test_no_line_of_a_job_controls_the_terminal_and_no_command_is_wrapped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = "n" * 90
    spec = batch([job(long), job("job2")])
    state = happen(joined("ws1"), submitted(spec))
    for name in (long, "job2"):
        ended = finished(name, succeeded=False, last_lines=("\x1b[31mred\t.\x1b[0m\a",))
        happen(assigned(name), claimed(name), started(name), ended, state=state)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(table_output.sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    TableOutput().batch(batch_view(state, spec.id))
    lines = terminal.getvalue().splitlines()
    assert f"    distribute logs lab/sweep/{long}" in lines
    assert any(line.startswith("    red     .") for line in lines)
    assert all(line.isprintable() for line in lines)


def test_a_batch_that_is_being_archived_says_so() -> None:
    state = happen(
        joined("ws1"), submitted(batch(1)), assigned(), claimed(), started(), finished(), completed(batch(1))
    )
    assert "completed, archiving" in drawn(tables.batches, batches_view(state))[1]
    state = happen(job_archived(), batch_archived(batch(1)), state=state)
    assert "archiving" not in drawn(tables.batches, batches_view(state))[1]


def test_nodes_are_shown_as_a_table() -> None:
    heading, *rows = drawn(tables.nodes, NODES)
    assert heading.split() == ["node", "state", "cpus", "free", "memory", "jobs", "load", "capabilities"]
    assert [row.split()[:2] for row in rows] == [["ws1", "idle"], ["ws2", "busy"], ["ws3", "left"]]
    assert rows[1].endswith("gpu, matlab")
    assert rows[2].split()[3] == "-"


def test_a_node_in_quarantine_shows_why_and_for_how_long() -> None:
    state = happen(joined("ws1"), quarantined("ws1", datetime.now(UTC) + timedelta(hours=2, seconds=30)))
    document = nodes_view(Agenda(state, now=state.time), {})
    heading, row = drawn(tables.nodes, document)
    assert heading.split()[-1] == "why"
    assert f"for 2h more: {document['nodes'][0]['reason']}" in row


@pytest.mark.parametrize(
    ("whose", "why"),
    [
        ({"by": "jane", "reason": ""}, "for 2h more, by jane"),
        ({"by": "jane", "reason": "a talk"}, "for 2h more, by jane: a talk"),
        ({"reason": "the computer is in use"}, "for 2h more: the computer is in use"),
    ],
)
def test_a_paused_node_shows_for_how_long_by_whom_and_why(whose: dict[str, str], why: str) -> None:
    state = happen(joined("ws1"), paused("ws1", datetime.now(UTC) + timedelta(hours=2, seconds=30), **whose))
    _, row = drawn(tables.nodes, nodes_view(Agenda(state, now=state.time), {}))
    assert row.endswith(why)


def being_built(nodes: int) -> State:
    """A batch that is being built on so many nodes, since now."""
    now = datetime.now(UTC).timestamp()
    spec = batch(nodes, build="make")
    state = State(time=now - 10 - 4 * nodes)
    happen(*(joined(f"ws{n}") for n in range(1, nodes + 1)), submitted(spec), state=state)
    for n in range(1, nodes + 1):
        happen(assigned(f"job{n}", f"ws{n}"), claimed(f"job{n}", f"ws{n}"), state=state)
        happen(build_started(f"ws{n}", spec), state=state)
    return state


def test_a_build_is_seen_with_its_node_and_how_long_it_runs() -> None:
    state = being_built(1)
    (row,) = drawn(tables.batches, batches_view(state))[1:]
    assert re.search(r"jane +building on ws1, \d+s ", row)
    lines = drawn(tables.batch, batch_view(state, SPEC.id))
    assert any(re.fullmatch(r"being built on ws1 for \d+s", line) for line in lines)
    assert "`distribute logs -f lab/sweep` shows what it prints" in lines
    assert ["job1", "building", "1", "ws1"] in [line.split()[:4] for line in lines]
    heading, row = drawn(tables.nodes, nodes_view(Agenda(state, now=state.time), {}))
    assert heading.split()[-1] == "why"
    assert re.search(r"^ws1 +building .* lab/sweep for \d+s$", row)


def test_a_build_that_was_kept_says_from_which_batch() -> None:
    kept = [build_finished(f"ws{n}", kept_from=other) for n, other in enumerate(("lab/a", "lab/b", "lab/a"))]
    state = happen(joined("ws0"), submitted(batch(1, build="make")), *kept)
    lines = drawn(tables.batch, batch_view(state, SPEC.id))
    assert [line for line in lines if "kept" in line] == [
        "build on ws0, ws2: kept from lab/a",
        "build on ws1: kept from lab/b",
    ]


def test_many_builds_are_counted() -> None:
    state = being_built(8)
    assert re.search(r" building on 8 nodes, \d+s ", drawn(tables.batches, batches_view(state))[1])
    lines = drawn(tables.batch, batch_view(state, SPEC.id))
    assert sum(line.startswith("being built on ws") for line in lines) == 5
    assert "being built on 3 more nodes" in lines


def test_a_batch_of_which_jobs_run_is_running_though_another_node_builds_it() -> None:
    state = being_built(2)
    happen(build_finished("ws1", batch(2, build="make")), started("job1"), state=state)
    assert drawn(tables.batches, batches_view(state))[1].split()[:3] == ["lab/sweep", "jane", "running"]
    assert any(
        line.startswith("being built on ws2 for") for line in drawn(tables.batch, batch_view(state, SPEC.id))
    )


def test_an_empty_cluster_says_what_to_do() -> None:
    assert "`distribute add`" in drawn(tables.batches, {"batches": []})[0]
    assert "`distribute client`" in drawn(tables.nodes, {"nodes": []})[0]


def test_without_a_terminal_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    name = "n" * 120
    wide = batch([job(name)])
    TableOutput().batch(batch_view(happen(submitted(wide)), wide.id))
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("answer", ["batches", "batch", "nodes"])
def test_json_is_the_document_itself(answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = {"batches": BATCHES, "batch": BATCH, "nodes": NODES}[answer]
    getattr(JsonOutput(), answer)(document)
    assert json.loads(capsys.readouterr().out) == document


def test_quiet_prints_names_and_states(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = QuietOutput()
    quiet.batches(BATCHES)
    quiet.batch(BATCH)
    quiet.nodes(NODES)
    quiet.done("done", {})
    quiet.hint("hint")
    assert capsys.readouterr().out.splitlines() == [
        f"{SPEC.namespace}/{SPEC.batch} running",
        "job1 failed",
        "job2 running",
        "job3 queued",
        "ws1 idle",
        "ws2 busy",
        "ws3 left",
    ]


@pytest.mark.parametrize("output", [TableOutput(), JsonOutput(), QuietOutput()])
def test_warnings_are_always_printed_but_never_into_the_answer(
    output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    output.warn("the disk is full")
    assert capsys.readouterr() == ("", "distribute: the disk is full\n")


def test_no_line_can_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output, odd, shown = (
        TableOutput(),
        "its data is in \x1b[31m\udcff\nend",
        "its data is in \\x1b[31m\\udcff\nend",
    )
    output.done(odd, {})
    output.hint(odd)
    output.warn(odd)
    assert capsys.readouterr() == (f"{shown}\n", f"{shown}\ndistribute: {shown}\n")


def test_json_wins_over_quiet() -> None:
    assert isinstance(make_output(as_json=True, quiet=True), JsonOutput)
    assert isinstance(make_output(as_json=False, quiet=True), QuietOutput)


def test_without_a_terminal_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(table_output.time, "monotonic", lambda: now)
    with TableOutput().bar("jane/sweep") as bar:
        for _ in range(5):
            bar.update(1, 4, "3 running")
        now += table_output.LINE_EVERY_S
        bar.update(2, 4, "2 running")
        now += table_output.LINE_EVERY_S
        bar.update(2, 4, "2 running")
        bar.update(3, 4)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "jane/sweep: 50 % (2 running)"
    assert second.startswith("jane/sweep: 75 % (30 jobs/min, done in about 2s (")


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl"])))
def test_no_name_can_control_the_terminal_or_start_a_line(name: str) -> None:
    shown = printable(name)
    assert shown.isprintable()
    assert shown == name or not name.isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@settings(max_examples=25)
def test_a_shell_reads_a_name_in_a_command_as_that_name(name: str) -> None:
    typed = argument(name)
    assert typed.isprintable()
    said = subprocess.run(
        ["bash", "-c", f"printf %s {typed}"],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert said.stdout.decode() == name


def test_a_plain_name_is_not_quoted() -> None:
    assert argument("jane/sweep-3.b_1") == "jane/sweep-3.b_1"
    assert argument("my lab/it's") == """'my lab/it'"'"'s'"""


def test_markup_in_a_name_is_text() -> None:
    odd = batch([job("[red]x")])
    assert any("[red]x" in line for line in drawn(tables.batch, batch_view(happen(submitted(odd)), odd.id)))


def test_a_narrow_terminal_shows_what_matters_most(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(table_output.sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    TableOutput().nodes(NODES)
    heading = Text.from_ansi(terminal.getvalue().splitlines()[0]).plain
    assert heading.split() == ["node", "state", "cpus", "jobs"]
    terminal.truncate(0)
    named = BATCHES["batches"][0] | {"namespace": "a name", "batch": "of words 日本"}
    TableOutput().batches({"batches": [named]})
    shown = Text.from_ansi(terminal.getvalue()).plain
    assert {"a", "name/of", "words", "日本"} <= set(shown.split()), "words stay whole"
    assert "running" in shown
