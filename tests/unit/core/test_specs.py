"""Validation of specifications."""

from math import inf
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from distribute.core.ids import BatchId
from distribute.core.spec.specs import (
    ApptainerJob,
    ApptainerWork,
    BatchSpec,
    CommandJob,
    CommandWork,
    InputFile,
    PythonJob,
    PythonWork,
    Resources,
)
from distribute.testing import builders as make

FILE = InputFile(alias="mesh.msh", sha256="0" * 64, size_bytes=12)


@pytest.mark.parametrize(
    ("model", "fields", "why"),
    [
        (Resources, {"cpus": 0}, "cpus: Input should be greater than or equal to 1"),
        (Resources, {"memory_bytes": -1}, "memory_bytes: Input should be greater than or equal to 0"),
        (Resources, {"memory_bytes": 2**63}, "memory_bytes: Input should be less than or equal"),
        (Resources, {"gpus": -1}, "gpus: Input should be greater than or equal to 0"),
        (InputFile, {"alias": "../x", "sha256": "0" * 64, "size_bytes": 1}, "alias: Value error, '../x'"),
        (InputFile, {"alias": "x", "sha256": "0" * 63, "size_bytes": 1}, "sha256: String should have"),
        (InputFile, {"alias": "x", "sha256": "0" * 65, "size_bytes": 1}, "sha256: String should have"),
        (InputFile, {"alias": "x", "sha256": f"{0:063}\n", "size_bytes": 1}, "sha256: String should match"),
        (InputFile, {"alias": "x", "sha256": "A" * 64, "size_bytes": 1}, "sha256: String should match"),
        (CommandJob, {"name": "a/b", "command": "true"}, "name: Value error, 'a/b' can't be a name"),
        (CommandJob, {"name": "a", "command": ""}, "command: Value should have at least 1 item"),
        (CommandJob, {"name": "a", "command": ()}, "command: Value should have at least 1 item"),
        (CommandJob, {"name": "a", "command": "true", "timeout_s": 0}, "timeout_s: Input should be greater"),
        (CommandJob, {"name": "a", "command": "true", "timeout_s": inf}, "timeout_s: Input should be a"),
        (CommandJob, {"name": "a", "command": "true", "retries": -1}, "retries: Input should be greater"),
        (CommandJob, {"name": "a", "command": "true", "retry": 1}, "retry: Extra inputs are not permitted"),
        (CommandWork, {"jobs": ()}, "jobs: Tuple should have at least 1 item"),
    ],
)  # fmt: skip
def test_senseless_values_are_refused(model: type[BaseModel], fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        model(**fields)
    told = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refused.value.errors()]
    assert any(line.startswith(why) for line in told), told


@pytest.mark.parametrize("priority", [-101, 101])
def test_priorities_have_bounds(priority: int) -> None:
    with pytest.raises(ValidationError, match="priority"):
        make.batch(priority=priority)


def test_two_jobs_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two jobs are called 're100'"):
        make.batch([make.job("re100"), make.job("re200"), make.job("re100")])


def test_jobs_of_too_many_different_needs_are_refused() -> None:
    jobs = [make.job(f"j{number}", retries=number % 101, timeout_s=1.0) for number in range(300)]
    make.batch(jobs)
    various = [make.job(f"j{number}", resources=Resources(memory_bytes=number)) for number in range(257)]
    with pytest.raises(ValidationError, match="257 different needs, and a batch may have 256"):
        make.batch(various)


def test_a_specification_is_a_value() -> None:
    spec = make.batch()
    assert spec == make.batch()
    with pytest.raises(ValidationError, match="frozen"):
        spec.priority = 1  # type: ignore[misc]
    assert spec.id == BatchId("lab", "sweep")


def test_an_apptainer_batch_needs_apptainer_and_what_it_names() -> None:
    work = ApptainerWork(image=FILE, jobs=(ApptainerJob(name="a"),))
    spec = BatchSpec(namespace="lab", batch="sweep", capabilities=frozenset({"gpu"}), work=work)
    assert spec.required_capabilities == {"gpu", "apptainer"}
    assert make.batch(capabilities=frozenset({"gpu"})).required_capabilities == {"gpu"}


def test_a_python_batch_always_has_a_build_and_a_command_batch_may_have_one() -> None:
    work = PythonWork(build=FILE, jobs=(PythonJob(name="a", script=FILE),))
    assert BatchSpec(namespace="lab", batch="sweep", work=work).needs_build
    assert make.batch(build="make").needs_build
    assert not make.batch().needs_build


def test_equal_specifications_are_equal_bytes() -> None:
    """Whatever order a set's elements have in memory."""
    names = [f"capability{number}" for number in range(20)]
    forward = make.batch(capabilities=frozenset(names))
    backward = make.batch(capabilities=frozenset(reversed(names)))
    assert forward.model_dump_json() == backward.model_dump_json()
    assert forward.model_dump(mode="json")["capabilities"] == sorted(names)
