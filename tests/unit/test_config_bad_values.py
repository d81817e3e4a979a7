"""Loading a jobs file with wrong values says for each what it may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_kit import META, job, problems_of
from distribute.config.loading import load

RANGE = "write 90s, 45m, 2h or 1h30m10s; a plain number means seconds"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run.py", "mesh.dat"):
        Path(name).write_text(name)


ELSEWHERE = "meta: {namespace: a/b, batch_name: b%s}\ncommand:\n  jobs:\n    - {name: ab, command: [], %s}\n"
LATE = "signal_before: {signal: TERM, seconds: 3h}"


@pytest.mark.parametrize(
    ("meta", "keys", "expected"),
    [
        (f", timeout: 2h, {LATE}", "retries: -1", "signal_before: 3h is not less than the timeout of 2h"),
        ("", f"timeout: 2h, {LATE}", "signal_before: 3h is not less than the timeout of 2h"),
        (f", {LATE}", "timeout: 2h", "signal_before: 3h is not less than the timeout of 2h"),
        ("", LATE, "signal_before: the job 'ab' has no timeout"),
        (f", {LATE}", "retries: 1", "signal_before: the job 'ab' has no timeout"),
    ],
)
def test_a_warning_that_comes_too_late_is_reported_with_all_else_that_is_wrong(
    meta: str, keys: str, expected: str
) -> None:
    problems = problems_of(ELSEWHERE % (meta, keys))
    assert any(expected in problem for problem in problems), problems
    assert any(" namespace: " in problem for problem in problems), problems
    assert any(" command " in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("meta", "keys", "wrong"),
    [
        (", timeout: soon", LATE, "timeout"),
        ("", f"timeout: soon, {LATE}", "timeout"),
        (", timeout: 2h", "signal_before: {signal: KILL, seconds: 3h}", "signal"),
        (f", timeout: 2h, {LATE}", "signal_before: USR1", "signal_before takes"),
        ("", f"timeuot: 9h, {LATE}", "a job has no key 'timeuot'"),
        (", timeuot: 9h", LATE, "meta has no key 'timeuot'"),
    ],
)
def test_nothing_follows_from_a_timeout_or_warning_that_is_itself_wrong(
    meta: str, keys: str, wrong: str
) -> None:
    problems = problems_of((ELSEWHERE % (meta, keys)).replace("namespace: a/b", "namespace: n"))
    problems = [problem for problem in problems if " command " not in problem]
    assert len(problems) == (2 if meta and "USR1" in keys else 1), problems
    assert any(wrong in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("timeout: 2 hors", f"4:41: timeout: '2 hors' is not a duration; {RANGE}"),
        ("timeout: 0", "4:41: timeout: 0 is out of range; write more than 0"),
        ("grace: 601", "4:39: grace: 601 is out of range; write 10m or less"),
        ("grace: 1d", "4:39: grace: 1d is out of range; write 10m or less"),
        ("grace: soon", f"4:39: grace: 'soon' is not a duration; {RANGE}"),
        (
            "timeout: 9, signal_before: USR1",
            (
                "4:59: signal_before takes {signal: USR1, seconds: 120}, not 'USR1'; "
                "write signal_before: {signal: USR1, seconds: 120}"
            ),
        ),
        (
            "timeout: 9, signal_before: {signal: KILL, seconds: 1}",
            (
                "4:68: signal: 'KILL' is not a signal that can warn a job; "
                "write one of ALRM, CONT, HUP, INT, QUIT, TERM, USR1, USR2, WINCH, XCPU"
            ),
        ),
        (
            "timeout: 9, signal_before: {signal: 10, seconds: 1}",
            (
                "4:68: signal: '10' is not a signal that can warn a job; "
                "write one of ALRM, CONT, HUP, INT, QUIT, TERM, USR1, USR2, WINCH, XCPU"
            ),
        ),
        (
            "timeout: 9, signal_before: {signal: TERM}",
            "4:59: signal_before needs the key 'seconds'; write seconds: 120",
        ),
        (
            "timeout: 9, signal_before: {signal: TERM, seconds: 9s}",
            "4:59: signal_before: 9s is not less than the timeout of 9s; write fewer seconds",
        ),
        (
            "signal_before: {signal: TERM, seconds: 9s}",
            (
                "4:47: signal_before: the job 'ab' has no timeout; "
                "write one in the job or in meta, such as timeout: 2h"
            ),
        ),
        ("retries: 101", "4:41: retries: 101 is out of range; write 100 or less"),
        ('retries: "101\\n"', "4:41: retries: 101 is out of range; write 100 or less"),
        ("retries: -1", "4:41: retries: -1 is out of range; write 0 or more"),
        ("retries: many", "4:41: retries takes a whole number, not 'many'; write retries: 1"),
        ("retries: 1.5", "4:41: retries takes a whole number, not '1.5'; write retries: 1"),
        (
            "resources: 4",
            "4:43: resources takes keys with values, not '4'; write resources: {cpus: 4, memory: 8G}",
        ),
        (
            "resources: {memory: 8 gigs}",
            "4:52: memory: '8 gigs' is not a size; write 8G, 512M or 10K; a plain number means bytes",
        ),
        ("resources: {cpus: 0}", "4:50: cpus: 0 is out of range; write 1 or more"),
        (
            "required_files: mesh.dat",
            "4:48: required_files takes a list, not 'mesh.dat'; write required_files: ['mesh.dat']",
        ),
        (
            "required_files: [[mesh.dat]]",
            (
                "4:49: a file takes a path, {path: PATH, alias: NAME}, or {git: FOLDER, ref: REF, "
                "alias: NAME}, not a list; write required_files: [data/mesh.dat]"
            ),
        ),
        ("env: {A: }", '4:41: env takes a text, not nothing; write "" for an empty text'),
        ("env: [A]", "4:37: env takes keys with values, not a list; write env: {MY_SETTING: fast}"),
        (
            "env: {1A: x}",
            "4:38: env: '1A' can't name a variable; use letters, digits and '_', as in MY_SETTING",
        ),
        (
            "env: {DISTRIBUTE_CPUS: 3}",
            "4:38: env: distribute itself sets 'DISTRIBUTE_CPUS'; choose a name without DISTRIBUTE_",
        ),
        (
            'env: {A: "x\\0"}',
            "4:41: env: 'x\\x00' contains a NUL, which can't be passed to a program; remove it",
        ),
    ],
)
def test_a_wrong_value_is_reported_with_a_right_one(keys: str, expected: str) -> None:
    assert problems_of(job(keys)) == [expected]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("[]", '2:37: command is empty; write command: ["./solver", "--re", "100"]'),
        ('""', '2:37: command is empty; write command: ["./solver", "--re", "100"]'),
        ("{a: b}", '2:37: command takes a list, not a mapping; write command: ["./solver", "--re", "100"]'),
        (
            "[x, [y]]",
            '2:41: an item of command takes a text, not a list; write command: ["./solver", "--re", "100"]',
        ),
    ],
)
def test_a_command_of_the_wrong_form_is_refused(command: str, expected: str) -> None:
    assert problems_of(META + f"command: {{jobs: [{{name: a, command: {command}}}]}}\n") == [expected]


def test_wrong_matrix_capabilities_and_priority_are_reported() -> None:
    text = """\
