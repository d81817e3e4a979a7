"""Input files of a sweep that are made of template files."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from config_kit import META, content_of, problems_of
from distribute.config.loading import LoadedBatch, load
from distribute.config.sweep import rendered
from distribute.core.spec.specs import PythonJob

SWEEP = "sweep: {grid: {re: [100, 0.50]}}\n"
COMMAND = SWEEP + "command:\n  job: {command: a, required_files: [{template: case.in.j2}]}\n"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _on_a_slow_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a template does wrong is told before its time is over, and that before nobody waits any more."""
    monkeypatch.setattr(rendered, "MAX_CPU_S", 60)
    monkeypatch.setattr(rendered, "LONGEST_WAIT_S", 3600.0)


def loaded(text: str, template: str) -> LoadedBatch:
    Path("case.in.j2").write_text(template)
    Path("jobs.yaml").write_text(META + text)
    return load(Path("jobs.yaml"))


def problem(template: str | bytes, text: str = COMMAND) -> str:
    Path("case.in.j2").write_bytes(template if isinstance(template, bytes) else template.encode())
    (found,) = problems_of(META + text)
    return found


def contents(batch: LoadedBatch) -> list[tuple[str, str]]:
    """The name and the content of the last file of each job."""
    files = [job.files[-1] for job in batch.spec.work.jobs]
    return [(file.alias, content_of(batch, file)) for file in files]


def test_each_job_gets_its_own_file_under_the_name_without_the_ending() -> None:
    batch = loaded(COMMAND, "Re = {{ re }}, {{ re * 2 }}, job {{ number }}\n")
    assert contents(batch) == [
        ("case.in", "Re = 100, 200, job 1\n"), ("case.in", "Re = 0.50, 1.0, job 2\n"),
    ]  # fmt: skip


def test_an_alias_has_placeholders_and_the_file_has_the_templates_mode() -> None:
    Path("case.in.j2").touch()
    Path("case.in.j2").chmod(0o750)
    text = COMMAND.replace("case.in.j2}", 'case.in.j2, alias: "{re}.in"}')
    batch = loaded(text, "x")
    assert [name for name, _ in contents(batch)] == ["100.in", "0.50.in"]
    (file,) = batch.spec.work.jobs[0].files
    assert (file.mode, file.executable, file.size_bytes) == (0o750, True, 1)
    assert len(batch.sources) == 1, "equal files are one"


def test_a_script_may_be_made_of_a_template_beside_other_files() -> None:
    Path("b.txt").write_text("b")
    text = SWEEP + (
        "python:\n  job:\n    file: {template: case.in.j2}\n"
        "    required_files: [b.txt, {template: case.in.j2, alias: c.txt}]\n"
    )
    batch = loaded(text, "print({{ re }})")
    for job, value in zip(batch.spec.work.jobs, ("100", "0.50"), strict=True):
        assert isinstance(job, PythonJob)
        assert content_of(batch, job.script) == f"print({value})"
        assert [file.alias for file in job.files] == ["b.txt", "c.txt"]
        assert job.files[1].sha256 == job.script.sha256


def test_the_files_of_many_jobs_share_an_object() -> None:
    text = COMMAND.replace("[100, 0.50]", "{from: 1, to: 1000}")
    batch = loaded(text, "{{ re }}\n")
    assert [content for _, content in contents(batch)] == [f"{number}\n" for number in range(1, 1001)]
    assert len(batch.sources) == 1
    assert len({file.sha256 for job in batch.spec.work.jobs for file in job.files}) == 1000


def unnamed_files() -> set[int]:
    """The inodes of the files without a name that this process has open."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            status = path.stat()
            found.update({status.st_ino} if stat.S_ISREG(status.st_mode) and not status.st_nlink else ())
    return found


def test_the_file_that_keeps_them_goes_with_the_batch() -> None:
    before = unnamed_files()
    batch = loaded(COMMAND, "{{ re }}")
    (kept,) = unnamed_files() - before
    del batch
    gc.collect()
    assert kept not in unnamed_files()


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("a\n{{ ree }}", "case.in.j2:2: 'ree' names no parameter: did you mean re? there are re, number"),
        ("a\n{{ re", "case.in.j2:2: "),
        ("{{ re / (re - 0.5) }}", "case.in.j2:1: float division by zero (at re=0.50"),
        ("{{ 'a' * 10**10 }}", "case.in.j2: it needs more than 1G of memory at re=100"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}ab{% endfor %}{% endfor %}", "more than 16M"),
        (b"\xff", "is no text in UTF-8: byte 1 is wrong"),
        (b"x" * (2 << 20), "has more than 1M; is it data?"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place(template: str | bytes, words: str) -> None:
    found = problem(template)
    assert words in found
    assert found.startswith("4:"), "the line of the file of jobs"


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 3 ** (3 ** 30) }}",
    ],
)
def test_a_template_that_never_ends_is_bounded(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered, "MAX_CPU_S", 1)
    monkeypatch.setattr(rendered, "LONGEST_WAIT_S", 3600.0)  # a busy computer may take long to give a second
    assert "case.in.j2: it takes more than 1s of processor time at re=100" in problem(template)


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_process_that_ended_is_told(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", _ended)
    assert "a template: the process that renders it ended (0); is it too large?" in problem("x" * size)


def _ended(command: list[str], **options: Any) -> Popen[bytes]:
    process = Popen(["true"], **options)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process


def test_a_template_that_is_not_there_is_refused() -> None:
    (found,) = problems_of(META + COMMAND)
    assert "can't read the template 'case.in.j2'" in found


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ('{template: "{re}.j2"}', "there is one for all jobs"),
        ("{template: case.in.j2, path: x}", "a file has a path or a template"),
        ("{alias: x}", "a file has a path or a template"),
    ],
)
def test_a_template_is_one_file_for_all_jobs(file: str, words: str) -> None:
    assert words in problem("", COMMAND.replace("{template: case.in.j2}", file))
