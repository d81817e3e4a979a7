"""`required_files` takes folders and globs, and refuses what can't be sent, by name."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest

import config_kit
from config_kit import META, job, problems_of, write
from distribute.config.loading import LoadedBatch, load
from distribute.core.errors import InputError
from distribute.core.files.folder_listing import Listing
from distribute.core.files.manifest import entry_bytes
from distribute.core.spec.specs import InputFolder
from distribute.inputs.sources import PIECE_BYTES, as_source


@pytest.fixture(autouse=True)
def in_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


put = partial(config_kit.put, Path())


def loaded(files: str) -> LoadedBatch:
    return load(write(Path(), job(f"required_files: {files}")))


def folders_of(batch: LoadedBatch) -> tuple[InputFolder, ...]:
    return batch.spec.work.jobs[0].folders or ()


def listed(batch: LoadedBatch, number: int = 0) -> list[str]:
    """The paths that a folder of the first job lists."""
    source = as_source(batch.sources[folders_of(batch)[number].sha256])
    lines = b"".join(source.pieces(PIECE_BYTES)).splitlines(keepends=True)
    return [os.fsdecode(entry_bytes(entry)) for entry in Listing(lines).entries()]


def test_a_folder_keeps_its_tree_and_is_called_as_on_the_disk_or_by_its_alias() -> None:
    put(case__system__controlDict="x", case__0__U="u", data_DOT_txt="d")
    batch = loaded("[case/, data.txt, {path: case, alias: other}]")
    assert [folder.alias for folder in folders_of(batch)] == ["case", "other"]
    assert listed(batch) == ["0", "system", "0/U", "system/controlDict"]
    assert [file.alias for file in batch.spec.work.jobs[0].files] == ["data.txt"]
    first, second = folders_of(batch)
    assert (first.sha256, first.entries, first.size_bytes) == (second.sha256, 4, 2)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data/*.dat", ["a.dat", "b.dat"]),
        ("data/**/*.dat", ["a.dat", "b.dat", "sub/c.dat"]),
        ("d?ta/s[tu]b", ["data/sub", "data/sub/.hidden", "data/sub/c.dat"]),
        ("data/*", ["a.dat", "b.dat", "sub", "sub/.hidden", "sub/c.dat"]),
        ("data/**", ["a.dat", "b.dat", "sub", "sub/.hidden", "sub/c.dat"]),
    ],
)
def test_a_glob_keeps_the_tree_below_the_folder_before_its_first_wildcard(
    pattern: str, expected: list[str]
) -> None:
    put(data__a_DOT_dat="a", data__b_DOT_dat="b", data__sub__c_DOT_dat="c", data__sub___DOT_hidden="h")
    batch = loaded(f'["{pattern}"]')
    assert [(folder.alias, folder.pattern) for folder in folders_of(batch)] == [(None, pattern)]
    assert listed(batch) == expected


def test_a_file_that_is_called_like_a_glob_is_that_file() -> None:
    Path("a[1].dat").write_text("x")
    assert [file.alias for file in loaded('["a[1].dat"]').spec.work.jobs[0].files] == ["a[1].dat"]


def test_exclude_leaves_out_what_a_gitignore_would() -> None:
    put(case__a_DOT_o="o", case__a_DOT_c="c", case__post__x="p", case__keep_DOT_o="k")
    exclude = '["*.o", "!keep.o", post/]'
    assert listed(loaded(f"[{{path: case, exclude: {exclude}}}]")) == ["a.c", "keep.o"]
    assert listed(loaded('[{path: "case/*", exclude: ["*.o", post/]}]')) == ["a.c"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ('["/*", "!/mesh/"]', ["mesh", "mesh/coarse.msh", "mesh/fine.msh"]),
        ('["/*", "!/mesh/", "/mesh/*", "!/mesh/fine.msh"]', ["mesh", "mesh/fine.msh"]),
        ('["*", "!mesh/", "!log"]', ["log"]),
    ],
)
def test_a_later_pattern_takes_back_what_an_earlier_one_leaves_out(exclude: str, left: list[str]) -> None:
    """As docs/jobs-file.md has it."""
    put(case__mesh__fine_DOT_msh="x", case__mesh__coarse_DOT_msh="x", case__log="x")
    assert listed(loaded(f"[{{path: case, exclude: {exclude}}}]")) == left


def test_a_link_that_is_named_is_followed_and_one_in_a_folder_stays_a_link() -> None:
    put(real__x="x", real__d__y="y")
    Path("real/d/up").symlink_to("../x")
    Path("real/absolute").symlink_to(Path("real/x").absolute())
    Path("link").symlink_to("real")
    batch = loaded("[link]")
    source = as_source(batch.sources[folders_of(batch)[0].sha256])
    text = b"".join(source.pieces(PIECE_BYTES)).decode()
    assert '"path":"d/up","target":"../x"' in text
    assert '"path":"absolute","target":"x"' in text


def test_what_cant_be_sent_of_a_folder_is_named_with_its_line_and_a_way_out() -> None:
    put(case__x="x", other="o")
    here = Path.cwd()
    Path("case/out").symlink_to("../other")
    os.mkfifo("case/pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("case/socket")
        problems = problems_of(job("required_files: [case]"))
    leads_out = (
        f"4:49: '{here}/case/out' is a link that leads out of the folder, to '../other'; put what it leads "
        "to in its place, or exclude it and list that as an input of its own"
    )
    assert problems == [
        leads_out,
        f"4:49: '{here}/case/pipe' is a pipe, which can't be sent; remove it, or exclude it",
        f"4:49: '{here}/case/socket' is a socket, which can't be sent; remove it, or exclude it",
    ]
    assert listed(loaded("[{path: case, exclude: [out, pipe, socket]}]")) == ["x"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ('["*.nothing"]', "nothing matches '*.nothing' (looked in '{here}'); write another pattern"),
        (
            '[{path: "case/*", exclude: ["*"]}]',
            "'exclude' leaves nothing of what 'case/*' matches",
        ),
        ("[{path: case, exclude: ['*']}]", "'exclude' leaves nothing of 'case'"),
        (
            "[{path: case/x, exclude: [a]}]",
            "'exclude' is for folders and globs, and 'case/x' is a file; remove it",
        ),
        ('["*/../x"]', "'*/../x': '..' can't stand behind a wildcard; write it before"),
        ("[{path: case, exclude: ['!']}]", "exclude: '!' is no pattern; write one as in a .gitignore"),
        (
            "[{path: case, exclude: ['[z-a]']}]",
            "exclude: '[z-a]' is no pattern; write one as in a .gitignore",
        ),
        ("[.]", "add an alias: {{path: PATH, alias: data}}"),
        ("[case, {path: other, alias: case}]", "two files would become './input/case', here and on line 4"),
        ('["case/*", other/x]', "two files would become './input/x', here and on line 4"),
        ("[case, {path: case, exclude: [x]}]", "two files would become './input/case'"),
    ],
)
def test_a_wrong_folder_or_glob_is_refused(files: str, expected: str) -> None:
    put(case__x="x", case__y="y", other__x="z")
    problems = problems_of(job(f"required_files: {files}"))
    assert len(problems) == 1
    assert problems[0].startswith("4:")
    assert expected.format(here=Path.cwd()) in problems[0]


def test_the_same_folder_twice_is_no_error_and_is_read_once() -> None:
    put(case__x="x")
    batch = loaded("[case, case, ./case]")
    assert [folder.alias for folder in folders_of(batch)] == ["case"]


def test_a_script_is_no_folder() -> None:
    put(case__x="x")
    text = f"{META}python: {{jobs: [{{name: j, file: case}}]}}\n"
    assert problems_of(text) == ["2:33: 'case' is a folder; write the path of a file"]


def test_a_file_that_changes_while_it_is_read_is_refused_by_name() -> None:
    put(case__x="x", case__y="y")
    first = os.read

    def changing(descriptor: int, count: int) -> bytes:
        Path("case/y").write_text("longer")
        return first(descriptor, count)

    with (
        patch("os.read", changing),
        pytest.raises(InputError, match=r"case/y' was changed while it was read"),
    ):
        loaded("[case]")


@pytest.mark.parametrize("later", ["X", "longer"])
def test_a_file_that_changes_before_it_is_sent_is_refused_by_name(later: str) -> None:
    put(case__x="x", case__y="y")
    batch = loaded("[case]")
    Path("case/y").write_text(later)
    pack = next(source for source in map(as_source, batch.sources.values()) if source.size_bytes == len("xy"))
    with pytest.raises(InputError, match=r"case/y' was changed while it was sent"):
        list(pack.pieces(PIECE_BYTES))


def test_the_content_of_a_folder_does_not_depend_on_times() -> None:
    put(case__x="x")
    before = folders_of(loaded("[case]"))[0]
    os.utime("case/x", (1, 1))
    after = folders_of(loaded("[case]"))[0]
    assert before.sha256 != after.sha256
    assert before.content == after.content
    Path("case/x").chmod(0o755)
    assert folders_of(loaded("[case]"))[0].content != before.content


def test_the_jobs_of_a_sweep_get_folders_by_their_parameters() -> None:
    put(cases__a__x="a", cases__b__x="b", shared__y="y", data__1_DOT_dat="1", data__2_DOT_dat="2")
    text = (
        f"{META}sweep: {{grid: {{case: [a, b]}}}}\n"
        "command:\n  job:\n    command: [x]\n"
        '    required_files: [shared, "cases/{case}", {path: "cases/{case}", alias: case}, "data/*.dat"]\n'
    )
    jobs = load(write(Path(), text)).spec.work.jobs
    names = [[folder.alias for folder in job.folders or ()] for job in jobs]
    assert names == [["shared", None, "a", "case"], ["shared", None, "b", "case"]]
    contents = [(job.folders or ())[2].content for job in jobs]
    assert len(set(contents)) == 2
    assert [job.files for job in jobs] == [(), ()]
    wrong = text.replace("alias: case}", "alias: shared}").replace('cases/{case}",', 'cases/{case}-gone",')
    problems = problems_of(wrong)
    assert "there is no file 'cases/a-gone'" in problems[0]
    assert "two files would become './input/shared' (at case=a)" in problems[1]
