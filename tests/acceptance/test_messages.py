"""What people read when they ask for what is not there: plain lines. And what a shell completes.

`pytest -rP` prints every message, to be read for its English.
"""

from __future__ import annotations

import shlex
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.person import Person
from plain_words import assert_plain

WITHIN_S = 60
"""A second, on a computer that does twenty other things."""

PROVOKED = [
    # what is typed, its exit code, and what the message must hold
    ("status jane/swep", 4, "there is no batch jane/swep; did you mean 'jane/sweep'?"),
    ("status sweep/re20", 4, "jane/sweep has no job 're20'; did you mean 're200'?"),
    ("logs nope/re100", 4, "there is no batch nope/re100"),
    ("logs sweep/re100 --attempt 7", 4, "has had 1 attempt: there is no attempt 7"),
    ("logs jane/sweep", 4, "`distribute logs jane/sweep/JOB`"),
    ("kill sweep/re100", 4, "is over"),
    ("nodes nowhere", 4, "there is no node 'nowhere'"),
    ("nodes --forget nowhere", 4, "there is no node 'nowhere'"),
    ("drain nowhere", 4, "there is no node 'nowhere'"),
    ("undrain nowhere", 4, "there is no node 'nowhere'"),
    ("drain x --until never", 2, "'never' is not a time"),
    ("wait sweep/re100", 2, "names a job; a batch is NAMESPACE/BATCH: jane/sweep"),
    ("add sweep.yaml", 4, "there is a batch jane/sweep already"),
    ("add large.yaml", 4, "for one job; the largest has 1 cpu and "),
    ("add nothing.yaml", 2, "nothing.yaml: there is no such file"),
    ("add .", 2, "this is a folder"),
    ("add many.yaml", 2, "and 80 more problems"),
    ("pull jane/sweep -i nothing -s out", 1, "no file of jane/sweep matches 'nothing'"),
    ("pull jane/sweep -s sweep.yaml", 2, "something of that name is there already"),
    ("pull jane/sweep -s /proc/none", 2, "there is no such file or folder"),
    ("status --state runing", 2, "--state: 'runing' is not a state; did you mean 'running'?"),
    ("add --priority high", 2, "--priority takes a whole number, not 'high'"),
    ("status a/b/c/d", 2, "has too many parts"),
    ("status a/../c", 2, "can't be a name"),
    (
        "status --server nats://127.0.0.1:1",
        3,
        "refused the connection: is `distribute server` running there?",
    ),
    ("status --server nats://no-such-host.invalid:1", 3, "there is no such host"),
    ("status --creds none", 2, "no credentials can be read at none"),
    ("template command --output /proc/none/x", 2, "there is no such file or folder"),
    ("up --dir /proc/none", 2, "can't hold a cluster: there is no such file or folder"),
    ("down --dir nothing", 4, "no cluster runs in"),
]


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person with a running cluster and a batch that is over."""
    with Person(tmp_path_factory.mktemp("home")) as person:
        person.runs("up", "--cpus", "1", "--detach")
        person.runs("add", person.writes("sweep", {"re100": "echo hello", "re200": "true"}), "--wait")
        person.writes("large", {"one": "true"}, resources={"cpus": 4, "memory": "2G"})
        (person.home / "many.yaml").write_text("".join(f"k{number}: 1\n" for number in range(98)))
        yield person
        person.runs("down")


@pytest.mark.parametrize(("typed", "code", "told"), PROVOKED, ids=[typed for typed, _, _ in PROVOKED])
def test_a_message_is_plain_and_says_what_to_do(jane: Person, typed: str, code: int, told: str) -> None:
    said = jane.runs(*shlex.split(typed), code=code).stderr
    print(f"$ distribute {typed}\n{said}")
    assert told in said
    assert_plain(said)


def test_batch_and_job_will_do_where_one_namespace_has_the_batch(jane: Person) -> None:
    assert jane.runs("logs", "sweep/re100").stdout == "hello\n"


def completed(person: Person, typed: str, **variables: str) -> list[str]:
    """What a shell offers behind these words."""
    words = typed.split(" ")
    person.sets(
        _DISTRIBUTE_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1), **variables
    )
    try:
        said = person.runs()
    finally:
        person.sets(_DISTRIBUTE_COMPLETE=None, COMP_WORDS=None, COMP_CWORD=None)
    assert said.stderr == ""
    return said.stdout.split()


def completed_in_the_end(person: Person, typed: str) -> list[str]:
    """What a shell offers as soon as it offers something: on a busy computer, one presses the key again."""
    deadline = time.monotonic() + WITHIN_S
    while not (names := completed(person, typed)) and time.monotonic() < deadline:
        pass
    return names


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("distribute sta", ["status"]),
        ("distribute kill jane/", ["jane/sweep"]),
        ("distribute wait ", ["jane/sweep", "sweep", "last"]),
        ("distribute pull sw", ["sweep"]),
        ("distribute logs jane/sweep/re", ["jane/sweep/re100", "jane/sweep/re200"]),
        ("distribute logs jane/none/", []),
        ("distribute delete x", []),
        ("distribute status --sta", ["--state"]),
    ],
)
def test_names_complete_in_the_shell(jane: Person, typed: str, offered: list[str]) -> None:
    assert (completed_in_the_end if offered else completed)(jane, typed) == offered


def test_nodes_complete_in_the_shell(jane: Person) -> None:
    (node,) = (each["node"] for each in jane.asks("nodes")["nodes"])
    for typed in ("distribute drain ", f"distribute nodes {node[:1]}", "distribute nodes --forget "):
        assert completed_in_the_end(jane, typed) == [node]


def test_without_a_cluster_the_shell_gets_nothing_and_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with Person(tmp_path) as nobody:
        for typed in (
            "wait ",
            "drain ",
            "logs a/b/",
            "wait --server nats://127.0.0.1:1 ",
            "wait --server :: ",
        ):
            assert completed(nobody, f"distribute {typed}") == []
    assert time.monotonic() - began < 5 * WITHIN_S


def test_a_cluster_that_does_not_answer_holds_no_shell_up(tmp_path: Path) -> None:
    with socket.socket() as silent, Person(tmp_path) as jane:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert completed(jane, "distribute wait ", DISTRIBUTE_SERVER=server) == []
        assert time.monotonic() - began < WITHIN_S
