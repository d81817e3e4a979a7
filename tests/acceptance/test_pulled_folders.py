"""What `pull` does with a folder that has something already."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.person import PATIENCE_S, Person, until
from acceptance.slow_link import slow_link

SMALL = (8 << 20) - 1
"""Larger files are kept when a pull is interrupted, and resumed."""


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with Person(tmp_path_factory.mktemp("jane")) as person:
        person.runs("up", "--cpus", "2", "--detach")
        yield person
        person.runs("down")


def files_in(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_an_earlier_batch_of_the_name_is_not_mixed_in(jane: Person) -> None:
    first = jane.writes(
        "b", {"a": "echo 1 > distribute_save/r; echo 1 > distribute_save/step-900", "gone": "echo 1"}
    )
    jane.runs("add", first, "--wait")
    jane.runs("pull", "jane/b")
    there = files_in(jane.home / "b")
    second = jane.writes("b", {"a": "echo 2 > distribute_save/r"})
    jane.runs("add", second, "--replace", "--yes", "--wait")
    refused = jane.runs("pull", "jane/b", code=4)
    assert "b holds the results of jane/b that was submitted at 20" in refused.stderr
    assert "pull into another folder, such as b-2, or have what is here removed first" in refused.stderr
    assert refused.stderr.endswith(" (--into, --replace-local)\n")
    assert files_in(jane.home / "b") == there
    jane.runs("pull", "jane/b", "--into", "b-2")
    assert (jane.home / "b-2/a/r").read_text() == "2\n"
    assert jane.asks("pull", "jane/b", "--replace-local")["removed"] >= 2
    now = files_in(jane.home / "b")
    assert now.pop(".distribute-pulled.jsonl") > there[".distribute-pulled.jsonl"]
    assert now.pop("a/stdout.txt", "") == ""
    assert now == {"a/r": "2\n"}
    assert not (jane.home / "b/gone").exists()

    (jane.home / "b/a/r").write_text("my own note")
    changed = jane.runs("pull", "jane/b", code=1)
    assert "changed here, so it stays: b/a/r" in changed.stderr
    assert "`distribute pull jane/b --force` overwrites what was changed, `--theirs` writes" in changed.stderr
    (jane.home / "x y/a").mkdir(parents=True)
    (jane.home / "x y/a/r").write_text("mine")
    hint = jane.runs("pull", "jane/b", "--into", "x y", "include", "-i", "a/r$", code=1).stderr
    assert "`distribute pull jane/b --into 'x y' --include 'a/r$' --force` overwrites" in hint
    theirs = jane.runs("pull", "jane/b", "--theirs")
    assert "the archive's is in b/a/r.theirs" in theirs.stderr
    assert (jane.home / "b/a/r").read_text() == "my own note"
    assert (jane.home / "b/a/r.theirs").read_text() == "2\n"
    assert jane.asks("pull", "jane/b", "--force")["fetched"] == 1
    assert (jane.home / "b/a/r").read_text() == "2\n"
    jane.runs("pull", "jane/b", "--force", "--theirs", code=2)
    jane.runs("pull", "jane/b", "--into", "x", "--save-dir", "y", code=2)


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_pull_that_was_ended_is_completed_and_cleaned_up_by_the_next(jane: Person, ended_by: int) -> None:
    name = f"ended{ended_by}"
    command = f"cd distribute_save; for i in $(seq 12); do head -c {SMALL} /dev/zero > f$i; done"
    jane.runs("add", jane.writes(name, {"j": command}), "--wait")
    parts = jane.home / name / ".distribute-parts"
    with slow_link(jane) as server:
        pull = jane.starts("pull", f"jane/{name}", "--server", server)
        until(parts.exists, pull)
        assert pull.poll() is None, "it has ended before it could be interrupted"
        pull.send_signal(ended_by)
        pull.communicate(timeout=PATIENCE_S)
    jane.runs("pull", f"jane/{name}")
    found = {path.name for path in (jane.home / name).rglob("*") if path.is_file()} - {"stdout.txt"}
    assert found == {".distribute-pulled.jsonl", *(f"f{number}" for number in range(1, 13))}
    assert not parts.exists()


def test_a_link_in_the_way_leads_nowhere(jane: Person) -> None:
    jane.runs("add", jane.writes("linked", {"j": "echo 1 > distribute_save/r"}), "--wait")
    (jane.home / "outside").mkdir()
    (jane.home / "linked").symlink_to("outside")
    refused = jane.runs("pull", "jane/linked", code=2)
    assert "linked: a link or file is where a folder belongs; move it away" in refused.stderr
    assert list((jane.home / "outside").iterdir()) == []


def test_clean_removes_what_can_be_had_again_and_nothing_else(jane: Person) -> None:
    jane.runs("add", jane.writes("kept", {j: f"echo {j} > distribute_save/r" for j in "abc"}), "--wait")
    assert "kept: nothing was pulled here" in jane.runs("clean", "jane/kept", code=2).stderr
    jane.runs("pull", "jane/kept")
    (jane.home / "kept/a/r").write_text("changed")
    (jane.home / "kept/b/mine").write_text("mine")
    dry = jane.runs("clean", "jane/kept", "--dry")
    assert "kept/c/r" in dry.stdout
    assert "changed here, so it stays: kept/a/r" in dry.stderr
    assert "not from a pull, so it stays: kept/b/mine" in dry.stderr
    assert (jane.home / "kept/c/r").exists()
    cleaned = jane.asks("clean", "kept.yaml")
    assert {"kept/b/r", "kept/c/r"} <= {file["path"] for file in cleaned["files"]}
    assert cleaned["kept"] == [{"path": "kept/a/r", "reason": "changed"}]
    assert cleaned["others"] == ["kept/b/mine"]
    there = files_in(jane.home / "kept")
    del there[".distribute-pulled.jsonl"]
    assert there == {"a/r": "changed", "b/mine": "mine"}
    jane.runs("pull", "jane/kept", "--force")
    (jane.home / "kept/b/mine").unlink()
    assert jane.runs("clean", "jane/kept").stdout.startswith("removed ")
    assert not (jane.home / "kept").exists()

    jane.runs("pull", "jane/kept", "--into", "elsewhere", "--include", "/c/")
    jane.runs("delete", "jane/kept", "--yes")
    assert (
        "there is no batch jane/kept" in jane.runs("clean", "jane/kept", "--into", "elsewhere", code=4).stderr
    )
    assert (jane.home / "elsewhere/c/r").read_text() == "c\n"
