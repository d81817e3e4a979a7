"""What `distribute submit` makes of a shell's line, and what it refuses."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from distribute.core.spec.recipe import Share, recipe_of
from distribute.core.spec.specs import CommandWork, Resources
from distribute_cli.submitting.line import Line, describe
from submit_kit import commands, refusal, submitted

pytestmark = pytest.mark.usefixtures("folder_with_a_solver")


def test_a_command_is_a_batch_of_one_job() -> None:
    spec = submitted("echo", "a b", "$HOME", "*", "")
    assert (spec.namespace, spec.batch) == ("jane", "echo")
    assert commands(spec) == {"echo": ("echo", "a b", "$HOME", "*", "")}
    job = spec.work.jobs[0]
    assert recipe_of(spec, job).argv(Share(1), "/w") == ["echo", "a b", "$HOME", "*", ""], "no shell reads it"


@pytest.mark.parametrize("text", ["echo $HOME", "a|b", "echo 'a b'", "x >y", "a;b", "ls *.dat", "true\n"])
def test_a_single_word_that_a_shell_would_read_is_a_text_for_sh(text: str) -> None:
    spec = submitted(text)
    (command,) = commands(spec).values()
    assert command == text
    assert recipe_of(spec, spec.work.jobs[0]).argv(Share(1), "/w") == ["/bin/sh", "-c", text]


@pytest.mark.parametrize("word", ["true", "/usr/bin/env", "mpirun", "a-b_c.d+e=f", "größe"])
def test_any_other_single_word_is_a_program(word: str) -> None:
    assert list(commands(submitted(word)).values()) == [(word,)]


def test_every_option_has_its_key() -> None:
    spec = submitted(
        "true",
        name="sweep 3",
        capabilities=["gpu, python3", "fftw"],
        priority="-5",
        timeout="2h",
        retries="2",
        cpus="4",
        memory="8G",
        gpus="1",
        matrix="@jane:lab.org",
        env=["A=1", "B=x=y", "C="],
    )
    assert (spec.batch, spec.priority, spec.timeout_s, spec.retries) == ("sweep 3", -5, 7200, 2)
    assert spec.capabilities == {"gpu", "python3", "fftw"}
    assert spec.resources == Resources(cpus=4, memory_bytes=8 << 30, gpus=1)
    assert spec.env == {"A": "1", "B": "x=y", "C": ""}
    assert spec.matrix_user == "@jane:lab.org"
    spec = submitted("true", build="make && cp a b", max_failures="3", not_before="2030-01-31T18:00Z")
    assert isinstance(spec.work, CommandWork)
    assert (spec.work.build, spec.max_failures) == ("make && cp a b", 3)
    assert spec.not_before == datetime(2030, 1, 31, 18, tzinfo=UTC)
    assert submitted("true").resources is None, "a whole node, as in a file"


def test_words_that_begin_with_a_dot_and_are_files_are_sent_and_found_in_the_input() -> None:
    spec = submitted("./solver", "./mesh.dat", "mesh.dat", "./no-such", "--out=./mesh.dat", "../here/run.py")
    (command,) = commands(spec).values()
    assert command == (
        "input/solver",
        "input/mesh.dat",
        "mesh.dat",
        "./no-such",
        "--out=./mesh.dat",
        "input/run.py",
    )
    assert {file.alias: file.mode for file in spec.files} == {
        "solver": 0o755,
        "mesh.dat": 0o644,
        "run.py": 0o644,
    }


def test_a_word_that_is_the_path_of_a_required_file_is_found_in_the_input() -> None:
    spec = submitted("python3", "run.py", "cases/fine.dat", "fine.dat", files=["run.py", "cases/fine.dat"])
    assert commands(spec) == {"python3": ("python3", "input/run.py", "input/fine.dat", "fine.dat")}
    assert {file.alias for file in spec.files} == {"run.py", "fine.dat"}


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["./solver", "x"], "solver"),
        (["python3", "./run.py"], "run"),
        (["/opt/bin/cfd-1.2"], "cfd-1.2"),
        (["echo $HOME | cat"], "echo"),
        (["'my prog' a"], "my-prog"),
        (["'"], "batch"),
        (["größe"], "größe"),
        (["..."], "batch"),
        (["x" * 300], "x" * 60),
    ],
)
def test_a_batch_is_called_like_its_script_or_program(command: list[str], name: str) -> None:
    assert submitted(*command).batch == name


def test_without_values_only_two_braces_alone_are_a_placeholder() -> None:
    spec = submitted("awk", "{print $1}", "${HOME}", "{re}", "{{}}", env=["A={{}}"])
    assert commands(spec)["awk"] == ("awk", "{print $1}", "${HOME}", "{re}", "{}")
    assert spec.env == {"A": "{}"}


def warned(*command: str, **fields: Any) -> tuple[str, ...]:
    return describe(Line(command, "jane", **fields)).warnings


def test_a_file_that_is_not_sent_although_it_is_named_is_told() -> None:
    assert warned("python3", "run.py", "--mesh", "cases/fine.dat", "/etc/passwd", "cases") == (
        "run.py, cases/fine.dat are files here, and are not sent with the batch; write ./run.py to send it",
    )
    assert warned("python3", "./run.py", "mesh.dat", files=["mesh.dat"]) == ()
    (text,) = warned("./solver < mesh.dat", files=["mesh.dat"])
    assert text == (
        "./solver is a file here, and is not sent: a text for sh stays as it is; add --file ./solver, "
        "and write input/solver in the text"
    )


MISSING = "the command is missing: write it behind --, as in `distribute submit -- ./solver --re 100`"
SEE_HELP = " (see `distribute submit --help`)"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], MISSING),
        (["--name"], MISSING),
        (["--cpus", "4", "./solver", "--re", "1"], MISSING),
        (["--"], "no command stands behind --; write one, as in `distribute submit -- ./solver --re 100`"),
        (["--nmae", "x", "--", "true"], f"there is no option --nmae; did you mean --name?{SEE_HELP}"),
        (["--frobnicate", "1", "--", "true"], f"there is no option --frobnicate{SEE_HELP}"),
        (["--name", "--", "true"], "--name needs a value"),
        (["x y", "--", "true"], "'x y' stands before --, where only options do; write `--` before 'x y'"),
        (
            ["--each", "a", "b c", "d", "--", "true"],
            (
                "'b c', 'd' stand before --: has the shell put files in place of your pattern? "
                "Write it in quotes, as in `--each 'cases/*.dat'`"
            ),
        ),
    ],
)
def test_a_line_without_a_command_behind_its_options_is_refused(arguments: list[str], problem: str) -> None:
    assert refusal(*arguments) == [problem]


def test_options_of_the_command_are_its_own() -> None:
    assert commands(submitted("ls", "--help", "--name", "--", "-n")) == {
        "ls": ("ls", "--help", "--name", "--", "-n")
    }
    assert refusal("--cpus", "x", "--", "ls", "--help", "--cpus", "3") == [
        "--cpus takes a whole number, not 'x'; write --cpus 4"
    ]


def test_all_problems_are_told_at_once_with_their_options() -> None:
    options = {
        "--name": "a/b",
        "--namespace": "",
        "--cpus": "0",
        "--memory": "much",
        "--gpus": "1.5",
        "--timeout": "soon",
        "--retries": "1000",
        "--priority": "high",
        "--capability": "gpu,",
        "--matrix": "jane",
        "--after": "a/b/c",
        "--not-before": "later",
        "--max-failures": "0",
        "--file": "gone.dat",
    }
    words = [word for option in options.items() for word in option]
    assert refusal(*words, "--env", "1A=2", "--env", "B", "--", "./nothing") == [
        (
            "there is no file './nothing' here that could be sent; "
            "write a path relative to this folder, or a program that the nodes have"
        ),
        "--env: 'B' gives no value; write --env NAME=VALUE",
        "--namespace: a name can't be empty",
        "--name: 'a/b' can't be a name: names become folders, so '/' and NUL are out",
        "--matrix: 'jane' is not a Matrix user; write \"@jane:example.org\", with the quotes",
        "--capability is empty; write --capability gpu,python3",
        "--priority takes a whole number, not 'high'; write --priority 10",
        "--cpus: 0 is out of range; write 1 or more",
        "--memory: 'much' is not a size; write 8G, 512M or 10K; a plain number means bytes",
        "--gpus takes a whole number, not '1.5'; write --gpus 1",
        "--timeout: 'soon' is not a duration; write 90s, 45m, 2h or 1h30m10s; a plain number means seconds",
        "--retries: 1000 is out of range; write 100 or less",
        "--max-failures: 0 is out of range; write 1 or more",
        (
            "--not-before: 'later' is not a time; write a date and time, such as 2030-01-31T18:00 "
            "(local, unless it names a zone), or how long from now: 2h, 3d"
        ),
        "--after: 'a/b/c' names no batch; write BATCH, NAMESPACE/BATCH or last",
        "--env: '1A' can't name a variable; use letters, digits and '_', as in MY_SETTING",
        (
            f"--file: there is no file 'gone.dat' (looked for '{Path.cwd()}/gone.dat'); "
            "write a path relative to this folder, or an absolute one"
        ),
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["--", "./run.py"],
            "'./run.py' is not executable; chmod +x ./run.py, or write what runs it: -- python3 ./run.py",
        ),
        (["--list", "--", "true"], "--list shows what would be submitted: add --dry"),
        (["--", "", "x"], "the command begins with an empty word; write the program that runs"),
        (
            ["--file", "pipe", "--", "true"],
            "--file: 'pipe' is a device, pipe or socket; write the path of a regular file",
        ),
        (
            ["--", "ls", "./pipe"],
            "the command: './pipe' is a device, pipe or socket; write the path of a regular file",
        ),
        (
            ["--file", "cases/../mesh.dat", "--", "./solver", "./mesh.dat"],
            "both './mesh.dat' and 'cases/../mesh.dat' would become './input/mesh.dat'; rename one of them",
        ),
        (
            ["--", "ls", "a{}b"],
            (
                "the command: 'a{}b': {} stands for a value, and there is none; add --array 1-30, "
                "--each 'cases/*' or --each-line FILE; for the text itself write {{}}"
            ),
        ),
        (
            ["--env", "A={}", "--", "ls"],
            (
                "--env: '{}': {} stands for a value, and there is none; add --array 1-30, "
                "--each 'cases/*' or --each-line FILE; for the text itself write {{}}"
            ),
        ),
    ],
)
def test_a_line_that_could_not_work_is_refused(arguments: list[str], problem: str) -> None:
    os.mkfifo("pipe")
    assert refusal(*arguments) == [problem]


def test_a_program_that_the_build_makes_need_not_be_here() -> None:
    spec = submitted("./made", "x", build="cc -o made input/made.c", files=["mesh.dat"])
    assert commands(spec) == {"made": ("./made", "x")}
    assert {file.alias for file in spec.files} == {"mesh.dat"}


def test_a_batch_that_would_wait_for_itself_is_refused() -> None:
    said = refusal("--after", "solver", "--after", "mesh", "--", "./solver")
    assert said == ["--after: a batch can't wait for itself; 'solver' is this one"]
