"""`distribute server -m matrix.yaml`: from a batch to the message in the room, with a real homeserver."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest

from acceptance.person import PATIENCE_S, Person, until
from matrix_kit import Gate, MatrixPerson, Synapse
from ports_kit import free_port

JOBS = {"good": "true", "bad": "echo no mesh >&2; exit 3"}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with Person(tmp_path) as person:
        yield person


@pytest.fixture
def jane(synapse: Synapse) -> MatrixPerson:
    """She begins the chat herself, so it is not encrypted, whatever the tests' Python has."""
    return synapse.new_person()


def write_account(person: Person, account: dict[str, Any], **changes: str) -> str:
    """Write matrix.yaml, as an admin does."""
    (person.home / "matrix.yaml").write_text(json.dumps(account | changes))
    return "matrix.yaml"


def start_head(person: Person, *options: str) -> Popen[str]:
    """A head in the folder `head`, which is ready."""
    head = person.starts("server", "--dir", "head", "--port", str(free_port()), *options, "--json")
    assert head.stdout is not None
    person.sets(DISTRIBUTE_SERVER=json.loads(head.stdout.readline())["url"])
    return head


def start_node(person: Person) -> Popen[str]:
    """A node of this computer; its log goes nowhere."""
    return person.starts("client", "node", "--name", "ws07", "--log-file", "node.log")


def end(*processes: Popen[str]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def test_a_batch_is_told_of_in_the_room_of_its_matrix_user(
    person: Person,
    synapse: Synapse,
    notifying: MatrixPerson,
    jane: MatrixPerson,
    record_property: Callable[[str, object], None],
) -> None:
    room = jane.make_room(notifying.id)
    file = write_account(person, synapse.account(notifying).model_dump())
    head = start_head(person, "-m", file)
    node = start_node(person)
    added = person.runs("add", person.writes("sweep", JOBS, matrix=jane.id), "--anyway")
    assert "gets no messages" not in added.stderr
    person.runs("wait", "jane/sweep", code=1)
    until(lambda: jane.texts(room), head)
    (event,) = jane.events(room)
    lines = event["content"]["body"].split("\n")
    assert lines[0] == "jane/sweep failed: of 2 jobs, 1 succeeded, 1 failed."
    for line in ("    no mesh", "    distribute logs jane/sweep/bad", "    distribute pull jane/sweep"):
        assert line in lines
    assert "no mesh" in event["content"]["formatted_body"]
    (batch,) = person.asks("status")["batches"]
    later = event["origin_server_ts"] / 1000 - datetime.fromisoformat(batch["finished_at"]).timestamp()
    record_property("from the end of a batch to the message at the homeserver", f"{later:.2f} s")
    end(node, head)


def test_a_notifier_that_is_killed_while_it_sends_sends_once(
    person: Person, synapse: Synapse, notifying: MatrixPerson, jane: MatrixPerson, gate: Gate
) -> None:
    room = jane.make_room(notifying.id)
    file = write_account(person, synapse.account(notifying).model_dump(), homeserver_url=gate.url)
    head = start_head(person, "--matrix-config", file)
    gate.holds_answer_to = "/send/"
    person.runs("add", person.writes("sweep", JOBS, matrix=jane.id), "--anyway")
    person.runs("kill", "jane/sweep")
    assert gate.held.wait(PATIENCE_S)
    gate.holds_answer_to = None
    (notifier,) = [one for one in psutil.Process(head.pid).children() if "notifier" in one.cmdline()]
    notifier.kill()
    person.runs("add", person.writes("other", JOBS, matrix=jane.id), "--anyway")
    person.runs("kill", "jane/other")
    until(lambda: any(text.startswith("jane/other") for text in jane.texts(room)), head)
    assert [text.split()[0] for text in jane.texts(room)] == ["jane/sweep", "jane/other"]
    end(head)


def test_a_wrong_password_is_said_and_stops_nothing_else(
    person: Person, synapse: Synapse, notifying: MatrixPerson, jane: MatrixPerson
) -> None:
    """At the start, or with the first message if the homeserver is too slow for that."""
    file = write_account(person, synapse.account(notifying).model_dump(), matrix_password="old")
    head = start_head(person, "-m", file)
    person.runs("add", person.writes("sweep", JOBS, matrix=jane.id), "--anyway")
    person.runs("kill", "jane/sweep")
    log = person.home / "head/logs/notifier.log"
    wrong = f"matrix.yaml: {synapse.url} refuses 'matrix_password' for the 'matrix_username'"
    until(lambda: wrong in log.read_text(), head)
    end(head)


def test_a_head_starts_while_its_homeserver_is_away(
    person: Person, synapse: Synapse, notifying: MatrixPerson, jane: MatrixPerson, gate: Gate
) -> None:
    gate.status, room = 502, jane.make_room(notifying.id)
    file = write_account(person, synapse.account(notifying).model_dump(), homeserver_url=gate.url)
    head = start_head(person, "-m", file)
    person.runs("add", person.writes("sweep", JOBS, matrix=jane.id), "--anyway")
    person.runs("kill", "jane/sweep")
    gate.status = None
    until(lambda: jane.texts(room), head)
    end(head)


def test_history_says_why_somebody_was_not_told(
    person: Person, synapse: Synapse, notifying: MatrixPerson, jane: MatrixPerson
) -> None:
    """And it stops nobody else's messages."""
    room = jane.make_room(notifying.id)
    file = write_account(person, synapse.account(notifying).model_dump())
    head = start_head(person, "-m", file)
    for batch, user in (("lost", "@nobody:localhost"), ("sweep", jane.id)):
        person.runs("add", person.writes(batch, JOBS, matrix=user), "--anyway")
        person.runs("kill", f"jane/{batch}")
    until(lambda: jane.texts(room), head)
    assert "there is no Matrix user @nobody:localhost" in person.runs("history", "jane/lost").stdout
    end(head)
