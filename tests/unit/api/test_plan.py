"""Batches described in Python: their jobs, files and parameters, and what is refused at once."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import distribute
from config_kit import content_of
from distribute.api.plan import BatchPlan
from distribute.config.loading import LoadedBatch, load
from distribute.core.spec.specs import CommandJob, PythonJob, Resources


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.py").write_text("print()")
    return tmp_path


def plan(**more: Any) -> Any:
    """A plan, for calls that mypy would refuse, too."""
    return BatchPlan(**{"name": "b", "namespace": "lab", **more})


def loaded(batch: BatchPlan) -> LoadedBatch:
    return batch.loaded()


def contents(batch: LoadedBatch, job: int) -> dict[str, str]:
    """What the input files of a job contain, by name."""
    files = batch.spec.work.jobs[job].files
    return {file.alias: content_of(batch, file) for file in files}


def test_a_batch_from_python_is_the_one_from_a_file(folder: Path) -> None:
    (folder / "jobs.yaml").write_text(
        """
        meta:
          {namespace: lab, batch_name: b, timeout: 2h, resources: {cpus: 2}, capabilities: [gpu], priority: 3}
        command:
          initialize: {build: make, required_files: [run.py]}
          env: {N: 3}
          jobs:
            - {name: a, command: [./a, "1.5"], retries: 2}
            - {name: b, command: ./b | tee x, required_files: [{path: run.py, alias: other.py}]}
        """
    )
    batch = plan(
        timeout="2h",
        resources={"cpus": 2},
        capabilities=["gpu"],
        priority=3,
        build="make",
        files=["run.py"],
        env={"N": 3},
    )
    batch.job("a", ["./a", 1.5], retries=2)
    batch.job("b", "./b | tee x", files={"other.py": Path("run.py")})
    assert loaded(batch).spec == load(Path("jobs.yaml")).spec


def test_a_sweep_fills_texts_and_calls_functions() -> None:
    batch = plan()
    batch.sweep(
        distribute.sweep(grid={"re": [100, 400]}),
        ["./solver", "{re}", "{number}"],
        env={"RE": "{re:05d}"},
        files={"re{re}.txt": lambda re: f"{re} {{}}", "same.bin": b"{re}", "run.py": Path("run.py")},
        timeout="1h",
    )
    found = loaded(batch)
    jobs = found.spec.work.jobs
    assert [job.name for job in jobs] == ["re100", "re400"]
    assert all(isinstance(job, CommandJob) for job in jobs)
    assert [job.command for job in jobs if isinstance(job, CommandJob)] == [
        ("./solver", "100", "1"),
        ("./solver", "400", "2"),
    ]
    assert [job.env for job in jobs] == [{"RE": "00100"}, {"RE": "00400"}]
    assert [job.parameters for job in jobs] == [{"re": 100}, {"re": 400}]
    assert contents(found, 1) == {"re400.txt": "400 {}", "same.bin": "{re}", "run.py": "print()"}


def test_a_sweep_fills_what_its_jobs_need() -> None:
    batch = plan()
    batch.sweep(
        [{"n": 1, "h": 2}, {"n": 4, "h": 3}],
        "true",
        resources={"cpus": "{n}", "memory": "{n}G"},
        timeout="{h}h",
        retries="{n}",
        grace=lambda n, h: 10 * n,
    )
    jobs = loaded(batch).spec.work.jobs
    assert [(job.resources, job.timeout_s, job.retries, job.grace_s) for job in jobs] == [
        (Resources(cpus=1, memory_bytes=2**30), 7200, 1, 10),
        (Resources(cpus=4, memory_bytes=4 * 2**30), 10800, 4, 40),
    ]


def test_name_command_and_arguments_may_be_functions() -> None:
    batch = plan()
    batch.sweep(
        [{"x": 1}, {"x": 2}], name=lambda x: f"no{x}", file="run.py", args=lambda x: ["--twice", 2 * x]
    )
    work = loaded(batch).spec.work
    assert [(job.name, job.args) for job in work.jobs if isinstance(job, PythonJob)] == [
        ("no1", ("--twice", "2")),
        ("no2", ("--twice", "4")),
    ]


def test_a_text_for_a_shell_has_quoted_values() -> None:
    batch = plan()
    batch.sweep([{"who": "it's me"}], "echo {who}", name="a")
    (job,) = loaded(batch).spec.work.jobs
    assert isinstance(job, CommandJob)
    said = subprocess.run(["sh", "-c", str(job.command)], capture_output=True, text=True, check=True).stdout
    assert said == "it's me\n"


def test_equal_contents_are_sent_once() -> None:
    batch = plan(files={"all.txt": "same"})
    batch.job("a", "true", files={"x": "same", "y": b"same"})
    batch.job("b", "true", files={"x": lambda: "same"})
    assert len(loaded(batch).sources) == 1


def test_a_batch_keeps_no_text_of_its_files_in_memory() -> None:
    class Text(str):
        """A text to which there are weak references."""

    batch, text = plan(), Text("of a")
    alive = weakref.ref(text)
    batch.job("a", "true", files={"x": text})
    del text
    assert alive() is None
    assert contents(loaded(batch), 0) == {"x": "of a"}


def test_a_batch_that_was_loaded_takes_more_jobs() -> None:
    batch = plan()
    batch.job("a", "true", files={"x": "of a"})
    first = loaded(batch)
    batch.job("b", "true", files={"x": "of b"})
    again = loaded(batch)
    assert contents(first, 0) == contents(again, 0) == {"x": "of a"}
    assert contents(again, 1) == {"x": "of b"}


def test_images_and_builds_make_the_kind(folder: Path) -> None:
    (folder / "a.sif").touch()
    image = plan(image="a.sif", mounts=["/solver"])
    image.job("a", parameters={"x": 1})
    assert loaded(image).spec.work.kind == "apptainer"
    python = plan(build_file="run.py")
    python.job("a", file="run.py")
    assert loaded(python).spec.work.kind == "python"


def _twice() -> None:
    batch = plan()
    batch.job("a", "true")
    batch.job("a", "true")


def _mixed() -> None:
    batch = plan()
    batch.job("a", "true")
    batch.job("b", file="run.py")
    loaded(batch)


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: plan(timeot="2h"), "Batch(): it has no key 'timeot'; write 'timeout'"),
    (lambda: plan(name="a/b"), "Batch(): batch_name: 'a/b' can't be a name"),
    (lambda: plan(name=3), "Batch(): batch_name takes a text, not 3"),
    (lambda: plan(resources={"cpu": 1}), "resources has no key 'cpu'; write 'cpus'"),
    (lambda: plan(image="a", build="b"), "give one of build, build_file and image"),
    (lambda: plan().job("a", "true", retris=1), "job(): it has no key 'retris'; write 'retries'"),
    (lambda: plan().job("a", 3), "job(): command"),
    (lambda: plan().job("a", "true", timeout="soon"), "'soon' is not a duration"),
    (lambda: plan().job("a"), "a job takes a command, or a file to run"),
    (lambda: plan().job("a", "true", file="run.py"), "give command or file"),
    (lambda: plan().job("a", "true", parameters={"x": [1]}), "job(): parameters: "),
    (_twice, "job(): there is a job 'a' already; rename one"),
    (_mixed, "command.jobs[1]: a job has no key 'file'"),
    (lambda: loaded(plan()), "jobs is empty"),
    (lambda: plan().sweep([{"x": 1}, {"x": 2}], "true", name="a"), "two jobs would be called 'a'"),
    (lambda: plan().sweep([{"x": 1}, {"x": 2}], "true", name=lambda x: "a"), "two jobs would be called 'a'"),
    (lambda: plan().sweep([{"x": 1}], ["a", "{y}"]), "{y} names no parameter"),
    (lambda: plan().sweep([{"x": 1}], "true", name="{y}"), "{y} names no parameter"),
    (lambda: plan().sweep([], "true"), "the sweep has no parameters"),
    (lambda: distribute.sweep(grid={"x": []}), "sweep(): grid['x']: x has no values"),
    (lambda: distribute.sweep(grid={"x": "abc"}), "sweep(): grid['x']: it takes a list of values, not 'abc'"),
    (lambda: distribute.sweep(grid={n: range(1000) for n in "abc"}), "the sweep has 1,000,000,000 points"),
    (lambda: distribute.sweep(zip={"a": [1], "b": [1, 2]}), "sweep(): zip: "),
    (lambda: distribute.sweep(sample={"count": 2, "vals": {}}), "it has no key 'vals'; it may have count"),
    (
        lambda: distribute.sweep(sample={"count": 2, "values": {"x": {"unifrm": (0, 1)}}}),
        "a parameter is one of",
    ),
]


@pytest.mark.parametrize(("call", "told"), REFUSED)
def test_what_is_wrong_is_told_at_once(call: Callable[[], object], told: str) -> None:
    with pytest.raises(distribute.InvalidArgument) as refused:
        call()
    assert told in str(refused.value)


def test_files_that_are_wrong_are_told_all_at_once() -> None:
    batch = plan(files=["none.dat"])
    batch.job("a", "true", files={"x": "1", "bad/name": "2"})
    batch.job("b", "true", files=["nor.dat", "run.py"])
    with pytest.raises(distribute.InvalidArgument) as refused:
        loaded(batch)
    told = str(refused.value)
    assert "command.initialize.required_files[0]: there is no file 'none.dat'" in told
    assert "command.jobs[0].required_files[1]: alias: 'bad/name' can't be a name" in told
    assert "command.jobs[1].required_files[0]: there is no file 'nor.dat'" in told


def test_a_content_that_is_none_is_told_with_its_job() -> None:
    batch = plan()
    batch.sweep([{"x": 1}], "true", files={"a": lambda x: x})
    with pytest.raises(distribute.InvalidArgument, match=r"x1: the file 'a' takes a text, bytes, a Path, or"):
        loaded(batch)


def test_a_large_sweep_is_described(folder: Path) -> None:
    batch = plan()
    batch.sweep(distribute.sweep(grid={"x": range(10_000)}), ["./solver", "{x}"])
    spec = loaded(batch).spec
    assert len(spec.work.jobs) == 10_000
    assert spec.work.jobs[-1].parameters == {"x": 9_999}


def test_a_fresh_program_describes_a_batch_without_a_cluster(folder: Path) -> None:
    code = "import distribute as d; b = d.Batch('b'); b.job('a', 'true'); print(repr(b).split('/')[1])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "b: 1 job>\n"


def test_a_job_that_runs_last_comes_last_with_its_parameters() -> None:
    batch = plan()
    batch.job("plot", "plot", last=True, parameters={"dpi": 300})
    batch.job("a", "true", parameters={"re": 1})
    assert (len(batch), batch.jobs) == (2, ["a", "plot"])
    spec = loaded(batch).spec
    assert spec.last_job == "plot"
    assert [(job.name, job.parameters) for job in spec.work.jobs] == [
        ("a", {"re": 1}),
        ("plot", {"dpi": 300}),
    ]


def test_one_job_runs_last_and_its_name_is_its_own() -> None:
    batch = plan()
    batch.job("plot", "plot", last=True)
    with pytest.raises(distribute.InvalidArgument, match="'plot' runs last already"):
        batch.job("table", "table", last=True)
    with pytest.raises(distribute.InvalidArgument, match="there is a job 'plot' already"):
        batch.job("plot", "true")
    assert batch.jobs == ["plot"]
