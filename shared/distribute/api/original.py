"""The functions of the first `distribute`'s Python package, for all kinds of batches.

Each makes a section of a jobs file, and `write_config_to_file` writes it. What they take beside the arguments
of the original are keys of docs/keys.md, under their names. Each raises `InvalidArgument`, a ValueError, for
what `distribute add` would refuse. Only files that are `relative` may be missing until then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path as LocalPath
from typing import TypeAlias, TypeVar, Unpack, overload

from distribute.api import keys
from distribute.api.keys import Files, JobKeys, MetaKeys, Path, SlurmOptions, Variables, as_written, in_texts
from distribute.config.checking.check import double_names
from distribute.config.sections.file_refs import FileRef
from distribute.config.sections.jobs_file import (
    ApptainerBatch,
    ApptainerInitialize,
    ApptainerJob,
    CommandBatch,
    CommandInitialize,
    CommandJob,
    JobsFile,
    Kind,
    Meta,
    PythonBatch,
    PythonInitialize,
    PythonJob,
)
from distribute.config.sections.section import Section
from distribute.config.sections.slurm_section import Slurm
from distribute.config.sections.values import Values, made
from distribute.config.settings.folders import home_expanded
from distribute.config.yaml_writer import plain, yaml_of
from distribute.core.errors import InvalidArgument
from distribute.core.os_words import why
from distribute.core.words import LONGEST_QUOTED_PATH, quoted
from distribute.system import write_whole

File: TypeAlias = FileRef
Job: TypeAlias = ApptainerJob | PythonJob | CommandJob
Initialize: TypeAlias = ApptainerInitialize | PythonInitialize | CommandInitialize
Description: TypeAlias = ApptainerBatch | PythonBatch | CommandBatch
Config: TypeAlias = JobsFile
ApptainerConfig: TypeAlias = JobsFile

S = TypeVar("S", bound=Section)

_KIND_OF: dict[type[Section], Kind] = {
    ApptainerInitialize: "apptainer",
    ApptainerBatch: "apptainer",
    ApptainerJob: "apptainer",
    PythonInitialize: "python",
    PythonBatch: "python",
    PythonJob: "python",
    CommandInitialize: "command",
    CommandBatch: "command",
    CommandJob: "command",
}
_MADE_WITH: Mapping[Kind, tuple[str, str]] = {
    "apptainer": ("sif=…", "without file or command"),
    "python": ("build_file=…", "file=…"),
    "command": ("build=…, or nothing", "command=…"),
}
"""What makes an `initialize` and a job of this kind."""


def metadata(
    namespace: str,
    batch_name: str,
    capabilities: Sequence[str],
    matrix_username: str | None = None,
    **more: Unpack[MetaKeys],
) -> Meta:
    """The section `meta`: the names of the batch, and the capabilities that a node needs to run it.

    `matrix_username` is `@jane:example.org`. `more` are other keys of `meta`, such as `timeout="2h"`.
    """
    given = {
        "namespace": namespace,
        "batch_name": batch_name,
        "capabilities": capabilities,
        "matrix": matrix_username,
        **more,
    }
    return _made("metadata()", Meta, given)


def file(path: Path, relative: bool = False, alias: str | None = None) -> File:
    """An input file, which jobs see as `alias`, or under its own name.

    Without `relative` the file has to be there now: its path is made absolute, and links are followed. So
    without an alias, jobs see a link under the name of the file to which it leads. With `relative` nothing is
    looked up: the path counts from the folder of the jobs file, when the batch is submitted.
    """
    given = _made("file()", FileRef, {"path": path, "alias": alias})
    if not isinstance(relative, bool):
        raise InvalidArgument(f"file(): relative takes True or False, not {relative!r}")
    if relative:
        return given
    try:
        real = os.path.realpath(home_expanded(LocalPath(given.path)), strict=True)
    except OSError as error:
        path_text = quoted(given.path, LONGEST_QUOTED_PATH)
        raise InvalidArgument(
            f"file(): can't find the file {path_text}: {why(error)}; create it first, or write "
            "relative=True: then it is looked for when the batch is submitted"
        ) from error
    return FileRef(path=real, alias=given.alias)


@overload
def initialize(
    sif: File | Path, required_files: Files = (), required_mounts: Sequence[str] = ()
) -> ApptainerInitialize: ...
@overload
def initialize(
    *, sif_path: File | Path, required_files: Files = (), required_mounts: Sequence[str] = ()
) -> ApptainerInitialize: ...
@overload
def initialize(*, build_file: File | Path, required_files: Files = ()) -> PythonInitialize: ...
@overload
def initialize(*, build: str | None = None, required_files: Files = ()) -> CommandInitialize: ...
def initialize(
    sif: File | Path | None = None,
    required_files: Files = (),
    required_mounts: Sequence[str] = (),
    *,
    sif_path: File | Path | None = None,
    build_file: File | Path | None = None,
    build: str | None = None,
) -> Initialize:
    """What jobs of a batch have in common: the files that all see, and how the program is made.

    `sif` is an Apptainer image; its `required_mounts` are folders that a job may write to. `build_file` is a
    Python script that builds on each node, `build` a command that does. `sif_path` is another word for `sif`.
    """
    called = "initialize()"
    image = sif if sif is not None else sif_path
    kinds = {"sif": image, "build_file": build_file, "build": build}
    given = {key: value for key, value in kinds.items() if value is not None}
    if len(given) > 1 or (sif is not None and sif_path is not None):
        raise InvalidArgument(f"{called}: give one of sif, build_file and build: a batch has one kind")
    shared: dict[str, object] = {**given, "required_files": required_files}
    if required_mounts:
        shared["required_mounts"] = required_mounts
    if build_file is not None:
        return _made(called, PythonInitialize, shared)
    if image is not None:
        return _made(called, ApptainerInitialize, shared)
    return _made(called, CommandInitialize, shared)


@overload
def job(
    name: str, required_files: Files = (), slurm: SlurmOptions | None = None, **more: Unpack[JobKeys]
) -> ApptainerJob: ...
@overload
def job(
    name: str,
    required_files: Files = (),
    slurm: SlurmOptions | None = None,
    *,
    file: File | Path,
    args: Sequence[str | float] | None = None,
    **more: Unpack[JobKeys],
) -> PythonJob: ...
@overload
def job(
    name: str,
    required_files: Files = (),
    slurm: SlurmOptions | None = None,
    *,
    command: str | Sequence[str | float],
    **more: Unpack[JobKeys],
) -> CommandJob: ...
def job(
    name: str,
    required_files: Files = (),
    slurm: SlurmOptions | None = None,
    *,
    file: File | Path | None = None,
    args: Sequence[str | float] | None = None,
    command: str | Sequence[str | float] | None = None,
    **more: Unpack[JobKeys],
) -> Job:
    """One job: its name, and its own input files.

    A job of an Apptainer image needs no more. `file` is the script of a python job, with its `args`.
    `command` is the program of a command job, with its arguments. `more` are other keys of a job, such as
    `timeout="2h"`.
    """
    if file is not None and command is not None:
        raise InvalidArgument("job(): give file or command: a job has one kind")
    given = {"name": name, "required_files": required_files, "slurm": slurm, **more}
    if "env" in given:
        given["env"] = in_texts(given["env"])
    if args is not None and file is None:
        raise InvalidArgument(
            "job(): args are for a python job; give its file, or write them into the command"
        )
    if file is not None:
        return _made("job()", PythonJob, {**given, "file": file, "args": in_texts(args)})
    if command is not None:
        return _made("job()", CommandJob, {**given, "command": in_texts(command)})
    return _made("job()", ApptainerJob, given)


@overload
def description(
    initialize: ApptainerInitialize,
    jobs: Sequence[ApptainerJob],
    *,
    env: Variables | None = None,
) -> ApptainerBatch: ...
@overload
def description(
    initialize: PythonInitialize | CommandInitialize,
    jobs: Sequence[PythonJob],
    *,
    env: Variables | None = None,
) -> PythonBatch: ...
@overload
def description(
    initialize: CommandInitialize, jobs: Sequence[CommandJob], *, env: Variables | None = None
) -> CommandBatch: ...
def description(initialize: Initialize, jobs: Sequence[Job], *, env: Variables | None = None) -> Description:
    """The jobs, with what they have in common. `env` are environment variables of all of them."""
    called = "description()"
    kind = _kind_of(called, "initialize", initialize)
    if initialize.model_fields_set <= {"required_files"} and any(isinstance(job, PythonJob) for job in jobs):
        kind, initialize = "python", PythonInitialize(required_files=initialize.required_files)
    for number, entry in enumerate(jobs):
        of_job = _kind_of(called, f"jobs[{number}]", entry)
        if of_job != kind:
            raise InvalidArgument(
                f"{called}: jobs[{number}]: {quoted(entry.name)} is a job of the kind {of_job}, but "
                f"initialize is of the kind {kind}; make it with job(…, {_MADE_WITH[kind][1]}), "
                f"or use initialize({_MADE_WITH[of_job][0]})"
            )
    given = {"initialize": initialize, "jobs": jobs, "env": in_texts(env)}
    found: Description
    match kind:
        case "apptainer":
            found = _made(called, ApptainerBatch, given)
        case "python":
            found = _made(called, PythonBatch, given)
        case "command":
            found = _made(called, CommandBatch, given)
    entries = [plain(entry) for entry in found.jobs]
    document = Values({"jobs": entries}, called)
    doubles = double_names(document, "", entries)
    if doubles:
        raise InvalidArgument(*document.lines(doubles))
    return found


def slurm(
    job_name: str | None = None,
    output: str | None = None,
    nodes: int | None = None,
    ntasks: int | None = None,
    cpus_per_task: int | None = None,
    mem_per_cpu: str | None = None,
    hint: str | None = None,
    time: str | None = None,
    partition: str | None = None,
    account: str | None = None,
    mail_user: str | None = None,
    mail_type: str | None = None,
    **more: str | int | bool | None,
) -> Slurm:
    """Options of sbatch, for a batch or a job. `more` are its other options, with `_` for `-`."""
    known: keys.SlurmKeys = {
        "job_name": job_name,
        "output": output,
        "nodes": nodes,
        "ntasks": ntasks,
        "cpus_per_task": cpus_per_task,
        "mem_per_cpu": mem_per_cpu,
        "hint": hint,
        "time": time,
        "partition": partition,
        "account": account,
        "mail_user": mail_user,
        "mail_type": mail_type,
    }
    return _made("slurm()", Slurm, {**known, **more})


def apptainer_config(meta: Meta, description: ApptainerBatch, slurm: SlurmOptions | None = None) -> Config:
    """A whole batch that runs an Apptainer image. A job's options of SLURM override those of `slurm`."""
    return _config("apptainer", meta, description, slurm)


