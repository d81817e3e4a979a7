"""A sweep in a file of jobs: the jobs that come of it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_kit import META, entry, problems_of, write
from distribute.config.loading import load
from distribute.core.spec.specs import ApptainerJob, CommandJob, PythonJob, Resources

COMMAND = 'command:\n  job: {command: "./solver --re {re} --n {n}"}\n'


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def jobs_of(text: str, **files: bytes) -> tuple[CommandJob | PythonJob | ApptainerJob, ...]:
    return load(write(Path.cwd(), META + text, **files)).spec.work.jobs


def names_of(text: str, **files: bytes) -> list[str]:
    return [job.name for job in jobs_of(text, **files)]


def problem(sweep: str, job: str = 'command: "./solver {re}"') -> str:
    """The one problem of a file with this sweep and this pattern."""
    (found,) = problems_of(f"{META}sweep: {sweep}\ncommand:\n  job: {{{job}}}\n")
    return found


def test_a_sweep_makes_a_job_of_each_point() -> None:
    jobs = jobs_of('sweep:\n  grid: {re: [100, 400], n: [48, 64]}\n  name: "re{re}-n{n}"\n' + COMMAND)
    assert [job.name for job in jobs] == ["re100-n48", "re100-n64", "re400-n48", "re400-n64"]
    assert jobs[1] == CommandJob(
        name="re100-n64", command="./solver --re 100 --n 64", parameters={"re": 100, "n": 64}
    )


def test_all_texts_of_a_job_may_have_placeholders() -> None:
    (job,) = jobs_of(
        "sweep: {grid: {mesh: [coarse]}}\ncommand:\n  job:\n"
        '    command: [./solver, "{mesh}", "a b {{mesh}} {number}"]\n'
        '    env: {MESH: "{mesh}.dat", NUMBER: "{number:03d}"}\n'
        '    required_files: [fixed.dat, "data/{mesh}.dat", {path: "data/{mesh}.dat", alias: "{mesh}-2"}]\n'
        "    resources: {cpus: 2}\n    timeout: 2h\n    retries: 1\n",
        fixed_DOT_dat=b"1",
        data__coarse_DOT_dat=b"2",
    )
    assert isinstance(job, CommandJob)
    assert job.command == ("./solver", "coarse", "a b {mesh} 1")
    assert job.env == {"MESH": "coarse.dat", "NUMBER": "001"}
    assert set(job.files) == {entry("fixed.dat", b"1"), entry("coarse.dat", b"2"), entry("coarse-2", b"2")}
    assert (job.resources, job.timeout_s, job.retries) == (Resources(cpus=2), 7200, 1)
    assert job.name == "meshcoarse"


@pytest.mark.parametrize("grid", ["{re: [7, 8]}", "{number: [1, 2]}"])
def test_the_path_of_a_file_may_have_the_number_of_its_job(grid: str) -> None:
    text = f"sweep: {{grid: {grid}}}\ncommand: {{job: {{command: a, required_files: ['{{number}}.dat']}}}}\n"
    jobs = jobs_of(text, **{"1_DOT_dat": b"one", "2_DOT_dat": b"two"})
    assert [job.files for job in jobs] == [(entry("1.dat", b"one"),), (entry("2.dat", b"two"),)]


def test_python_and_apptainer_have_sweeps_too() -> None:
    sweep = "sweep: {grid: {re: [0.10]}}\n"
    (job,) = jobs_of(
        sweep + 'python:\n  job: {file: "run-{re}.py", args: [--re, "{re}"]}\n', **{"run-0.10_DOT_py": b"x"}
    )
    assert job == PythonJob(
        name="re0.10", script=entry("run-0.10.py", b"x"), args=("--re", "0.10"), parameters={"re": 0.1}
    )
    (job,) = jobs_of(
        sweep + 'apptainer:\n  initialize: {sif: a.sif}\n  job: {env: {RE: "{re}"}}\n', a_DOT_sif=b"image"
    )
    assert job == ApptainerJob(name="re0.10", env={"RE": "0.10"}, parameters={"re": 0.1})


def test_a_sweep_may_stand_beside_a_list_of_jobs() -> None:
    text = "sweep: {grid: {re: [1, 2]}}\ncommand:\n  jobs: [{name: mesh, command: ./mesh}]\n"
    assert names_of(text + '  job: {command: "./solver {re}"}\n') == ["mesh", "re1", "re2"]


def test_values_look_as_written_and_are_kept_as_what_they_are() -> None:
    jobs = jobs_of(
        "sweep: {include: [{x: 1.10, flag: true, tag: 007, n: 5}]}\n"
        'command: {job: {command: ["{x}", "{flag}", "{tag}", "{n:03d}"]}}\n'
    )
    assert isinstance(jobs[0], CommandJob)
    assert jobs[0].command == ("1.10", "true", "007", "005")
    assert jobs[0].parameters == {"x": 1.1, "flag": True, "tag": "007", "n": 5}


def test_a_value_in_a_shells_text_is_quoted() -> None:
    (job,) = jobs_of(
        "sweep: {grid: {case: [\"it's a $case\"]}, name: a}\ncommand: {job: {command: 'echo {case}'}}\n"
    )
    assert isinstance(job, CommandJob)
    assert job.command == "echo 'it'\"'\"'s a $case'"


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ("{from: 1, to: 3}", ["1", "2", "3"]),
        ("{from: 0, to: 0.2, step: 0.1}", ["0.0", "0.1", "0.2"]),
        ("{linear: [0, 1], count: 3}", ["0", "0.5", "1"]),
        ("{log: [1e-3, 1e-1], count: 3}", ["1e-3", "0.01", "1e-1"]),
        ("5", ["5"]),
    ],
)
def test_values_may_be_a_range(values: str, texts: list[str]) -> None:
    assert (
        names_of(f"sweep: {{grid: {{x: {values}}}, name: '{{x}}'}}\ncommand: {{job: {{command: a}}}}\n")
        == texts
    )


def test_zip_sample_include_and_exclude_are_read() -> None:
    names = names_of(
        "sweep:\n  zip: {re: [1, 2], dt: [a, b]}\n  grid: {n: [8, 16]}\n  exclude: [{n: 8, re: 2}]\n"
        "  include: [{n: 0, re: 0, dt: z}]\ncommand: {job: {command: 'x {re}'}}\n"
    )
    assert names == ["n8-re1-dta", "n16-re1-dta", "n16-re2-dtb", "n0-re0-dtz"]
    sample = (
        "{count: 3, seed: 4, values: {x: {uniform: [0, 1]}, nu: {log: [1e-5, 1e-2]}, "
        "i: {integers: [1, 6]}, s: {choice: [a, b]}}}"
    )
    jobs = jobs_of(
        f"sweep: {{sample: {sample}}}\ncommand: {{job: {{command: '{{x}} {{nu}} {{i}} {{s}}'}}}}\n"
    )
    assert [job.name for job in jobs] == ["1", "2", "3"]
    assert all(job.parameters and job.parameters["s"] in {"a", "b"} for job in jobs)
    assert [type(value) for value in (jobs[0].parameters or {}).values()] == [float, float, int, str]


def test_each_file_of_a_pattern_becomes_a_job_that_has_it() -> None:
    jobs = jobs_of(
        'sweep: {each: "cases/*.dat", grid: {re: [1, 2]}, name: "{stem}-{re}"}\n'
        "command: {job: {command: './solver {file} {re}'}}\n",
        cases__b_DOT_dat=b"b",
        cases__a_DOT_dat=b"a",
        cases__other=b"",
    )
    assert [job.name for job in jobs] == ["a-1", "a-2", "b-1", "b-2"]
    assert jobs[0] == CommandJob(
        name="a-1",
        command="./solver input/a.dat 1",
        files=(entry("a.dat", b"a"),),
        parameters={"path": "cases/a.dat", "re": 1},
    )
    assert names_of('sweep: {each: "**/a.dat"}\ncommand: {job: {command: a}}\n') == ["a"]


def test_each_line_of_a_list_becomes_a_job() -> None:
    jobs = jobs_of(
        "sweep: {each-line: list.txt}\ncommand: {job: {command: ['./solver', '{line}', '{line_number}']}}\n",
        list_DOT_txt=b"\xef\xbb\xbf--re 100\r\n\r\n  --re '4 0' \n",
    )
    assert [job.name for job in jobs] == ["1", "3"]
    assert isinstance(jobs[1], CommandJob)
    assert jobs[1].command == ("./solver", "  --re '4 0' ", "3")
    assert jobs[1].parameters == {"line": "  --re '4 0' "}


def test_each_row_of_a_table_becomes_a_job_with_its_columns() -> None:
    table = b'name, re ,note\nfirst,100,"a, b"\n\nsecond,0.50,\n'
    jobs = jobs_of(
        "sweep: {each-line: runs.csv}\ncommand: {job: {command: ['{re}', '{note}']}}\n", runs_DOT_csv=table
    )
    assert jobs[0] == CommandJob(
        name="first", command=("100", "a, b"), parameters={"name": "first", "re": 100, "note": "a, b"}
    )
    assert jobs[1].name == "second"
    tabs = table.replace(b", ", b"\t").replace(b" ,", b"\t").replace(b',"a\tb"', b"\tx").replace(b",", b"\t")
    assert names_of(
        "sweep: {each-line: runs.tsv}\ncommand: {job: {command: ['{re}']}}\n", runs_DOT_tsv=tabs
    ) == ["first", "second"]


def test_a_table_keeps_its_cells_as_they_are() -> None:
    table = "note,line_number\r\na\u2028b\fc,7\r\n".encode()
    (job,) = jobs_of("sweep: {each-line: t.csv, name: a}\ncommand: {job: {command: a}}\n", t_DOT_csv=table)
    assert job.parameters == {"note": "a\u2028b\fc", "line_number": 7}


def test_six_lines_make_100_000_jobs() -> None:
    text = "sweep: {grid: {a: {from: 1, to: 1000}, b: {from: 1, to: 100}}, name: a{a}-b{b}}\n".replace(
        "a{a}-b{b}", '"a{a}-b{b}"'
    )
    jobs = jobs_of(text + "command:\n  job:\n    command: ./solver {a} {b}\n")
    assert len(jobs) == 100_000
    assert jobs[-1].name == "a1000-b100"


# Bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ("{grid: {re: {from: 1, to: 1000000000}}}", "2:8: the sweep has 1,000,000,000 points"),
        ("{grid: {re: []}}", "2:20: re has no values"),
        ("{grid: {re: [1, [2]]}}", "an item of grid takes a text, not a list"),
        ("{grid: {}}", "2:8: the sweep has no parameters"),
        ("{grid: {re: {from: 1}}}", "from is no range; write {from: 1, to: 10, step: 1}"),
        ("{grid: {re: {from: 1, to: x}}}", "'x' is no number"),
        ("{grid: {re: {linear: [1], count: 2}}}", "a range has two ends"),
        ("{zip: {re: [1], n: [1, 2]}}", "the lists of zip are equally long, but re has 1, n has 2"),
        ("{sample: {count: 2, values: {re: [0, 1]}}}", "{uniform: [0, 1]}"),
        ("{sample: {count: 2, values: {re: {uniform: [0]}}}}", "smallest and the largest"),
        ("{sample: {count: 1000000000, values: {re: {uniform: [0, 1]}}}}", "1,000,000,000 points"),
        ("{sample: {values: {re: {uniform: [0, 1]}}}}", "sample needs the key 'count'"),
        ("{grid: {re: [1, 2]}, name: same}", "two jobs would be called 'same': re=1; and re=2; add {re}"),
        ("{grid: {re: [a/b]}, name: '{re}'}", "'a/b' can't be a name"),
        ("{grid: {re: [1]}, name: '{ree}'}", "2:32: name: {ree} names no parameter: did you mean {re}?"),
        (
            "{grid: {re: [x]}, name: '{re:03d}'}",
            "{re:03d} takes a number, and re is 'x'; write {re} (at re=x)",
        ),
        ("{grid: {re: [1]}, exclude: [{n: 1}]}", "has no parameter 'n'"),
        ("{grids: {re: [1]}}", "sweep has no key 'grids'; write 'grid'"),
        ("{each_line: x}", "sweep has no key 'each_line'; write 'each-line'"),
        ("{each: '*.nothing', grid: {re: [1]}}", "no file matches '*.nothing'"),
        ("{each: 'nowhere/*.dat', grid: {re: [1]}}", "there is no folder"),
        ("{each-line: nowhere.txt, grid: {re: [1]}}", "there is no file 'nowhere.txt'"),
        ("{each-line: ~no-such-user/list.txt}", "there is no file '~no-such-user/list.txt'"),
        ("5", "sweep takes keys with values, not '5'"),
    ],
)
def test_a_wrong_sweep_is_refused_with_its_place(sweep: str, words: str) -> None:
    assert words in problem(sweep)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ('command: "./solver {mesh}"', "4:18: "),
        (
            'command: "./solver {mesh}"',
            "command: {mesh} names no parameter: there are re, number; for the text",
        ),
        ('command: [a, "{res}"]', "did you mean {re}?"),
        ("command: \"awk '{print}'\"", "for the text itself write {{print}}"),
        ("command: [./solver, {re}]", 'write "{re}", with the quotes'),
        ("command: {re}", 'command takes a text, not a mapping; write "{re}", with the quotes'),
        ('command: a, env: {X: "{Y}"}', "X: {Y} names no parameter"),
        ('command: a, required_files: ["{re}.dat"]', "there is no file '1.dat'"),
        ('command: a, required_files: [{path: "{m}.dat"}]', "path: {m} names no parameter"),
        ("command: a, name: x", "the sweep names its jobs: sweep: {name:"),
        ("comand: a", "job has no key 'comand'; write 'command'"),
        ("timeout: 1h", "job needs the key 'command'"),
    ],
)
def test_a_wrong_pattern_is_refused_with_its_place(job: str, words: str) -> None:
    assert words in problem("{grid: {re: [1, 2]}}", job)


def test_a_sweep_and_the_pattern_of_its_jobs_belong_together() -> None:
    (found,) = problems_of(
        f"{META}sweep: {{grid: {{re: [1]}}}}\ncommand:\n  jobs: [{{name: a, command: b}}]\n"
    )
    assert "the sweep has no pattern of its jobs; write command: {job: {command:" in found
    (found,) = problems_of(f"{META}command:\n  job: {{command: b}}\n")
    assert "there is no sweep" in found


def test_a_job_of_the_list_and_one_of_the_sweep_have_different_names() -> None:
    (found,) = problems_of(
        f"{META}sweep: {{grid: {{re: [1]}}}}\n"
        "command:\n  jobs: [{name: re1, command: b}]\n  job: {command: c}\n"
    )
    assert "two jobs would be called 're1': one that is listed, and one of the sweep (re=1)" in found


def test_together_a_list_and_a_sweep_have_100_000_jobs_at_most() -> None:
    (found,) = problems_of(
        f"{META}sweep: {{grid: {{re: {{from: 1, to: 100000}}}}}}\ncommand:\n"
        "  jobs: [{name: a, command: b}]\n  job: {command: c}\n"
    )
    assert "the sweep makes 100,000 jobs, besides 1 that are listed" in found


def test_files_of_one_job_have_different_names() -> None:
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "x.dat").write_text(name)
    found = problem("{grid: {re: [1]}}", 'command: c, required_files: ["a/x.dat", "b/x.dat"]')
    assert "two files would become './input/x.dat' (at re=1); add an alias" in found
    assert "two jobs would be called 'x': path=a/x.dat; and path=b/x.dat" in problem(
        "{each: '*/x.dat'}", "command: c"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no lines"),
        (b"\n \n", "has no lines"),
        (b"a\0b\n", "is a binary file"),
        (b"\xff\xfea\0", "is a binary file"),
        (b"ok\n\xff\n", "byte 4, on line 2, is not UTF-8"),
        (b"x" * 200_000, "200,000 characters"),
        (b"x\n" * 100_001, "100,001 points"),
    ],
)
def test_a_list_that_is_none_is_refused(content: bytes, words: str) -> None:
    Path("list.txt").write_bytes(content)
    assert words in problem("{each-line: list.txt}", 'command: [a, "{line}"]')


def test_a_huge_list_is_refused_before_it_is_read() -> None:
    with Path("list.txt").open("wb") as file:
        file.truncate(10 << 30)
    assert "more than 64M" in problem("{each-line: list.txt}", "command: a")


def test_a_folder_is_no_list() -> None:
    Path("cases").mkdir()
    assert "can't read 'cases'" in problem("{each-line: cases}", "command: a")


def test_each_takes_files_or_folders_but_not_both() -> None:
    Path("cases/deep").mkdir(parents=True)
    Path("cases/a.dat").touch()
    assert problem("{each: 'cases/*'}", "command: a") == (
        "2:15: 'cases/*' matches folders and files, such as 'cases/deep' and 'cases/a.dat'; write 'cases/*/' "
        "for the folders, or the ending of the files, such as *.dat"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; its first line names the columns"),
        (b"re,n\n", "has no rows"),
        (b"re;n\n1;2\n", "the column 're;n' can't name a parameter"),
        (b"re,n\n1\n", "line 2 has 1 columns, and the first line 2"),
        (b"re,re\n1,2\n", "two columns are called re"),
        (b're\n"1\n', "is no row of a table"),
    ],
)
def test_a_table_that_is_none_is_refused(content: bytes, words: str) -> None:
    Path("runs.csv").write_bytes(content)
    assert words in problem("{each-line: runs.csv}", "command: a")


def test_a_line_too_long_for_a_name_is_refused_with_advice() -> None:
    Path("list.txt").write_text("y" * 300 + "\n")
    found = problem("{each-line: list.txt, name: '{line}'}", "command: a")
    assert "has 300 bytes; a name may have 255" in found
    assert "use {number}" in found


def test_texts_that_would_fill_the_memory_are_refused() -> None:
    found = problem("{grid: {re: {from: 1, to: 100000}}}", f"command: [{'x' * 2000}, '{{re}}']")
    assert "more than 80M of names, commands and values" in found


def test_a_signal_without_a_timeout_is_told_of_the_pattern() -> None:
    found = problem("{grid: {re: [1]}}", "command: a, signal_before: {signal: USR1, seconds: 5}")
    assert "each job of the sweep has no timeout" in found


def test_aliases_that_repeat_values_for_ever_are_refused() -> None:
    layers = "".join(f"l{n}: &l{n} [{', '.join(10 * [f'*l{n - 1}'])}]\n" for n in range(1, 8))
    (found, *_) = problems_of(
        f"{META}l0: &l0 [a]\n{layers}sweep: {{grid: {{re: *l7}}}}\ncommand: {{job: {{command: a}}}}\n"
    )
    assert "aliases repeat what starts here" in found
    columns = "".join(f"    p{n}: *a\n" for n in range(100))
    (found, *_) = problems_of(
        f"{META}sweep:\n  grid:\n    p: &a [{'1, ' * 20_000}]\n{columns}command: {{job: {{command: a}}}}\n"
    )
    assert "aliases repeat what starts here" in found
