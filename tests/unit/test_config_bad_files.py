"""Loading a wrong jobs file reports every problem, with its place and what to write instead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from config_kit import META, job, problems_of
from distribute.config.loading import load
from distribute.core.errors import InputError


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run.py", "mesh.dat"):
        Path(name).write_text(name)


def test_a_tab_and_an_unquoted_at_are_reported() -> None:
    assert problems_of("meta:\n\tnamespace: n\n\tmatrix: @jane:lab.org\n") == [
        "2:1: a tab in the indentation, here and on line 3; write spaces instead: '  namespace: n'",
        "3:10: '@' can't start a text without quotes; write matrix: \"@jane:lab.org\"",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "meta: {name_space: n, batch_name: b}\ncommand: {jobs: [{name: a, command: x}]}\n",
            "1:8: meta has no key 'name_space'; write 'namespace'",
        ),
        (job("requred_files: []"), "4:32: a job has no key 'requred_files'; write 'required_files'"),
        (job("requred_files: "), "4:32: a job has no key 'requred_files'; write 'required_files'"),
        (job("required-files: []"), "4:32: a job has no key 'required-files'; write 'required_files'"),
        (
            job("required_files: [{pth: mesh.dat}]"),
            "4:50: a file has no key 'pth'; write 'path'",
        ),
        (
            job("resources: {walltime: 3}"),
            "4:44: resources has no key 'walltime'; it may have cpus, memory, gpus",
        ),
        (
            META + "comand: {jobs: [{name: a, command: x}]}\n",
            "2:1: the top level has no key 'comand'; write 'command'",
        ),
    ],
)
def test_an_unknown_key_is_reported_with_the_closest_known_one(text: str, expected: str) -> None:
    assert problems_of(text) == [expected]


def test_two_kinds_are_refused() -> None:
    text = META + "python: {initialize: {build_file: run.py}, jobs: [{name: a, file: run.py}]}\n"
    assert problems_of(text + "command: {jobs: [{name: a, command: x}]}\n") == [
        (
            "3:1: a batch has one kind, but this one has 'command' here and 'python' on line 2; "
            "put them into two files"
        )
    ]


def test_a_file_without_a_kind_or_content_is_refused() -> None:
    no_kind = (
        "1:1: the batch has no kind; write one of python, command, apptainer, as `distribute template` shows"
    )
    no_meta = "1:1: the top level needs the key 'meta'; write meta: {namespace: jane, batch_name: sweep3}"
    assert problems_of(META) == [no_kind]
    for nothing in ("", "---\n", "# only a comment\n", "null\n"):
        assert problems_of(nothing) == [no_kind, no_meta]
    for other, found in (("- meta\n", "a list"), ("hello\n", "'hello'")):
        assert problems_of(other) == [f"1:1: the top level takes keys with values, not {found}"]


def test_a_batch_without_jobs_is_refused() -> None:
    assert problems_of(META + "command:\n  jobs: []\n") == [
        "3:9: jobs is empty; write jobs: [{name: re100, command: ./solver --re 100}]"
    ]
    assert problems_of(META + "command:\n  jobs:\n") == [
        "3:8: command needs the key 'jobs'; write jobs: [{name: re100, command: ./solver --re 100}]"
    ]


@pytest.mark.parametrize("kind", ["python", "command", "apptainer"])
def test_an_empty_kind_is_refused(kind: str) -> None:
    assert problems_of(META + f"{kind}:\n") == [
        f"2:1: {kind} is empty; write its jobs, as `distribute template {kind}` shows"
    ]


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("singularity", "Singularity is called Apptainer now: write 'apptainer'"),
        ("docker", "write 'apptainer', and make its image of that one: see docs/containers.md, under Docker"),
        ("podman", "write 'apptainer', and make its image of that one: see docs/containers.md, under Docker"),
        (
            "container",
            "write 'apptainer', and make its image of that one: see docs/containers.md, under Docker",
        ),
    ],
)
def test_other_kinds_of_containers_are_told_what_to_write(key: str, advice: str) -> None:
    assert problems_of(f"{META}{key}: {{initialize: {{sif: run.py}}, jobs: [{{name: a}}]}}\n") == [
        f"2:1: the top level has no key '{key}'; {advice}"
    ]


def test_more_jobs_than_a_batch_may_have_are_refused() -> None:
    jobs = "".join(f"    - {{name: j{n}, command: x}}\n" for n in range(100_001))
    assert problems_of(f"{META}command:\n  jobs:\n{jobs}") == [
        "4:5: jobs: 100001 are too many; write files with 100000 each"
    ]


def test_duplicate_names_of_jobs_and_keys_are_reported() -> None:
    text = META + "command:\n  jobs:\n    - {name: a, command: x}\n    - {name: b, command: x, command: y}\n"
    assert problems_of(text + "    - {name: a, command: x}\n    - {command: x, name: 'a'}\n") == [
        "5:29: the key 'command' is on line 5 already; remove one of the two",
        "6:14: two jobs are called 'a', here and on line 4; rename one",
        "7:26: two jobs are called 'a', here and on line 4; rename one",
    ]


def test_two_files_of_one_list_with_the_same_name_are_reported() -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "mesh.dat").write_text(folder)
    text = """\
