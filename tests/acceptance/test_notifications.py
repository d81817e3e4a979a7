"""People are told what became of their batches: through `up` and `server`, with a program as the channel."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.person import Person, until
from ports_kit import free_port

TELL = """\
#!/bin/sh
# Each message becomes a file. It gets its name once it is whole.
cat > "$1/new" && mv "$1/new" "$1/$(date +%s%N).json"
"""

BATCH = """\
meta: {namespace: jane, batch_name: NAME, resources: {cpus: 1}}
command:
  jobs:
    - {name: good, command: "true"}
    - {name: bad, command: "echo no mesh >&2; exit 3"}
"""


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with Person(tmp_path) as person:
        (person.home / "told").mkdir()
        tell = person.home / "tell"
        tell.write_text(TELL)
        tell.chmod(0o755)
        yield person


def configure(person: Person) -> Path:
    """Have the program told of everything, from now on."""
    file = person.home / "config/distribute/notify.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"command: {{run: [{person.home / 'tell'}, {person.home / 'told'}]}}\n")
    return file


def told(person: Person) -> list[dict[str, Any]]:
    """The messages so far, the oldest first."""
    return [json.loads(path.read_text()) for path in sorted((person.home / "told").glob("*.json"))]


def noted(person: Person) -> int:
    """How many messages were told, as the log says."""
    return len(person.runs("events", "--type", "notified", "--json").stdout.splitlines())


def test_up_tells_of_the_end_of_a_batch(person: Person) -> None:
    configure(person)
    person.runs("up", "--detach", "--quiet")
    (person.home / "sweep.yaml").write_text(BATCH.replace("NAME", "sweep"))
    person.runs("add", "sweep.yaml")
    person.runs("wait", "jane/sweep", code=1)
    until(lambda: told(person))
    (message,) = told(person)
    assert message["subject"] == "jane/sweep failed"
    assert message["facts"]["jobs"]["failed"] == 1
    lines = message["plain"].split("\n")
    assert any(line.startswith("bad (exit 3 on ") for line in lines)
    for command in ("no mesh", "distribute logs jane/sweep/bad", "distribute pull jane/sweep"):
        assert f"    {command}" in lines
    assert "no mesh" in person.runs("logs", "jane/sweep/bad").stdout
    person.runs("pull", "jane/sweep", "--save-dir", "results")
    person.runs("down")


def test_a_head_tells_and_goes_on_where_it_was_after_a_restart(person: Person) -> None:
    file = configure(person)
    moved = file.rename(person.home / "channels.yaml")
    port = str(free_port())
    server = ("server", "--dir", "head", "--port", port, "--notify-config", str(moved), "--json")
    head = person.starts(*server)
    assert head.stdout is not None
    url = json.loads(head.stdout.readline())["url"]
    person.sets(DISTRIBUTE_SERVER=url)
    for number, name in enumerate(("a", "b"), start=1):
        (person.home / f"{name}.yaml").write_text(BATCH.replace("NAME", name))
        person.runs("add", f"{name}.yaml", "--anyway")
        person.runs("kill", f"jane/{name}")
        until(lambda expected=number: len(told(person)) == expected)
        # A head that ends before the log says that it was told tells it again.
        until(lambda expected=number: noted(person) == expected)
    head.send_signal(signal.SIGTERM)
    head.communicate(timeout=120)
    head = person.starts(*server)
    assert head.stdout is not None
    head.stdout.readline()
    (person.home / "c.yaml").write_text(BATCH.replace("NAME", "c"))
    person.runs("add", "c.yaml", "--anyway")
    person.runs("kill", "jane/c")
    until(lambda: len(told(person)) > 2)
    assert [message["facts"]["batch"] for message in told(person)] == ["a", "b", "c"]
    head.send_signal(signal.SIGTERM)
    head.communicate(timeout=120)


@pytest.mark.parametrize("verb", [("server",), ("up",), ("service", "notifier")])
def test_a_wrong_file_is_said_with_its_line_and_what_to_write(person: Person, verb: tuple[str, ...]) -> None:
    file = configure(person)
    file.write_text("webhook:\n  url: ntfy.sh/secret-topic\nmial: {}\n")
    said = person.runs(*verb, code=2).stderr
    assert f"{file}:2" in said
    assert "write https://HOST/PATH" in said
    assert "no key 'mial'; write 'mail'" in said
    assert "secret-topic" not in said


def test_a_notifier_without_a_file_says_what_to_write(person: Person) -> None:
    said = person.runs("service", "notifier", code=2).stderr
    assert "config/distribute/notify.yaml" in said
    assert "docs/notifications.md" in said