meta: {namespace: n, batch_name: b, matrix: "jane:lab.org", capabilities: gpu, priority: 1000}
command: {jobs: [{name: a, command: x}]}
"""
    assert problems_of(text) == [
        "1:45: matrix: 'jane:lab.org' is not a Matrix user; write \"@jane:example.org\", with the quotes",
        "1:75: capabilities takes a list, not 'gpu'; write capabilities: ['gpu']",
        "1:90: priority: 1000 is out of range; write 100 or less",
    ]


@pytest.mark.parametrize(
    ("mounts", "why"),
    [
        (
            "[relative]",
            "'relative' can't be mounted; write an absolute path in the container, such as /solver/cases",
        ),
        (
            "['/a:/b']",
            "'/a:/b' can't be mounted; write an absolute path in the container, such as /solver/cases",
        ),
        (
            "[/a/../b]",
            "'/a/../b' can't be mounted; write an absolute path in the container, such as /solver/cases",
        ),
        ("[/input/]", "'/input/' can't be mounted, because distribute uses it; write another path"),
    ],
)
def test_impossible_mounts_are_refused(mounts: str, why: str) -> None:
    text = (
        f"{META}apptainer:\n  initialize: {{sif: run.py, required_mounts: {mounts}}}\n  jobs: [{{name: a}}]\n"
    )
    (problem,) = problems_of(text)
    assert problem.endswith((f" required_mounts: {why}", f" an item of required_mounts: {why}"))


def test_jobs_with_too_many_different_needs_are_refused() -> None:
    jobs = "".join(
        f"    - {{name: j{number}, command: [x], resources: {{memory: {number}M}}}}\n"
        for number in range(257)
    )
    (problem,) = problems_of(f"{META}command:\n  jobs:\n{jobs}")
    assert problem == (
        "3:3: the jobs ask for 257 different resources and retries, but a batch may ask for 256 at most; "
        "round them up, for example memory to whole gigabytes"
    )
    twice = jobs.replace("j256", "j255")
    clash, needs = problems_of(f"{META}command:\n  jobs:\n{twice}")[::-1]
    assert (needs, "two jobs are called 'j255'" in clash) == (problem, True), "with what else is wrong"


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("many", "4:50: gpus takes a whole number, not 'many'; write gpus: 1"),
        ("[1]", "4:50: gpus takes a whole number, not a list; write gpus: 1"),
        ("{number: 1}", "4:51: gpus has no key 'number'; it may have count, memory, model"),
        ("{count: -1}", "4:58: count: -1 is out of range; write 0 or more"),
        (
            '{model: "(RTX"}',
            "4:58: model: '(RTX' is not a valid regular expression: missing ): (RTX",
        ),
        ("{model: [a]}", '4:58: model takes a text, not a list; write model: "RTX.*"'),
    ],
)
def test_gpus_that_are_written_wrongly_are_refused_in_plain_words(written: str, problem: str) -> None:
    (found,) = problems_of(job(f"resources: {{gpus: {written}}}"))
    assert found == problem


BOUNDS = [
    ("resources: {cpus: %d}", 2**16, "4:50: cpus", "65536"),
    ("resources: {gpus: %d}", 2**10, "4:50: gpus", "1024"),
    ("retries: %d", 100, "4:41: retries", "100"),
    ("timeout: %d", 10**10, "4:41: timeout", "115740d"),
]


@pytest.mark.parametrize(("keys", "most", "place", "written"), BOUNDS)
def test_a_file_has_the_same_bounds_as_a_submitted_batch(
    keys: str, most: int, place: str, written: str
) -> None:
    Path("jobs.yaml").write_text(job(keys % most))
    load(Path("jobs.yaml"))
    assert problems_of(job(keys % (most + 1))) == [
        f"{place}: {most + 1} is out of range; write {written} or less"
    ]
    Path("jobs.yaml").write_text(job(keys.replace("%d", written)))
    load(Path("jobs.yaml"))


def test_the_bound_of_a_size_is_told_as_a_size() -> None:
    Path("jobs.yaml").write_text(job(f"resources: {{memory: {2**63 - 1}}}"))
    load(Path("jobs.yaml"))
    assert problems_of(job(f"resources: {{memory: {2**63}}}")) == [
        f"4:52: memory: {2**63} is out of range; write less than 8192P"
    ]


VARIABLES = "{" + ", ".join(f"A{number}: x" for number in range(1001)) + "}"
LISTS = [
    (
        f"{META}command: {{env: {VARIABLES}, jobs: [{{name: j, command: x}}]}}",
        "env: 1001 variables are too many",
    ),
    (job(f"env: {VARIABLES}"), "env: 1001 variables are too many"),
    (
        META.replace("}", f", capabilities: [{', '.join(f'c{number}' for number in range(1001))}]}}")
        + "command: {jobs: [{name: j, command: x}]}",
        "capabilities: 1001 capabilities are too many",
    ),
    (
        META.replace("}", f", setup: [{', '.join(['module load gcc'] * 1001)}]}}")
        + "command: {jobs: [{name: j, command: x}]}",
        "setup: 1001 lines are too many",
    ),
    (job(f"env: {VARIABLES.replace('A', '-')}"), "env: 1001 variables are too many"),  # and none is right
]


@pytest.mark.parametrize(("text", "problem"), LISTS)
def test_lists_have_the_same_bounds_as_those_of_a_submitted_batch(text: str, problem: str) -> None:
    (found,) = problems_of(text)
    assert found.partition(": ")[2] == f"{problem}; write 1000 at most"


@pytest.mark.parametrize("key", ["capabilities: [{}]", 'matrix: "@jane:{}"'])
def test_a_text_that_is_shown_everywhere_is_short(key: str) -> None:
    """As in the batch that is submitted, where it is a label."""
    meta = META.replace("}", f", {key.format('x' * 257)}}}")
    (found,) = problems_of(f"{meta}command: {{jobs: [{{name: j, command: x}}]}}")
    assert found.endswith(" bytes; it may have 256")


def test_a_number_out_of_range_is_shown_as_the_user_wrote_it() -> None:
    assert problems_of(job("timeout: 999999999999999d, resources: {cpus: 007000000, memory: 99999P}")) == [
        "4:41: timeout: 999999999999999d is out of range; write 115740d or less",
        "4:77: cpus: 007000000 is out of range; write 65536 or less",
        "4:96: memory: 99999P is out of range; write less than 8192P",
    ]