meta: {namespace: n, batch_name: b}
python:
  initialize:
    build_file: run.py
    required_files: [mesh.dat, run.py]
  jobs:
    - name: one
      file: {path: run.py, alias: mesh.dat}
      required_files: [a/mesh.dat]
    - name: two
      file: run.py
      required_files:
        - {path: a/mesh.dat, alias: own.dat}
        - {path: b/mesh.dat, alias: own.dat}
        - mesh.dat
    - name: three
      file: run.py
      required_files: [{path: a/mesh.dat, alias: own.dat}]
"""
    (problem,) = problems_of(text)
    assert problem == (
        "14:18: two files would become './input/own.dat', here and on line 13; "
        "add an alias: {path: 'b/mesh.dat', alias: 'other-own.dat'}"
    )


def test_a_missing_file_is_reported_once() -> None:
    jobs = "".join(f"    - {{name: j{n}, command: x, required_files: [gone/x.dat]}}\n" for n in range(3))
    folder = Path.cwd()
    advice = "write a path relative to the folder of this file, or an absolute one"
    assert problems_of(f"{META}command:\n  jobs:\n{jobs}") == [
        f"4:47: there is no file 'gone/x.dat' (looked for '{folder}/gone/x.dat'); {advice} (used 3 times)"
    ]
    assert problems_of(job("required_files: [run.py/x, {path: link}]")) == [
        f"4:49: there is no file 'run.py/x' (looked for '{folder}/run.py/x'); {advice}",
        f"4:66: there is no file 'link' (looked for '{folder}/link'); {advice}",
    ]


def test_a_folder_or_a_device_instead_of_a_file_is_refused() -> None:
    Path("data").mkdir()
    assert problems_of(job("required_files: [data, /dev/null]")) == [
        "4:55: '/dev/null' is a device, pipe or socket; write the path of a regular file",
    ]
    text = f"{META}python: {{initialize: {{build_file: data}}, jobs: [{{name: j, file: data}}]}}\n"
    assert problems_of(text) == [
        "2:35: 'data' is a folder; write the path of a file (used 2 times)",
    ]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything, so the test drops to another user."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own may be closed to others."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_an_unreadable_file_is_reported(open_folder: Path) -> None:
    path = open_folder / "jobs.yaml"
    secret = open_folder / "secret.dat"
    path.write_text(job("required_files: [secret.dat]"))
    secret.write_text("x")
    assert load(path).spec.work.jobs[0].files[0].alias == "secret.dat"
    secret.chmod(0)
    with as_nobody(), pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.problems == (
        f"{path}:4:49: you may not read the file 'secret.dat'; make it readable: chmod u+r '{secret}'",
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a/b", "'a/b' can't be a name: names become folders, so '/' and NUL are out"),
        ("a\\0b", "'a\\x00b' can't be a name: names become folders, so '/' and NUL are out"),
        ("..", "'..' can't be a name: it means a folder of its own"),
        (".", "'.' can't be a name: it means a folder of its own"),
        ("", "a name can't be empty"),
        ("x" * 300, f"'{'x' * 24}'… has 300 bytes; a name may have 255"),
        ("é" * 128, f"'{'é' * 24}'… has 256 bytes; a name may have 255"),
    ],
)
def test_names_that_no_folder_can_have_are_refused(name: str, why: str) -> None:
    text = (
        f'meta:\n  namespace: "{name}"\n  batch_name: "{name}"\ncommand:\n  jobs:\n    - command: x\n'
        f'      name: "{name}"\n      required_files: [{{path: mesh.dat, alias: "{name}"}}]\n'
    )
    assert problems_of(text) == [
        f"2:14: namespace: {why}",
        f"3:15: batch_name: {why}",
        f"7:13: name: {why}",
        f"8:48: alias: {why}",
    ]


def test_a_file_with_too_long_a_name_is_reported() -> None:
    assert problems_of(job(f"required_files: [{'y' * 300}]")) == [
        f"4:49: '{'y' * 24}'… has 300 bytes; a name may have 255; add an alias: {{path: PATH, alias: data}}",
        f"4:49: can't look at the file '{'y' * 300}': its name is too long; write another path",
    ]


def test_a_python_batch_needs_its_scripts() -> None:
    assert problems_of(META + "python:\n  jobs: [{name: a}, {file: run.py}]\n") == [
        "3:10: a job needs the key 'file'; write file: run.py",
        "3:21: a job needs the key 'name'; write name: re100",
    ]


NO_SHELL = "args: no shell splits {} into arguments; write a list, such as args: {}"
ITEM = "an item of args takes a text, not {}"


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ("--n 5 --fast", NO_SHELL.format("'--n 5 --fast'", "[--n, 5, --fast]")),
        ("'$A \"b c\"'", NO_SHELL.format("'$A \"b c\"'", "[--re, 100]")),
        ('""', NO_SHELL.format("''", "[--re, 100]")),
        ("{re: 100}", 'args takes a list, not a mapping; write args: ["--re", "100"]'),
        ("[[--re, 100]]", ITEM.format('a list; write args: ["--re", "100"]')),
        ("[a, ~]", ITEM.format('nothing; write "" for an empty text')),
        (
            r'["a\0b"]',
            r"an item of args: 'a\x00b' contains a NUL, which can't be passed to a program; remove it",
        ),
    ],
)
def test_wrong_arguments_of_a_script_are_reported(args: str, problem: str) -> None:
    text = f"{META}python:\n  jobs:\n  - name: a\n    file: run.py\n    args: {args}\n"
    assert [found.split(": ", 1)[1] for found in problems_of(text)] == [problem]


def test_all_problems_of_a_file_are_reported_at_once_in_order() -> None:
    text = """\
meta:
  namespace: n
  batchname: b
  timeout: soon
python:
  initialize: {build_file: run.py}
  jobs:
    - {name: a, file: gone.py}
    - {name: a, file: run.py, command: x}
    - nonsense
slrm: {}
"""
    places = [problem.split(": ")[0] for problem in problems_of(text)]
    assert places == ["3:3", "4:12", "8:23", "9:14", "9:31", "10:7", "11:1"]


def test_a_missing_jobs_file_is_reported() -> None:
    with pytest.raises(InputError) as caught:
        load(Path("distribute-jobs.yaml"))
    assert caught.value.problems == (
        (
            "distribute-jobs.yaml: there is no such file; write the path of a batch's YAML file, "
            "or make one with `distribute template command --output distribute-jobs.yaml`"
        ),
    )