def python_config(meta: Meta, description: PythonBatch, slurm: SlurmOptions | None = None) -> Config:
    """The same, of python scripts."""
    return _config("python", meta, description, slurm)


def command_config(meta: Meta, description: CommandBatch, slurm: SlurmOptions | None = None) -> Config:
    """The same, of commands."""
    return _config("command", meta, description, slurm)


def write_config_to_file(config: Config, path: Path) -> None:
    """Write the jobs file, usually called `distribute-jobs.yaml`. An earlier file there is replaced, whole.

    Raises:
        InvalidArgument: it can't be written there.
    """
    called = "write_config_to_file()"
    if not isinstance(config, JobsFile):
        raise InvalidArgument(f"{called}: config takes what apptainer_config() returns, not {config!r}")
    if not isinstance(path, str | os.PathLike):
        raise InvalidArgument(f"{called}: path takes a path, not {path!r}")
    text = yaml_of(config).encode()
    target = home_expanded(LocalPath(path))
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(text)  # a pipe, or a device such as /dev/stdout
        else:
            write_whole(target.resolve(), text)
    except (OSError, ValueError) as error:
        reason = why(error) if isinstance(error, OSError) else error
        shown = quoted(str(target), LONGEST_QUOTED_PATH)
        raise InvalidArgument(f"{called}: can't write {shown}: {reason}; choose another path") from error


