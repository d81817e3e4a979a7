"""`kill`, `delete` and `add --replace` as people use them: whose batch it is, and what is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.cluster_kit import person_with_cluster
from acceptance.person import PATIENCE_S, Person
from distribute_cli.session import user_name


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person with a running cluster of two nodes."""
    home = tmp_path_factory.mktemp("home")
    with person_with_cluster(home, "--nodes", "2", "--cpus", "2") as person:
        yield person


def test_a_batch_or_one_job_of_it_is_killed(jane: Person) -> None:
    file = jane.writes("long", {"one": "sleep 1000", "two": "sleep 1000"})
    jane.runs("add", file)
    assert "`distribute status jane/long` shows when" in jane.runs("kill", "jane/long/one").stderr
    assert "jane/long has no job 'three'" in jane.runs("kill", "jane/long/three", code=4).stderr
    would = jane.asks("kill", "long", "--dry")
    assert (would["killing"], would["dry"], would["jobs"]["total"]) == ("jane/long", True, 2)
    jane.runs("kill", "long")
    ended = jane.runs("wait", "long", code=1)
    assert ended.stdout == f"jane/long killed by {user_name()}: 2 of 2 jobs killed\n"
    assert "jane/long is over: there is nothing to kill" in jane.runs("kill", "jane/long", code=4).stderr


def test_another_persons_batch_is_not_touched_without_force(jane: Person) -> None:
    me = user_name()
    hers = jane.writes("hers", {"x": "sleep 1000"})
    jane.runs("add", hers)
    jane.sets(LOGNAME="bob")
    try:
        for verb, *arguments in (("kill",), ("kill", "--dry"), ("delete", "--yes"), ("delete", "--dry")):
            refused = jane.runs(verb, "jane/hers", *arguments, code=4).stderr
            expected = f"jane/hers is {me}'s batch, and you are bob: it takes force to {verb} it (--force)\n"
            assert refused == f"distribute: {expected}"
        assert "and you are bob" in jane.runs("kill", "jane/hers/x", code=4).stderr
        assert (
            "it takes force to replace it (--force)"
            in jane.runs("add", hers, "--replace", "--yes", code=4).stderr
        )
        assert f"there is a batch jane/hers already, of {me}: " in jane.runs("add", hers, code=4).stderr
        assert jane.asks("status", "jane/hers")["killed_by"] is None
        would = jane.runs("delete", "jane/hers", "--force", "--dry").stdout
        assert would.startswith(f"jane/hers of {me} would be deleted for good: 1 ")
        killed = jane.runs("kill", "jane/hers", "--force").stdout
        assert killed.startswith(f"jane/hers of {me} is being killed: 1 ")
        ended = jane.runs("wait", "jane/hers", code=1).stdout
        assert ended == "jane/hers killed by bob: 1 of 1 job killed\n"
        assert jane.asks("status", "jane/hers")["job_list"][0]["killed_by"] == "bob"
        deleted = jane.asks("delete", "jane/hers", "--force", "--yes")
        assert (deleted["deleted"], deleted["user"], deleted["jobs"]["killed"]) == ("jane/hers", me, 1)
    finally:
        jane.sets(LOGNAME=None)


def test_jobs_that_wait_can_be_killed_without_those_that_run(jane: Person) -> None:
    go = jane.home / "let them run"
    file = jane.writes("some", dict.fromkeys("abcde", f"until test -e '{go}'; do sleep 0.1; done"))
    jane.runs("add", file)
    deadline = time.monotonic() + PATIENCE_S
    while (jobs := jane.asks("status", "jane/some")["jobs"])["running"] < 4:
        assert time.monotonic() < deadline, jobs
    killed = jane.runs("kill", file, "--state", "queued")
    assert killed.stdout == "1 waiting job of jane/some is killed; 4 jobs run on\n"
    assert "no job of jane/some waits" in jane.runs("kill", file, "--state", "queued", code=4).stderr
    refused = jane.runs("kill", "jane/some/a", "--state", "queued", code=4).stderr
    assert "jane/some/a does not wait, it is running" in refused
    go.touch()
    assert jane.runs("wait", file, code=1).stdout == "jane/some failed: 1 of 5 jobs killed\n"


def test_replace_ends_the_running_batch_and_submits_another(jane: Person) -> None:
    jane.runs("add", jane.writes("again", {"old": "sleep 1000"}))
    new = jane.writes("again", {"new": "true"})
    lost = "jane/again would be replaced, and lost for good: 1 running job\n"
    deadline = time.monotonic() + PATIENCE_S
    while lost not in (told := jane.runs("add", new, "--replace", "--dry").stderr):
        assert time.monotonic() < deadline, told
    assert jane.asks("add", new, "--replace", "--dry")["replaces"]["jobs"]["running"] == 1
    refused = jane.runs("add", new, "--replace", code=4).stderr
    assert "Replace jane/again, and lose for good: 1 running job? [y/N]" in refused
    assert refused.endswith("jane/again was not replaced: answer y, or give --yes\n")
    assert jane.asks("status", "jane/again")["jobs"]["running"] == 1
    jane.runs("add", new, "--replace", "--yes", "--wait")
    assert [job["job"] for job in jane.asks("status", "jane/again")["job_list"]] == ["new"]


def test_delete_asks_first(jane: Person) -> None:
    jane.runs("add", jane.writes("kept", {"x": "true"}), "--wait")
    refused = jane.runs("delete", "jane/kept", code=4).stderr
    assert refused.endswith("[y/N] distribute: jane/kept was not deleted: answer y, or give --yes\n")
    with Path(os.devnull).open("w") as deaf:  # as `nohup` leaves it
        unheard = jane.starts("delete", "jane/kept", stdin=deaf.fileno())
    assert unheard.communicate(timeout=120)[1] == refused
    assert unheard.returncode == 4
    asking = jane.starts("delete", "jane/kept", stdin=subprocess.PIPE)
    assert asking.stderr is not None
    assert asking.stderr.read(len("Delete")) == "Delete"
    asking.send_signal(signal.SIGINT)
    assert asking.wait(timeout=120) == 130
    asking.communicate()
    assert jane.asks("status", "jane/kept")["state"] == "completed"
