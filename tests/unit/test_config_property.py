"""Every correct file becomes the batch that it describes; every problem of a wrong file is reported."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import distribute_cli
from distribute.config.loading import load
from distribute.core.errors import InputError
from distribute.core.spec.specs import (
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
from documents_kit import FILES, kinds, metas

EXAMPLES = sorted((Path(distribute_cli.__file__).parent / "templates").glob("*.yaml"))
FILES_OF_EXAMPLES = ["pendulum.py", "pendulum.sh", "pendulum.sif", "angle030.txt", "angle150.txt"]
MTIME_NS = 978_307_200_123_456_789
PIECES = ["", "\t", "@", ":", "-", "[", "]", "{", "}", "'", '"', "&a ", "*a", "<<: ", "\n", "~"]


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
@settings(max_examples=150)
def test_a_written_batch_is_the_submitted_batch(
    folder: Path, meta: dict[str, Any], kind: tuple[str, dict[str, Any]], is_flow: bool
) -> None:
    document = {"meta": meta, kind[0]: kind[1]}
    path = folder / "jobs.yaml"
    path.write_text(yaml.safe_dump(document, default_flow_style=is_flow), newline="")
    assert load(path).spec == _spec(meta, *kind)


@given(st.sampled_from(EXAMPLES), st.data())
@settings(max_examples=300)
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
            build=_input_file(initialize["build_file"]) if initialize.get("build_file") else None,
            jobs=tuple(
                PythonJob(script=_input_file(job["file"]), args=_args(job), **_common(job)) for job in jobs
            ),
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
        grace_s=_seconds(meta.get("grace")),
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
        "grace_s": _seconds(job.get("grace")),
        "retries": job.get("retries"),
        "env": job.get("env", {}),
    }


def _input_file(ref: Any) -> InputFile:
    path, alias = (ref, None) if isinstance(ref, str) else (ref["path"], ref.get("alias"))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    return InputFile(
        alias=alias or Path(path).name, sha256=empty, size_bytes=0, mode=0o644, mtime_ns=MTIME_NS
    )


def _args(job: dict[str, Any]) -> tuple[str, ...] | None:
    return None if job["args"] is None else tuple(map(str, job["args"]))


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
