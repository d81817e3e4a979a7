"""Every correct file becomes the batch that it describes; every problem of a wrong file is reported."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import distribute_cli
from distribute.config.loading import load
from distribute.config.units import format_duration
from distribute.core.errors import InputError
from distribute.core.ids import check_name
from distribute.core.specs import (
    ApptainerJob,
    ApptainerWork,
    BatchSpec,
    CommandJob,
    CommandWork,
    GpuKind,
    InputFile,
    PythonJob,
    PythonWork,
    Resources,
    Work,
)

FILES = [
    "build.py",
    "run.py",
    "solver.sif",
    "solver.c",
    "data/mesh.dat",
    "data/re100.json",
    "data/re400.json",
]
EXAMPLES = sorted((Path(distribute_cli.__file__).parent / "templates").glob("*.yaml"))
FILES_OF_EXAMPLES = ["pendulum.py", "pendulum.sh", "pendulum.sif", "angle030.txt", "angle150.txt"]
MTIME_NS = 978_307_200_123_456_789
PIECES = ["", "\t", "@", ":", "-", "[", "]", "{", "}", "'", '"', "&a ", "*a", "<<: ", "\n", "~"]


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except ValueError:
        return False
    return True


# YAML can hold all characters but surrogates. NUL can't be passed to a program.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = st.one_of(
    st.sampled_from(["no", "1e3", "1.10", "null", "~", "@a:b", "*", "a: b", "- x", "{x}", "#", "<<"]),
    texts.filter(_is_name),
)
kinds = st.fixed_dictionaries(
    {},
    optional={
        "count": st.integers(0, 2**10),
        "memory": st.integers(0, 2**63 - 1),
        "model": st.sampled_from(["RTX.*", "A100|H100", ""]),
    },
)
resources = st.fixed_dictionaries(
    {},
    optional={
        "cpus": st.integers(1, 2**16),
        "memory": st.integers(0, 2**63 - 1),
        "gpus": st.integers(0, 2**10) | kinds,
    },
)
timeouts = st.integers(1, 10**10).flatmap(lambda s: st.sampled_from([s, float(s), format_duration(s)]))
envs = st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), texts, max_size=3)
file_refs = st.one_of(
    st.sampled_from(FILES),
    st.fixed_dictionaries({"path": st.sampled_from(FILES)}, optional={"alias": names | st.none()}),
)
file_lists = st.lists(file_refs, max_size=3, unique_by=lambda ref: _input_file(ref).alias)
overrides = {
    "resources": resources | st.none(),
    "timeout": timeouts | st.none(),
    "retries": st.integers(0, 100) | st.none(),
    "env": envs,
    "slurm": st.fixed_dictionaries({}, optional={"time": texts, "ntasks": st.integers(1, 99)}) | st.none(),
}


def _jobs(**required: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    entry = st.fixed_dictionaries(
        {"name": names, **required}, optional={"required_files": file_lists, **overrides}
    )
    return st.lists(entry, min_size=1, max_size=3, unique_by=lambda job: str(job["name"]))


metas = st.fixed_dictionaries(
    {"namespace": names, "batch_name": names},
    optional={
        "matrix": st.sampled_from(["@jane:lab.org", "@j:localhost:8448", None]),
        "capabilities": st.lists(texts.filter(bool), max_size=3),
        "priority": st.integers(-100, 100),
        "resources": resources | st.none(),
        "timeout": timeouts | st.none(),
        "retries": st.integers(0, 100),
    },
)
commands = texts.filter(bool) | st.lists(texts, min_size=1, max_size=3)
builds = st.fixed_dictionaries({}, optional={"build": texts.filter(bool)})
kinds = st.one_of(
    st.fixed_dictionaries(
        {
            "initialize": st.fixed_dictionaries({"build_file": file_refs}),
            "jobs": _jobs(file=file_refs),
        },
        optional={"env": envs},
    ).map(lambda batch: ("python", batch)),
    st.fixed_dictionaries(
        {"jobs": _jobs(command=commands)},
        optional={
            "env": envs,
            "initialize": st.fixed_dictionaries({}, optional={"build": texts.filter(bool)}),
        },
    ).map(lambda batch: ("command", batch)),
    st.fixed_dictionaries(
        {
            "initialize": st.fixed_dictionaries(
                {"sif": file_refs}, optional={"required_mounts": st.just(["/solver/cases", "/b c"])}
            ),
            "jobs": _jobs(),
        },
        optional={"env": envs},
    ).map(lambda batch: ("apptainer", batch)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    (folder / "data").mkdir()
    for name in [*FILES, *FILES_OF_EXAMPLES]:
        (folder / name).write_text("")
        (folder / name).chmod(0o644)
        os.utime(folder / name, ns=(0, MTIME_NS))
    return folder


@given(metas, kinds, st.booleans())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_written_batch_is_the_submitted_batch(
    folder: Path, meta: dict[str, Any], kind: tuple[str, dict[str, Any]], is_flow: bool
) -> None:
    document = {"meta": meta, kind[0]: kind[1]}
    path = folder / "jobs.yaml"
    path.write_text(yaml.safe_dump(document, default_flow_style=is_flow), newline="")
    assert load(path).spec == _spec(meta, *kind)


@given(st.sampled_from(EXAMPLES), st.data())
@settings(max_examples=300, deadline=None)
def test_any_file_is_either_read_or_its_problems_are_reported(
    folder: Path, example: Path, data: st.DataObject
) -> None:
    text = example.read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        inserted = data.draw(st.sampled_from(PIECES) | st.text(max_size=3))
        text = text[:start] + inserted + text[end:]
    path = folder / "mutant.yaml"
    path.write_text(text, newline="")
    for problem in _problems_of(path):
        assert re.fullmatch(rf"{re.escape(str(path))}:\d+:\d+: .+[;,:] .+", problem)


def _problems_of(path: Path) -> tuple[str, ...]:
    try:
        load(path)
    except InputError as error:
        return error.problems or ("no problem is reported",)
    return ()


def _spec(meta: dict[str, Any], kind: str, batch: dict[str, Any]) -> BatchSpec:
    initialize = batch.get("initialize", {})
    jobs = batch["jobs"]
    work: Work
    if kind == "python":
        work = PythonWork(
            build=_input_file(initialize["build_file"]),
            jobs=tuple(PythonJob(script=_input_file(job["file"]), **_common(job)) for job in jobs),
        )
    elif kind == "command":
        forms = [job["command"] if isinstance(job["command"], str) else tuple(job["command"]) for job in jobs]
        work = CommandWork(
            build=initialize.get("build"),
            jobs=tuple(
                CommandJob(command=form, **_common(job)) for form, job in zip(forms, jobs, strict=True)
            ),
        )
    else:
        work = ApptainerWork(
            image=_input_file(initialize["sif"]),
            mounts=tuple(initialize.get("required_mounts", ())),
            jobs=tuple(ApptainerJob(**_common(job)) for job in jobs),
        )
    return BatchSpec(
        namespace=meta["namespace"],
        batch=meta["batch_name"],
        matrix_user=meta.get("matrix"),
        capabilities=frozenset(meta.get("capabilities", ())),
        priority=meta.get("priority", 0),
        resources=_resources(meta.get("resources")),
        timeout_s=_seconds(meta.get("timeout")),
        retries=meta.get("retries", 0),
        env=batch.get("env", {}),
        work=work,
    )


def _common(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": job["name"],
        "files": tuple(map(_input_file, job.get("required_files", ()))),
        "resources": _resources(job.get("resources")),
        "timeout_s": _seconds(job.get("timeout")),
        "retries": job.get("retries"),
        "env": job.get("env", {}),
    }


def _input_file(ref: Any) -> InputFile:
    path, alias = (ref, None) if isinstance(ref, str) else (ref["path"], ref.get("alias"))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    return InputFile(
        alias=alias or Path(path).name, sha256=empty, size_bytes=0, mode=0o644, mtime_ns=MTIME_NS
    )


def _command(written: str | list[str]) -> str | tuple[str, ...]:
    return written if isinstance(written, str) else tuple(written)


def _resources(written: dict[str, Any] | None) -> Resources | None:
    if written is None:
        return None
    gpus = written.get("gpus", 0)
    kind = gpus if isinstance(gpus, dict) else {"count": gpus}
    count, memory_bytes, model = kind.get("count", 1), kind.get("memory", 0), kind.get("model", "")
    asks = count and (memory_bytes or model)
    return Resources(
        cpus=written.get("cpus", 1),
        memory_bytes=written.get("memory", 0),
        gpus=count,
        gpu_kind=GpuKind(memory_bytes=memory_bytes, model=model) if asks else None,
    )


def _seconds(written: float | str | None) -> float | None:
    if not isinstance(written, str):
        return written
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    return float(sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([dhms])", written)))
