"""What `pause` and `resume` say, and how the countdown looks."""

from __future__ import annotations

import io
import time
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from distribute.client.keepers import Held
from distribute_cli.local.gpu_memory import parsed
from distribute_cli.local.pauses import held_text
from distribute_cli.output.countdown import LineCountdown, terminal_countdown, time_left
from distribute_cli.pausing import (
    Wish,
    clock_time,
    cut_line,
    named,
    paused_line,
    resume_hint,
    resumed_line,
    unpaused_line,
)

WISH = Wish(node=None, duration_s=8 * 3600.0, is_default=False, by="jane", reason="", detach=False)
HELD = Held(
    "ws07", "nats://head:4222", "cgroup", None, None, None, "", jobs=2, pids=(7, 8, 9), memory_bytes=3 << 30
)


def test_a_pause_is_told_with_its_length_and_its_end_by_the_clock() -> None:
    until = datetime.now().astimezone().replace(microsecond=0) + timedelta(minutes=90, seconds=10)
    line = paused_line(["ws07"], until.timestamp(), 5410.2)
    assert line == f"ws07 is paused for 1h30m10s, until {clock_time(until.timestamp())}"
    assert resumed_line(["ws07"]) == "ws07 lends again"
    assert resumed_line(["a", "b"]) == "a and b lend again"


def test_what_ends_a_pause_names_the_node_that_the_person_named() -> None:
    """Without a name, `resume` ends the pauses of all nodes of the computer."""
    assert resume_hint(None) == "`distribute resume` ends the pause"
    assert resume_hint("ws07") == "`distribute resume --node ws07` ends the pause"
    assert resume_hint("my node") == "`distribute resume --node 'my node'` ends the pause"
    assert unpaused_line(["ws07"]) == "ws07 was not paused"
    assert unpaused_line(["a", "b"]) == "a and b were not paused"


def test_an_end_on_another_day_has_its_date() -> None:
    tomorrow = datetime.now().astimezone() + timedelta(days=1)
    assert clock_time(tomorrow.timestamp()) == f"{tomorrow:%Y-%m-%d %H:%M:%S}"
    assert clock_time(time.time()).count(":") == 2
    assert "-" not in clock_time(time.time())


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (list("abcd"), "a, b, c and d"),
        (list("abcde"), "a, b, c and 2 other nodes"),
    ],
)
def test_of_many_nodes_some_are_named(nodes: list[str], text: str) -> None:
    assert named(nodes) == text


def test_a_pause_that_was_cut_is_told_unless_nobody_asked_for_a_length() -> None:
    told = "ws07 is paused for 4h, not 8h: 'max_pause' in its node.yaml sets that"
    assert cut_line("ws07", WISH, 4 * 3600.0) == told
    assert cut_line("ws07", WISH._replace(is_default=True), 3600.0) is None
    assert cut_line("ws07", WISH, 8 * 3600.0 - 0.4) is None


def test_what_is_held_is_told_in_figures() -> None:
    assert held_text([HELD], None) == "2 jobs: 3 processes, 3G of memory"
    assert held_text([HELD, HELD], 1536 << 20).endswith("3 processes, 6G of memory, 1.5G of GPU memory")
    assert held_text([HELD._replace(jobs=0, pids=())], None) == "no job"


def test_the_memory_of_gpus_is_counted_for_each_process() -> None:
    """As `nvidia-smi` prints it: one line for each process on each GPU."""
    assert parsed("7, 512\n8, [N/A]\n7, 8\n\n") == {7: 520 << 20}


def test_the_countdown_fits_a_terminal_and_leaves_nothing_there() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80)
    with terminal_countdown(console, "Ctrl-C resumes") as shown:
        shown.show(5410.2, "holds 2 jobs: 3 processes, 3G of memory, 1.5G of GPU memory")
        text = stream.getvalue()
    assert "for 1h30m10s more; Ctrl-C resumes" in text
    assert "holds 2 jobs: 3 processes" in text
    assert stream.getvalue().endswith("\x1b[2K"), "its lines are erased"


@pytest.mark.parametrize(
    ("left_s", "text"),
    [
        (3 * 3600 + 58 * 60, "3h58m00s"),
        (3 * 3600 + 56 * 60 + 59.4, "3h56m59s"),
        (26 * 3600.0, "26h00m00s"),
        (3599.7, "1h00m00s"),
        (600.0, "10m00s"),
        (9.2, "9s"),
        (0.0, "0s"),
    ],
)
def test_the_time_that_is_left_has_one_form(left_s: float, text: str) -> None:
    assert time_left(left_s) == text


def test_without_a_terminal_the_time_is_told_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("distribute_cli.output.countdown.time.monotonic", lambda: now)
    shown = LineCountdown("Ctrl-C resumes")
    for now in range(130):
        shown.show(1000.0 - now, "holds no job")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "paused for 16m40s more: holds no job; Ctrl-C resumes",
        "paused for 15m40s more: holds no job",
        "paused for 14m40s more: holds no job",
    ]