def _made(called: str, model: type[S], given: Mapping[str, object]) -> S:
    return made(called, model, {key: as_written(value) for key, value in given.items()})


def _kind_of(called: str, argument: str, value: Section) -> Kind:
    """The kind of what one of these functions returned."""
    kind = _KIND_OF.get(type(value))
    if kind is None:
        function = "initialize()" if argument == "initialize" else "job()"
        raise InvalidArgument(f"{called}: {argument} takes what {function} returns, not {value!r}")
    return kind


def _config(kind: Kind, meta: Meta, description: Description, slurm: SlurmOptions | None) -> Config:
    called = f"{kind}_config()"
    if not isinstance(meta, Meta):
        raise InvalidArgument(f"{called}: meta takes what metadata() returns, not {meta!r}")
    found = _KIND_OF.get(type(description))
    if not isinstance(description, ApptainerBatch | PythonBatch | CommandBatch) or found is None:
        raise InvalidArgument(f"{called}: description takes what description() returns, not {description!r}")
    if found != kind:
        raise InvalidArgument(
            f"{called}: this description has jobs of the kind {found}; use {found}_config(), "
            f"or make them with initialize({_MADE_WITH[kind][0]}) and job(…, {_MADE_WITH[kind][1]})"
        )
    return _made(called, JobsFile, {"meta": meta, kind: description, "slurm": slurm})
