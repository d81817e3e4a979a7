"""The results of `distribute run`, and what is in their way."""

from __future__ import annotations

import hashlib
import json

from acceptance.person import PATIENCE_S, Person
from acceptance.run_kit import begun, results, tree
from integration.node_runner.small_disk import small_disk


def test_earlier_results_stay_unless_they_are_to_be_cleaned(jane: Person) -> None:
    file = jane.writes("b", {"a": "date +%N > distribute_save/time", "c": "echo c > distribute_save/c"})
    jane.runs("run", file)
    before = tree(results(jane))
    said = jane.runs("run", file, code=4)
    assert "has earlier results of a, c: have them removed first, or name another folder" in said.stderr
    assert said.stderr.endswith(" (--clean-save, --save-dir)\n")
    assert tree(results(jane)) == before
    jane.runs("run", file, "--clean-save", "--job", "a")
    after = tree(results(jane))
    assert after.keys() == before.keys()
    assert (after["a/time"] != before["a/time"], after["c/c"]) == (True, before["c/c"])
    jane.writes("b", {"new": "true"})
    jane.runs("run", file, "--clean-save")
    assert tree(results(jane)).keys() == {"new"}


def test_what_a_person_changed_is_never_cleaned(jane: Person) -> None:
    file = jane.writes("b", {"a": "echo u > distribute_save/u; echo v > distribute_save/v"})
    jane.runs("run", file)
    (results(jane) / "a/u").write_text("edited")
    (results(jane) / "notes.txt").write_text("mine")
    before = tree(results(jane))
    said = jane.runs("run", file, "--clean-save", code=4)
    assert "b/a/u was not left by an earlier run, or changed since" in said.stderr
    assert tree(results(jane)) == before
    (results(jane) / "a/u").unlink()
    jane.runs("run", file, "--clean-save")
    assert (results(jane) / "notes.txt").read_text() == "mine"
    assert (results(jane) / "a/u").read_text() == "u\n"


def test_a_folder_of_a_persons_own_is_not_touched(jane: Person) -> None:
    file = jane.writes("b", {"a": "echo u > distribute_save/u"})
    (results(jane) / "a").mkdir(parents=True)
    (results(jane) / "a" / "u").write_text("mine")
    for options in ([], ["--clean-save"]):
        said = jane.runs("run", file, *options, code=4)
        assert "b/a/u was not left by an earlier run" in said.stderr
    assert tree(results(jane)) == {"a": "folder", "a/u": (0o644, b"mine")}


def test_results_of_another_batch_stay(jane: Person) -> None:
    jane.runs("run", jane.writes("b", {"a": "echo u > distribute_save/u"}, namespace="anna"))
    before = tree(results(jane))
    said = jane.runs("run", jane.writes("b", {"a": "true"}), "--clean-save", code=4)
    assert "holds the results of anna/b: they stay; name another folder (--save-dir)" in said.stderr
    assert tree(results(jane)) == before
    jane.runs("run", "b.yaml", "--save-dir", "other")


def test_two_runs_at_once_do_not_mix(jane: Person) -> None:
    go, there = jane.home / "go", jane.home / "there"
    file = jane.writes("b", {"a": f"touch {there}; while [ ! -e {go} ]; do sleep 0.05; done"})
    process = begun(jane, "there")
    said = jane.runs("run", file, "--clean-save", code=4)
    assert "another `distribute run` writes to" in said.stderr
    go.touch()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def test_results_wait_for_room_on_a_full_disk(jane: Person) -> None:
    big = "head -c 3000000 /dev/urandom > distribute_save/big; sha256sum < distribute_save/big"
    file = jane.writes("b", {"big": big, "small": "echo x > distribute_save/x"})
    with small_disk(jane.home / "disk", 4) as disk:
        (disk / "full").write_bytes(bytes(3 << 20))
        process = jane.starts("run", file, "--save-dir", "disk")
        assert process.stderr is not None
        while "has no room left for results: make room" not in (line := process.stderr.readline()):
            assert line, "it has ended"
        (disk / "full").unlink()
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out) == (0, "jane/b completed: 2 of 2 jobs succeeded\n")
        assert "results: 4 files (2.86M) in disk/b\n" in err
        digest = hashlib.sha256((disk / "b" / "big" / "big").read_bytes()).hexdigest()
        assert (disk / "b" / "big" / "stdout.txt").read_text() == f"{digest}  -\n"


def test_results_that_can_not_be_written_are_rescued(jane: Person) -> None:
    """Something came in the way while the job ran, and nothing else has its results."""
    there, go = jane.home / "there", jane.home / "go"
    wait = f"touch {there}; while [ ! -e {go} ]; do sleep 0.05; done; echo of hours > distribute_save/u"
    jane.writes("b", {"a": wait})
    process = begun(jane, "there")
    (results(jane) / "a" / "u").mkdir(parents=True)
    go.touch()
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "b/a/u: a folder is where a file belongs" in err
    (rescued,) = (jane.home / "tmp").glob("distribute-results-*")
    assert f"all results, also those that could not be written, are in {rescued / 'b'}\n" in err
    assert (rescued / "b" / "a" / "u").read_text() == "of hours\n"
    assert (rescued / "b" / "a" / "u").stat().st_nlink == 1


def test_a_job_finds_its_own_of_many_small_files(jane: Person) -> None:
    """So many share objects of the store."""
    for number in range(1100):
        (jane.home / f"{number}.dat").write_text(f"{number} of many\n")
    command = "ls input | wc -l; cat input/7.dat"
    jobs = [
        {"name": name, "command": command, "required_files": [f"{number}.dat" for number in numbers]}
        for name, numbers in (("all", range(1100)), ("one", [7]))
    ]
    batch = {"meta": {"namespace": "jane", "batch_name": "b"}, "command": {"jobs": jobs}}
    (jane.home / "b.yaml").write_text(json.dumps(batch))
    jane.runs("run", "b.yaml")
    printed = {path.parent.name: path.read_text() for path in results(jane).rglob("stdout.txt")}
    assert printed == {"all": "1100\n7 of many\n", "one": "1\n7 of many\n"}
