"""Folders, globs and git checkouts as inputs of a sweep's jobs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config_kit import META, problems_of, put, write
from distribute.config.checking.input_trees import InputTrees, TreeKey
from distribute.config.loading import LoadedBatch, load
from distribute.core.spec.specs import CommandJob, InputFolder, Job
from distribute.inputs.sources import as_source, read_source
from distribute.inputs.tree import TreeFile
from git_kit import commit_all, git

CONTROL = "FoamFile\n"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text_of(sweep: str, files: str = "[]", command: str = "x") -> str:
    return f"{META}sweep: {sweep}\ncommand:\n  job:\n    command: '{command}'\n    required_files: {files}\n"


def loaded(sweep: str, files: str = "[]", command: str = "x") -> LoadedBatch:
    return load(write(Path.cwd(), text_of(sweep, files, command)))


def problem(sweep: str, files: str) -> str:
    """The one problem of the inputs of a pattern, which stand on line 6."""
    (found,) = problems_of(text_of(sweep, files))
    return found


def folders(job: Job) -> list[InputFolder]:
    return list(job.folders or ())


def names_in(batch: LoadedBatch, folder: InputFolder) -> set[str]:
    """The paths of what a folder lists."""
    listing = read_source(as_source(batch.sources[folder.sha256]), folder.sha256).decode()
    return {line.split('"path":"')[1].split('"')[0] for line in listing.splitlines() if '"path":"' in line}


def put_cases() -> None:
    """Two cases of OpenFOAM."""
    for name, re in (("re100", "100"), ("re400.v2", "400")):
        for file, content in (("system/controlDict", CONTROL), ("0/U", re), ("log.simpleFoam", "old")):
            path = Path("cases", name, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        Path("cases", name, "constant").mkdir()


@pytest.mark.parametrize("pattern", ["cases/*", "cases/*/", "cases/re*"])
def test_each_folder_that_matches_becomes_a_job_that_has_it(pattern: str) -> None:
    put_cases()
    batch = loaded(f'{{each: "{pattern}"}}', command="simpleFoam -case {file} # {stem} {path}")
    first, second = batch.spec.work.jobs
    assert isinstance(second, CommandJob)
    assert [first.name, second.name] == ["re100", "re400.v2"]
    assert second.command == "simpleFoam -case input/re400.v2 # re400.v2 cases/re400.v2"
    assert second.parameters == {"path": "cases/re400.v2"}
    (folder,) = folders(second)
    assert (folder.alias, second.files) == ("re400.v2", ())
    assert names_in(batch, folder) == {
        *("0", "0/U", "constant", "log.simpleFoam", "system", "system/controlDict"),
    }


def test_a_file_beside_the_folders_is_left_out_by_a_slash() -> None:
    put_cases()
    Path("cases/README").touch()
    assert "matches folders and files" in problem('{each: "cases/*"}', "[]")
    assert len(loaded('{each: "cases/*/"}').spec.work.jobs) == 2


def test_a_part_of_each_folder_may_be_left_out() -> None:
    put_cases()
    batch = loaded('{each: "cases/*"}', '[{path: "{path}", exclude: ["log.*", "0"]}]', command="x {file}")
    for job in batch.spec.work.jobs:
        (folder,) = folders(job)
        assert (folder.alias, job.files) == (job.name, ())
        assert names_in(batch, folder) == {"constant", "system", "system/controlDict"}


def test_what_a_job_has_besides_its_own_folder_needs_another_name() -> None:
    put_cases()
    batch = loaded('{each: "cases/*"}', '[{path: "{path}", alias: old, exclude: [system]}]')
    for job in batch.spec.work.jobs:
        assert {folder.alias for folder in folders(job)} == {job.name, "old"}


def test_an_input_of_a_pattern_may_leave_out_a_part() -> None:
    put_cases()
    batch = loaded(
        "{grid: {case: [re100, re400.v2]}}",
        '[{path: "cases/{case}", alias: case, exclude: ["log.*", constant/]}, '
        '{path: "cases/{case}/*", exclude: [0]}]',
    )
    for job in batch.spec.work.jobs:
        case, matched = folders(job)
        assert (case.alias, names_in(batch, case)) == ("case", {"0", "0/U", "system", "system/controlDict"})
        assert names_in(batch, matched) == {"constant", "log.simpleFoam", "system", "system/controlDict"}


def test_what_each_job_leaves_out_may_depend_on_its_point() -> None:
    put_cases()
    batch = loaded(
        "{grid: {case: [re100, re400.v2]}}", '[{path: cases, exclude: ["/*", "!/{case}/", system, "log.*"]}]'
    )
    assert [names_in(batch, folder) for job in batch.spec.work.jobs for folder in folders(job)] == [
        {name, f"{name}/0", f"{name}/0/U", f"{name}/constant"} for name in ("re100", "re400.v2")
    ]


def test_folders_that_leave_out_different_parts_share_what_is_known_of_a_file() -> None:
    put_cases()
    trees = InputTrees(str(Path.cwd()), lambda path: str(Path(path).absolute()))
    keys = [TreeKey("cases", exclude) for exclude in (("re100",), ("/re400*",), ("0",))]
    assert not any(trees.problems_with(key) for key in keys)
    known: dict[str, set[int]] = {}
    for one in (one for key in keys for one in trees.united([key]).found if isinstance(one, TreeFile)):
        known.setdefault(os.fsdecode(one.name), set()).add(id(one))
    assert known.keys() >= {"re100/0/U", "re400.v2/0/U", "re100/system/controlDict"}
    assert all(len(ids) == 1 for ids in known.values())


def test_a_folder_of_several_jobs_is_sent_once() -> None:
    put_cases()
    batch = loaded("{grid: {re: [1, 2, 3]}}", '[{path: cases, exclude: ["log.*"]}]')
    assert len({folder for job in batch.spec.work.jobs for folder in folders(job)}) == 1
    assert len(batch.sources) == 2, "its listing, and what it has"


def test_a_sweep_over_commits_sends_each(tmp_path: Path) -> None:
    solver = tmp_path / "solver"
    solver.mkdir()
    git(solver, "init", "--quiet")
    for number in (1, 2):
        put(solver, version=str(number))
        commit_all(solver, f"v{number}")
    batch = loaded(
        "{grid: {v: [1, 2]}}",
        '[{git: {path: solver, ref: "v{v}"}}, {git: solver, ref: "v{v}", alias: "s{v}"}]',
    )
    for number, job in enumerate(batch.spec.work.jobs, 1):
        own, named = folders(job)
        assert (own.alias, named.alias) == ("solver", f"s{number}")
        assert own.git is not None
        assert own.git.ref == f"v{number}"
        assert names_in(batch, own) == {"version"}
    assert len({folders(job)[0].content for job in batch.spec.work.jobs}) == 2


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (
            '[{path: "cases/{re}", exclude: ["{ra}.log"]}]',
            "6:53: exclude: {ra} names no parameter: there are re, number",
        ),
        (
            '[{path: "cases/{re}", exclude: ["[z-{re}]"]}]',
            "exclude: '[z-100]' is no pattern; write one as in a .gitignore (at re=100)",
        ),
        (
            "[{template: a.j2, exclude: [x]}]",
            "'exclude' is for folders and globs, and a template makes a file; remove it",
        ),
        (
            "[{path: a.dat, exclude: [x]}]",
            "'exclude' is for folders and globs, and 'a.dat' is a file; remove it",
        ),
        ("[{path: a.dat, ref: v1}]", "'ref' is for a git checkout; write git: FOLDER instead of path"),
        ("[{git: cases}]", "6:22: 'cases': "),
        ("[{git: gone}]", "'gone': there is no such folder"),
        ('[{path: "cases/{re}", git: .}]', "'path' and 'git' can't stand together; write one of them"),
        ("[{}]", "a file has a path or a template; write path: PATH or template: PATH"),
    ],
)
def test_a_wrong_input_of_a_pattern_is_refused(files: str, found: str) -> None:
    put(Path(), cases__100__x="x", a_DOT_dat="a", a_DOT_j2="{{ re }}")
    assert found in problem("{grid: {re: [100]}}", files)


# Globs that meet ------------------------------------------------------------------------------------------


def one_job(files: str) -> str:
    return f"{META}command:\n  jobs:\n    - {{name: a, command: x, required_files: {files}}}\n"


def listed(files: str) -> list[set[str]]:
    """What each folder of a job has, as it lies in `input`."""
    batch = load(write(Path.cwd(), one_job(files)))
    (job,) = batch.spec.work.jobs
    assert job.files == ()
    return [
        {f"{folder.alias}/{name}" if folder.alias else name for name in names_in(batch, folder)}
        for folder in folders(job)
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ('["*/*.dat", "*/*.txt"]', [{"a/1.dat", "a/2.txt", "b/3.dat"}]),
        ('["*/*.dat", "a/*"]', [{"a/1.dat", "b/3.dat"}, {"1.dat", "2.txt"}]),
        ('["?/1.dat", "b*/*", "a*/2.txt"]', [{"b/3.dat"}, {"a/1.dat", "a/2.txt"}]),
        ('["?", "*/*.dat"]', [{"a", "a/1.dat", "a/2.txt", "b", "b/3.dat"}]),
        ('["*/1.dat", "*/3.dat"]', [{"a/1.dat"}, {"b/3.dat"}]),
        ('[{path: "a/*.dat", alias: in}, {path: "b/*", alias: in}]', [{"in/1.dat", "in/3.dat"}]),
        ('["*/*.dat", {path: "*/*.dat", exclude: [b]}]', [{"a/1.dat", "b/3.dat"}]),
    ],
)
def test_globs_that_share_a_name_become_one(files: str, expected: list[set[str]]) -> None:
    put(Path(), a__1_DOT_dat="1", a__2_DOT_txt="2", b__3_DOT_dat="3")
    assert listed(files) == expected


@pytest.mark.parametrize(
    "files",
    [
        '[in, {path: "b/*", alias: in}, {path: "b/**/*.dat", alias: in, exclude: [new]}]',
        '[{path: "b/*", alias: in}, {path: ./in, alias: in}, in]',
        '[{path: b, alias: in}, {path: "in/*", alias: in}]',
    ],
)
def test_a_folder_and_globs_with_its_name_become_one_folder(files: str) -> None:
    put(Path(), in__1_DOT_dat="1", in__sub__2_DOT_txt="2", b__sub__3_DOT_dat="3", b__new__4_DOT_dat="4")
    batch = load(write(Path.cwd(), one_job(files)))
    swept = loaded("{grid: {re: [1]}}", files)
    (folder,) = folders(batch.spec.work.jobs[0])
    assert [folder] == folders(swept.spec.work.jobs[0])
    assert (folder.alias, folder.pattern) == ("in", None)
    expected = {"1.dat", "sub", "sub/2.txt", "sub/3.dat", "new", "new/4.dat"}
    assert names_in(batch, folder) == expected
    put(
        Path("whole"),
        in__1_DOT_dat="1",
        in__sub__2_DOT_txt="2",
        in__sub__3_DOT_dat="3",
        in__new__4_DOT_dat="4",
    )
    for path in expected - {"sub", "new"}:
        source = Path("in" if Path("in", path).exists() else "b", path)
        os.utime(Path("whole/in", path), ns=(0, source.stat().st_mtime_ns))
    (whole,) = folders(load(write(Path.cwd(), one_job("[whole/in]"))).spec.work.jobs[0])
    assert folder == whole, "it is listed as a folder that has it all"


def test_a_glob_without_a_name_does_not_come_into_a_folder() -> None:
    put(Path(), in__1_DOT_dat="1", other__2_DOT_dat="2")
    (found,) = problems_of(one_job('[in, "*/*.dat"]'))
    assert "two files would become './input/in', here and on line 4" in found
    assert "or let the glob leave it out: exclude: ['/in']" in found
    assert listed("[in, {path: '*/*.dat', exclude: ['/in']}]") == [{"in/1.dat"}, {"other/2.dat"}]


def test_equal_files_of_two_globs_are_no_clash() -> None:
    put(Path(), one__in__x="same", two__in__x="same", two__in__y="other")
    for path in ("one/in/x", "two/in/x", "two/in/y"):
        os.utime(path, (1, 1))
    assert listed('["one/*/x", "two/*/*"]') == [{"in/x", "in/y"}]


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ('["one/*/x", "two/*/*"]', "in/x"),
        ('["one/*/y", "one/*/x", "two/*/x"]', "in/x"),
        ('["one/*", "two/*"]', "in/x"),
        ('["four/*", "one/*/*"]', "in"),
        ('[{path: "one/*/x", alias: d}, {path: "two/*/x", alias: d}]', "d/in/x"),
        ('["one/in", "two/*/*"]', "in"),
        ('["one/*/x", {path: "one/*/y", alias: in}]', "in"),
        ('[one/in, {path: "two/in/*", alias: in}]', "in/x"),
        ('[{path: "four/*", alias: one}, one]', "one/in"),
    ],
)
def test_different_files_for_one_place_are_a_clash(files: str, place: str) -> None:
    put(Path(), one__in__x="one", one__in__y="y", two__in__x="two", four__in="a file")
    (found,) = problems_of(one_job(files))
    assert f"two files would become './input/{place}', here and on line 4; add an alias" in found
    (found,) = problems_of(text_of("{grid: {re: [1]}}", files))
    assert f"two files would become './input/{place}' (at re=1); add an alias" in found


def test_a_mode_that_differs_is_a_clash() -> None:
    put(Path(), one__in__x="same", two__in__x="same")
    Path("two/in/x").chmod(0o755)
    (found,) = problems_of(one_job('["one/*/x", "two/*/x"]'))
    assert "two files would become './input/in/x'" in found


def test_the_jobs_of_a_sweep_have_globs_that_meet() -> None:
    put(
        Path(),
        cases__a__1_DOT_dat="1",
        cases__a__2_DOT_txt="2",
        cases__b__1_DOT_dat="3",
        cases__b__2_DOT_txt="4",
    )
    batch = loaded("{grid: {case: [a, b]}}", '["c*/{case}/*.dat", "c*/{case}/*.txt"]')
    found = [[names_in(batch, folder) for folder in folders(job)] for job in batch.spec.work.jobs]
    assert found == [[{f"cases/{name}/1.dat", f"cases/{name}/2.txt"}] for name in ("a", "b")]
    assert [folder.pattern for folder in folders(batch.spec.work.jobs[0])] == ["c*/a/*.dat\nc*/a/*.txt"]
    assert all(folder.sha256 in batch.sources for job in batch.spec.work.jobs for folder in folders(job))
