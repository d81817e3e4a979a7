"""What people see in a terminal fits it, whatever the names of batches, jobs and nodes."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from acceptance.person import Person
from acceptance.terminal import Terminal

BATCH = "計算" * 10 + "-" + "long" * 16
JOBS = {f"{'job' * 40}-{number}": f"sleep 0.{number}" for number in range(1, 6)}


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person with a cluster and a batch of long names."""
    with Person(tmp_path_factory.mktemp("home")) as person:
        person.sets(TERM="xterm-256color", COLUMNS=None, LINES=None, NO_COLOR=None)
        person.runs("up", "--nodes", "1", "--cpus", "1", "--detach")
        person.runs("add", person.writes(BATCH, JOBS, namespace="n" * 255))
        yield person
        person.runs("down")


def shown(person: Person, columns: int, *arguments: str) -> list[str]:
    """What a verb writes to a terminal of so many columns, line by line."""
    terminal = Terminal.opened(columns)
    process = person.starts(
        *arguments, stdin=terminal.program, stdout=terminal.program, stderr=terminal.program
    )
    lines = terminal.lines()
    assert process.wait(timeout=120) == 0, lines
    return lines


@pytest.mark.parametrize("columns", [80, 40])
def test_watch_status_and_nodes_fit(jane: Person, columns: int) -> None:
    name = f"{'n' * 255}/{BATCH}"
    watched = shown(jane, columns, "watch", name)
    bars = [line for line in watched if "━" in line or "done in about" in line]
    assert bars
    assert max(map(cell_len, bars)) <= columns
    assert any("/5" in line for line in bars)
    for arguments in (["status"], ["status", name], ["nodes"]):
        lines = shown(jane, columns, *arguments)
        heading = next(number for number, line in enumerate(lines) if "state" in line)
        table = [line for line in lines[heading:] if not line.startswith("`distribute")]
        assert max(map(cell_len, table)) <= columns, lines


def test_add_and_pull_show_bytes(jane: Person) -> None:
    (jane.home / "big.dat").write_bytes(bytes(30 << 20))
    file = jane.home / jane.writes("large", {"a": "cp input/big.dat distribute_save/"})
    text = file.read_text().replace('"jobs"', '"initialize": {"required_files": ["big.dat"]}, "jobs"')
    file.write_text(text)
    added = shown(jane, 80, "add", file.name)
    assert any("/30.0 MiB" in line or "/31.5 MB" in line for line in added), added
    jane.runs("wait", "jane/large")
    pulled = shown(jane, 80, "pull", "jane/large")
    assert any(line.startswith("pulling jane/large") and "30.0" in line for line in pulled), pulled


@pytest.mark.parametrize("verb", ["watch", "add"])
def test_ctrl_c_says_that_the_batch_runs_on(jane: Person, verb: str) -> None:
    file = jane.writes(f"long-{verb}", {"a": "sleep 1000"})
    name = f"jane/long-{verb}"
    if verb != "add":
        jane.runs("add", file)
    waiting = jane.starts(verb, file, *(["--wait"] if verb == "add" else []))
    assert waiting.stderr is not None
    assert next(line for line in waiting.stderr if line.startswith(f"{name}: 0 % (1 running"))
    waiting.send_signal(signal.SIGINT)
    _, told = waiting.communicate(timeout=120)
    assert waiting.returncode == 130
    assert told.endswith(
        f"{name} runs on: `distribute watch {name}` shows it again, `distribute kill {name}` ends it\n"
    )
    assert jane.asks("status", name)["jobs"]["running"] == 1
    jane.runs("kill", name)
    jane.runs("wait", name, code=1)
