"""What is run, and in which environment: the contract of builds and jobs, by kind of batch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distribute.core.specs import (
    ApptainerWork,
    BatchSpec,
    CommandJob,
    CommandWork,
    Job,
    PythonWork,
)
from distribute_services.node_runner.workspace import MOUNTS, Workspace

_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
)


@dataclass(frozen=True, slots=True)
class Share:
    """What an attempt may use of its node. `gpus` are the node's own indices."""

    cpus: int
    memory_bytes: int = 0
    gpus: tuple[int, ...] = ()


def base_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a job sees of the node-runner's environment: where programs are, who and where it is.

    Nothing else: the runner may be the desktop's child, and its keys, agents and sockets are not for
    other people's jobs.
    """
    return {
        name: value for name, value in environment.items() if name in _PASSED_ON or name.startswith("LC_")
    }


def build_argv(spec: BatchSpec) -> list[str] | None:
    """The command of a batch's build, or None where it has none."""
    match spec.work:
        case PythonWork():
            return ["python3", "build.py"]
        case CommandWork(build=str(command)):
            return ["/bin/sh", "-c", command]
        case CommandWork() | ApptainerWork():
            return None


def job_argv(spec: BatchSpec, job: Job, workspace: Workspace, share: Share, image: Path | None) -> list[str]:
    """The command of a job. `image` is the apptainer image's file; other kinds have none."""
    match spec.work:
        case PythonWork():
            return ["python3", "job.py", str(share.cpus)]
        case CommandWork():
            assert isinstance(job, CommandJob)
            return ["/bin/sh", "-c", job.command] if isinstance(job.command, str) else list(job.command)
        case ApptainerWork(mounts=mounts):
            binds = [f"{workspace.input}:/input:rw", f"{workspace.save}:/distribute_save:rw"]
            binds += [f"{workspace.folder}/{MOUNTS}/{n}:{mount}:rw" for n, mount in enumerate(mounts)]
            nvidia = ["--nv"] if share.gpus else []
            bind = ["--bind", ",".join(binds)]
            return ["apptainer", "run", *nvidia, "--app", "distribute", *bind, str(image), str(share.cpus)]


def build_environment(
    base: Mapping[str, str], spec: BatchSpec, node: str, workspace: Workspace, cpus: int
) -> dict[str, str]:
    """The environment of a batch's build, which gets `cpus` cores."""
    return {**base, "OMP_NUM_THREADS": str(cpus), **spec.env, **_common(spec, node, workspace, cpus)}


def job_environment(
    base: Mapping[str, str],
    spec: BatchSpec,
    job: Job,
    *,
    attempt: int,
    node: str,
    workspace: Workspace,
    share: Share,
    node_has_gpus: bool,
) -> dict[str, str]:
    """The environment of a job.

    The batch's and the job's own `env` go before what is only a default; what says who the job is and
    which GPUs are its own goes before them.
    """
    environment = {**base, "OMP_NUM_THREADS": str(share.cpus), **spec.env, **job.env}
    environment |= _common(spec, node, workspace, share.cpus)
    environment |= {
        "DISTRIBUTE_JOB": job.name,
        "DISTRIBUTE_ATTEMPT": str(attempt),
        "DISTRIBUTE_GPUS": str(len(share.gpus)),
        "DISTRIBUTE_MEMORY_BYTES": str(share.memory_bytes),
    }
    if node_has_gpus:
        # Empty hides the node's GPUs from a job that was given none.
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, share.gpus))
    if isinstance(spec.work, ApptainerWork):
        environment |= {"DISTRIBUTE_INPUT": "/input", "DISTRIBUTE_SAVE": "/distribute_save"}
    return environment


def _common(spec: BatchSpec, node: str, workspace: Workspace, cpus: int) -> dict[str, str]:
    return {
        "DISTRIBUTE_NAMESPACE": spec.namespace,
        "DISTRIBUTE_BATCH": spec.batch,
        "DISTRIBUTE_NODE": node,
        "DISTRIBUTE_CPUS": str(cpus),
        "DISTRIBUTE_INPUT": str(workspace.input),
        "DISTRIBUTE_SAVE": str(workspace.save),
    }
