"""Which jobs of two batches do the same work."""

from collections.abc import Callable
from typing import Any

import pytest

from distribute.core.folding.work import Comparison, compare, digests_of, marked
from distribute.core.spec.specs import (
    ApptainerJob,
    ApptainerWork,
    BatchSpec,
    InputFile,
    InputFolder,
    PythonJob,
    PythonWork,
    Resources,
)
from distribute.testing import builders as make


def file(content: str, alias: str = "mesh.dat", **fields: Any) -> InputFile:
    return InputFile(alias=alias, sha256=content * 64, size_bytes=3, **fields)


def folder(content: str) -> InputFolder:
    return InputFolder(
        alias="case", sha256=content * 64, listing_bytes=9, content=content * 64, entries=1, size_bytes=3
    )


def digest_of(spec: BatchSpec) -> bytes:
    return next(digests_of(spec))[1]


def python(script: str = "a", build: str | None = None, **fields: Any) -> BatchSpec:
    work = PythonWork(
        build=None if build is None else file(build, "build.py"),
        jobs=(PythonJob(name="job1", script=file(script, "run.py"), **fields),),
    )
    return BatchSpec(namespace="lab", batch="sweep", work=work)


def apptainer(image: str = "a", **fields: Any) -> BatchSpec:
    work = ApptainerWork(image=file(image, "image.sif"), jobs=(ApptainerJob(name="job1"),), **fields)
    return BatchSpec(namespace="lab", batch="sweep", work=work)


@pytest.mark.parametrize(
    "other",
    [
        make.batch([make.job("job1", command=("false",))]),
        make.batch([make.job("job1", command="true")]),
        make.batch([make.job("job1", env={"A": "1"})]),
        make.batch([make.job("job1", files=(file("a"),))]),
        make.batch([make.job("job1", folders=(folder("a"),))]),
        make.batch(env={"A": "1"}),
        make.batch(files=(file("a"),)),
        make.batch(folders=(folder("a"),)),
        make.batch(build="make"),
        make.batch(setup=("module load gcc",)),
        make.batch(shell=("bash",)),
        make.batch(last_job="job1"),
    ],
)
def test_what_decides_the_outcome_of_a_job_is_its_work(other: BatchSpec) -> None:
    assert digest_of(other) != digest_of(make.batch())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (python("a"), python("b")),
        (python(), python(args=("1",))),
        (python(), python(build="a")),
        (python(build="a"), python(build="b")),
        (apptainer("a"), apptainer("b")),
        (apptainer(), apptainer(mounts=("/data",))),
    ],
)
def test_scripts_builds_and_images_are_work(one: BatchSpec, other: BatchSpec) -> None:
    assert digest_of(one) != digest_of(other)


@pytest.mark.parametrize(
    "other",
    [
        make.batch([make.job("job1", resources=Resources(cpus=9), timeout_s=9.0, retries=3, kept=True)]),
        make.batch(capabilities=frozenset({"gcc"}), priority=5, retries=2, timeout_s=60.0, grace_s=9.0),
        make.batch(max_running=1, max_failures=1, notify=("start",), rebuild="always", batch="another"),
    ],
)
def test_where_and_how_long_a_job_runs_is_no_part_of_its_work(other: BatchSpec) -> None:
    assert digest_of(other) == digest_of(make.batch())


@pytest.mark.parametrize("place", [lambda one: {"files": (one,)}, lambda one: {"env": {"A": one.alias}}])
def test_a_file_is_the_same_whenever_it_was_written_and_wherever_it_is_stored(
    place: Callable[[InputFile], dict[str, Any]],
) -> None:
    now = file("a", mtime_ns=5, offset=7)
    assert digest_of(make.batch(**place(now))) == digest_of(make.batch(**place(file("a"))))


def named(*names: str, changed: str = "", **fields: Any) -> BatchSpec:
    jobs = [make.job(name, command="new" if name == changed else "old") for name in names]
    return make.batch(jobs, **fields)


def test_only_jobs_that_succeeded_and_do_the_same_work_are_kept() -> None:
    found = compare(named("e", "a", "b", "c", changed="b"), named("a", "b", "c", "d"), {"a", "b", "d"})
    assert found == Comparison(kept=("a",), rerun=("b", "c"), new=("e",), removed=("d",))


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        (named("a", "b", "plot", last_job="plot"), ("a", "b", "plot")),
        (named("a", "b", "plot", last_job="plot", changed="b"), ("a",)),
        (named("a", "plot", last_job="plot"), ("a",)),
        (named("a", "b", "c", "plot", last_job="plot"), ("a", "b")),
        (named("a", "b", "plot"), ("a", "b")),
    ],
)
def test_the_last_job_is_kept_only_if_it_has_seen_all_that_is_there(
    spec: BatchSpec, kept: tuple[str, ...]
) -> None:
    before = named("a", "b", "plot", last_job="plot")
    assert compare(spec, before, {"a", "b", "plot"}).kept == kept


def test_only_the_kept_jobs_are_marked() -> None:
    spec = marked(named("a", "b"), {"b"})
    assert [job.kept for job in spec.work.jobs] == [None, True]
    assert marked(spec, {"b"}) == spec


def test_what_runs_goes_on_if_it_does_the_same_work_and_is_given_the_same() -> None:
    before = named("a", "b", "c", "d")
    jobs = [
        make.job("a", command="old"),
        make.job("b", command="new"),
        make.job("c", command="old", resources=Resources(cpus=2)),
        make.job("d", command="old", timeout_s=5.0),
    ]
    found = compare(make.batch(jobs), before, set(), {"a", "b", "c", "d"})
    assert found == Comparison((), ("b", "c", "d"), (), (), going_on=("a",))
    assert found.staying == {"a"}


@pytest.mark.parametrize(("succeeded", "going_on"), [({"a", "b"}, ("plot",)), ({"a"}, ())])
def test_the_last_job_goes_on_only_if_all_others_are_kept(
    succeeded: set[str], going_on: tuple[str, ...]
) -> None:
    batch = named("a", "b", "plot", last_job="plot")
    assert compare(batch, batch, succeeded, {"plot"}).going_on == going_on
