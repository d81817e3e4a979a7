"""Whatever is wrong with a file, it is refused in a few plain lines, by work that grows with its size."""

from __future__ import annotations

import gc
import pwd
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bad_files import COMMAND, MAKERS, META, Maker
from config_kit import problems_of
from distribute.collector import collector_paused
from distribute.config.checking.input_files import MAX_MISSING_USERS
from distribute.config.loading import load
from distribute.config.yaml import yaml_nodes, yaml_source, yaml_values
from distribute.config.yaml.yaml_syntax import LOOKED_AT
from distribute.core.errors import InputError
from plain_words import assert_plain

SMALL = 15_000
ROOM = 1.25
"""Work may grow a little faster than size: numbers get longer, and lists are sorted."""

GARBAGE = 200
"""Objects that may be left in cycles, by pytest and by an error's own frames. A document has thousands."""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(content: bytes) -> str:
    Path("jobs.yaml").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(Path("jobs.yaml"))
    return str(caught.value)


def work_of(action: Callable[[], object]) -> int:
    """How many functions are called, Python's and C's. Unlike time, it is the same each time."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_bad_file_is_refused_with_a_few_plain_lines(make: Maker) -> None:
    assert_plain(refusal(make(100_000)))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_twice_as_large_a_bad_file_is_twice_the_work(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that small files reach the bounds, too.
    monkeypatch.setattr(yaml_values, "MAX_REPEATED", 1000)
    monkeypatch.setattr(yaml_nodes, "MAX_ITEMS", 5000)
    refusal(make(SMALL))  # what is made once, and kept
    one, two = (work_of(lambda: refusal(make(size))) for size in (SMALL, 2 * SMALL))  # noqa: B023
    assert two <= ROOM * 2 * one


def test_a_refused_file_is_freed_without_the_collector() -> None:
    with collector_paused():
        for make in MAKERS.values():
            refusal(make(SMALL))  # what is made once, and kept
        gc.collect()
        gc.freeze()  # or each look at the garbage takes a second
        left = {}
        for fault, make in MAKERS.items():
            refusal(make(SMALL))
            left[fault] = gc.collect()
        gc.unfreeze()
    assert {fault: garbage for fault, garbage in left.items() if garbage > GARBAGE} == {}


def test_of_many_problems_the_first_twenty_are_told_and_the_others_counted() -> None:
    keys = "".join(f"  k{number}: 1\n" for number in range(100_000))
    *told, last = problems_of(
        f"meta:\n  namespace: n\n  batch_name: b\n{keys}command: {{jobs: [{{name: a, command: x}}]}}\n"
    )
    assert [line.split(":")[0] for line in told] == [str(number) for number in range(4, 24)]
    assert told[19].startswith("23:3: meta has no key 'k19'; it may have namespace, ")
    assert last == "and 99980 more problems"


def test_of_very_many_wrong_jobs_each_problem_is_counted() -> None:
    """An empty job lacks two keys; and of one that is right, nothing is counted."""
    wrong, right = "    - {}\n" * 6000, "".join(f"    - {{name: j{n}, command: x}}\n" for n in range(6000))
    for jobs in (wrong, right + wrong, wrong + right):
        lines = problems_of(COMMAND + jobs)
        first = 4 + jobs.count("\n", 0, jobs.index("{}"))
        assert lines[0].startswith(f"{first}:7: a job needs the key 'command'; write ")
        assert lines[20:] == ["and 11980 more problems"]


def test_far_wrong_jobs_hide_no_other_problem() -> None:
    """What stands before and after them is told or counted, too."""
    jobs = "    - {}\n" * 6000
    lines = problems_of(
        f"meta: {{namespace: n, batch_name: b, prority: 1}}\ncommand:\n  jobs:\n{jobs}slrm: {{}}\n"
    )
    assert lines[0] == "1:37: meta has no key 'prority'; write 'priority'"
    assert lines[20:] == ["and 11982 more problems"]


def test_of_very_many_files_only_the_missing_are_counted(tmp_path: Path) -> None:
    """After a thousand missing files, whole folders are listed instead of asking for each file."""
    folder = tmp_path / "there"
    (folder / "deep").mkdir(parents=True)
    for path in ("there/a", "there/deep/b", "c"):
        (tmp_path / path).write_text("x")
    (tmp_path / "link").symlink_to("there/deep")
    (tmp_path / "dangling").symlink_to("gone")
    exist = ["c", "./there//a", "there/deep/../a", "link/../deep/b", f"{folder}/deep/b"]
    missing = [
        "a",
        "there/c",
        "c/x",
        "link/../a/",
        "dangling",
        "dangling/x",
        f"{folder}/x",
        "~nobody-at-all/x",
        "x/y",
    ]
    files = ",".join(
        [
            *(f"gone{n}" for n in range(1000)),
            *(f"{{path: {path}, alias: f{n}}}" for n, path in enumerate(exist + missing)),
        ]
    )
    lines = problems_of(f"{COMMAND}    - {{name: a, command: x, required_files: [{files}]}}\n")
    assert lines[20:] == [f"and {1000 + len(missing) - 20} more problems"]


def test_a_home_is_still_found_after_a_thousand_missing_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine").write_text("x")
    monkeypatch.setenv("HOME", str(home))
    files = ",".join([*(f"gone{n}" for n in range(1000)), "~/mine", "~/gone"])
    lines = problems_of(f"{COMMAND}    - {{name: a, command: x, required_files: [{files}]}}\n")
    assert lines[20:] == ["and 981 more problems"]


def test_a_directory_service_is_asked_for_few_unknown_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be slow."""
    asked: list[str] = []

    def getpwnam(name: str) -> object:
        asked.append(name)
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    refusal(MAKERS["missing files of unknown users"](SMALL))
    assert len(asked) == MAX_MISSING_USERS


