"""The values of `distribute submit`: of an array, of files, of lines; and placeholders for them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from distribute.core.spec.specs import Resources
from submit_kit import commands, files, refusal, submitted

pytestmark = pytest.mark.usefixtures("folder_with_a_solver")


def test_an_array_has_a_job_for_each_index() -> None:
    spec = submitted("./solver", "--seed", "{}", "{index:03d}", "{#}", "{{}}", array="3,8-9")
    assert commands(spec) == {
        "3": ("input/solver", "--seed", "3", "003", "1", "{}"),
        "8": ("input/solver", "--seed", "8", "008", "2", "{}"),
        "9": ("input/solver", "--seed", "9", "009", "3", "{}"),
    }
    assert [file.alias for file in spec.files] == ["solver"], "it is sent once"
    assert [(job.parameters or {}).get("index") for job in spec.work.jobs] == [3, 8, 9]


def test_behind_a_percent_sign_stands_how_many_jobs_run_at_once() -> None:
    assert submitted("solve", "{}", array="1-9%4").max_running == 4


def test_each_file_is_sent_to_its_job() -> None:
    spec = submitted("solve", "{}", "--out={/.}.csv", "{.}", "{stem}", each="cases/*.dat")
    assert commands(spec) == {
        "coarse": ("solve", "input/coarse.dat", "--out=coarse.csv", "input/coarse", "coarse"),
        "fine": ("solve", "input/fine.dat", "--out=fine.csv", "input/fine", "fine"),
    }
    assert files(spec) == {"coarse": {"coarse.dat"}, "fine": {"fine.dat"}}


def test_each_line_is_a_value() -> None:
    spec = submitted("solve", "{}", "a{line}b", each_line="lines")
    assert list(commands(spec).values()) == [
        ("solve", "100 0.5", "a100 0.5b"),
        ("solve", "  400 x", "a  400 xb"),
    ]


def test_each_row_of_a_table_gives_the_values_of_its_columns() -> None:
    spec = submitted("solve", "{re}-{n}", "{#}", each_line="table.csv")
    assert commands(spec) == {"re100-n48": ("solve", "100-48", "1"), "re400-n64": ("solve", "400-64", "2")}


def test_values_in_a_text_for_sh_are_quoted_where_they_stand(folder_with_a_solver: Path) -> None:
    (folder_with_a_solver / "lines").write_text("it's; rm -rf ~\nplain\n")
    first, second = commands(submitted("echo {} '{}' \"{}\"", each_line="lines")).values()
    assert second == "echo plain 'plain' \"plain\""
    said = subprocess.run(["sh", "-c", first], capture_output=True, text=True, check=True)
    assert said.stdout == " ".join(["it's; rm -rf ~"] * 3) + "\n"


def test_values_may_stand_in_what_a_job_needs() -> None:
    spec = submitted("solve", array="1,4", cpus="{}", memory="{}G", timeout="{index}h", retries="1")
    assert [(job.resources, job.timeout_s, job.retries) for job in spec.work.jobs] == [
        (Resources(cpus=1, memory_bytes=2**30), 3600, None),
        (Resources(cpus=4, memory_bytes=4 * 2**30), 4 * 3600, None),
    ]
    assert (spec.resources, spec.timeout_s, spec.retries) == (None, None, 1)
    together = submitted("solve", "{}", array="1,2", cpus="2", gpus="{}", timeout="1h")
    assert [job.resources for job in together.work.jobs] == [
        Resources(cpus=2, gpus=1),
        Resources(cpus=2, gpus=2),
    ]
    assert together.timeout_s == 3600


def test_a_need_that_a_value_can_not_be_is_told_with_its_option() -> None:
    assert refusal("--array", "0,1", "--cpus", "{}", "--", "solve") == [
        "--cpus: 0 is out of range; write 1 or more (at index=0)"
    ]
    assert refusal("--timeout", "{}h", "--", "solve")[0] == (
        "--timeout: '{}h': {} stands for a value, and there is none; add --array 1-30, --each 'cases/*' or "
        "--each-line FILE; for the text itself write {{}}"
    )


def test_values_may_stand_in_variables_and_paths_of_files(folder_with_a_solver: Path) -> None:
    (folder_with_a_solver / "mesh-1.dat").touch()
    (folder_with_a_solver / "mesh-2.dat").touch()
    spec = submitted(
        *("run", "mesh-{}.dat", "x"), array="1-2", env=["TASK={}", "A=1"], files=["mesh-{}.dat", "run.py"]
    )
    assert commands(spec) == {"1": ("run", "input/mesh-1.dat", "x"), "2": ("run", "input/mesh-2.dat", "x")}
    assert files(spec) == {"1": {"mesh-1.dat"}, "2": {"mesh-2.dat"}}
    assert (spec.env, [job.env for job in spec.work.jobs]) == ({"A": "1"}, [{"TASK": "1"}, {"TASK": "2"}])
    assert [file.alias for file in spec.files] == ["run.py"]
    assert list(commands(submitted("run", array="1-2", env=["TASK={}"])).values()) == [("run",)] * 2


USE = "write {} where the value belongs, in the command, in --env or in --file"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--array", "1-", "--", "x", "{}"], "--array '1-': 1- has no end; write 1-10"),
        (
            ["--array", "1-1000000000", "--", "x", "{}"],
            "--array '1-1000000000': these are 1,000,000,000 jobs, and a batch may have 100,000; write fewer",
        ),
        (
            ["--each", "*.dat", "--each", "*.py", "--", "x", "{}"],
            "--each is given 2 times; write one pattern for all files, such as 'cases/*'",
        ),
        (
            ["--array", "1", "--array", "2", "--", "x", "{}"],
            "--array is given 2 times; write one list, such as 1-9,20",
        ),
        (
            ["--array", "1-3", "--", "ls", "{a b}"],
            f"--array makes several jobs, and all would do the same: {USE}",
        ),
        (["--each", "*.py", "--", "ls"], f"--each makes several jobs, and all would do the same: {USE}"),
        (
            ["--each-line", "table.csv", "--", "ls"],
            (
                "--each-line makes several jobs, and all would do the same: "
                "write {NAME}, the name of a column, where the value belongs, in the command, in --env "
                "or in --file"
            ),
        ),
        (
            ["--each-line", "table.csv", "--", "ls", "{}"],
            (
                "the command: {} means nothing with a table: write a column's name in braces, such as {re}; "
                "also {#}"
            ),
        ),
        (
            ["--array", "1-3", "--", "ls", "{/}"],
            "the command: {/} means nothing with --array; it gives {}, {#}; for the text itself write {{/}}",
        ),
        (
            ["--array", "1-3", "--", "ls", "{indx}"],
            (
                "the command: {indx} names no parameter: did you mean {index}? there are index, number; "
                "for the text itself write {{indx}}"
            ),
        ),
        (
            ["--each", "*.dat", "--array", "1-3", "--", "ls", "{}"],
            "--array and --each can't go together; write one of them, or a file with a sweep of both",
        ),
    ],
)
def test_values_that_are_wrong_or_unused_are_refused(arguments: list[str], problem: str) -> None:
    assert refusal(*arguments) == [problem]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--each", "none*.dat", "--", "x", "{}"], "--each: no file matches 'none*.dat'"),
        (["--each-line", "gone", "--", "x", "{}"], "--each-line: there is no file 'gone'"),
        (["--array", "1-2", "-f", "m{}", "--", "x", "{}"], "--file: there is no file 'm1'"),
        (
            ["--each-line", "lines", "--file", "{}", "--", "ls", "{}"],
            (
                "--file: where the job finds '{}' depends on the value, which may be a path itself; "
                "write input/NAME in the command, or take --each"
            ),
        ),
    ],
)
def test_files_of_values_that_can_not_be_found_are_told(arguments: list[str], problem: str) -> None:
    assert refusal(*arguments)[0].startswith(problem)