def test_a_single_further_problem_is_counted_as_one() -> None:
    keys = "".join(f"k{number}: 1\n" for number in range(21))
    assert (
        problems_of(f"{META}command: {{jobs: [{{name: a, command: x}}]}}\n{keys}")[-1] == "and 1 more problem"
    )


def test_problems_of_several_kinds_are_told_in_the_order_of_their_lines() -> None:
    wrong = "".join(f"    - {{name: a, comand: x, retries: {number}x}}\n" for number in range(40))
    *told, last = problems_of(COMMAND + wrong)
    assert [int(line.split(":")[0]) for line in told] == sorted(int(line.split(":")[0]) for line in told)
    assert told[0].startswith("4:17: a job has no key 'comand'; write 'command'")
    assert told[2].startswith("5:14: two jobs are called 'a'")
    assert last == "and 99 more problems"


def test_what_an_alias_repeats_is_told_once() -> None:
    jobs = "".join(f"    - {{name: j{number}, command: x, required_files: *all}}\n" for number in range(1500))
    text = f"{META}command:\n  initialize: {{required_files: &all [gone, []]}}\n  jobs:\n{jobs}"
    assert len(problems_of(text)) == 2


def test_jobs_may_share_many_files_and_variables_by_an_alias() -> None:
    Path("a").write_text("a")
    files = ", ".join(f"{{path: a, alias: f{number}}}" for number in range(200))
    jobs = "".join(f"    - {{<<: *j, name: j{number}}}\n" for number in range(1000))
    first = f"    - &j {{name: j, command: x, env: {{A: b}}, required_files: [{files}]}}\n"
    Path("jobs.yaml").write_text(f"{COMMAND}{first}{jobs}")
    spec = load(Path("jobs.yaml")).spec
    assert {len(job.files) for job in spec.work.jobs} == {200}
    assert spec.work.jobs[-1].env == {"A": "b"}


def test_aliases_that_make_a_batch_too_large_are_refused() -> None:
    names = ", ".join(f"f{number}" for number in range(2000))
    jobs = "".join(f"    - {{name: j{number}, command: x, required_files: *all}}\n" for number in range(1000))
    text = f"{META}command:\n  initialize: {{required_files: &all [{names}]}}\n  jobs:\n{jobs}"
    (problem,) = problems_of(text)
    assert problem == (
        "3:32: aliases repeat what starts here until the file has more than 1000000 values; "
        "write files that all jobs need once, under initialize, or pack them into one archive"
    )


def test_a_text_that_aliases_repeat_counts_by_its_length() -> None:
    jobs = "".join(f"    - {{name: j{number}, command: *long}}\n" for number in range(1000))
    text = f"{META}command:\n  env: {{A: &long {'x' * 200_000}}}\n  jobs:\n{jobs}"
    (problem,) = problems_of(text)
    assert problem.startswith("3:12: aliases repeat what starts here until ")


def test_a_chain_of_merges_has_no_limit_of_its_own() -> None:
    links = "".join(f"    - &m{n + 1} {{<<: *m{n}, name: j{n}}}\n" for n in range(900))
    Path("jobs.yaml").write_text(f"{COMMAND}    - &m0 {{command: x, name: j, timeout: 1h}}\n{links}")
    assert load(Path("jobs.yaml")).spec.work.jobs[-1].timeout_s == 3600
    text = f"{COMMAND}    - &m0 {{command: x, name: j, timeout: 1z}}\n{links}"
    assert [line.split(": '")[0] for line in problems_of(text)] == ["4:42: timeout"]


def test_the_place_of_a_problem_is_found_however_many_keys_there_are() -> None:
    """Both with the nodes that were kept, and with those that are composed again."""
    keys = "".join(f"  k{number}: 1\n" for number in range(LOOKED_AT + 10))
    small = problems_of(f"meta:\n{keys}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_source, "KEPT_CHARS", 0)
        assert problems_of(f"meta:\n{keys}") == small


def test_a_file_that_is_much_too_large_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_source, "MAX_FILE_BYTES", 1000)
    assert refusal(b"#" * 1001) == "jobs.yaml: this is too large for a file of jobs; is it another file?"
    with pytest.raises(InputError, match=r"^/dev/zero: this is too large for a file of jobs"):
        load(Path("/dev/zero"))
