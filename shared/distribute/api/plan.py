"""A batch that Python code describes, job by job. It becomes what `distribute add` makes of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as LocalPath
from typing import Any, TypeAlias, Unpack

from distribute.api.contents import Files, KeptFiles, as_references, filled, kept
from distribute.api.keys import JobKeys, MetaKeys, Path, Variables, as_written, in_texts
from distribute.api.sweeping import sweep_problem
from distribute.config.loading import LoadedBatch, load_values
from distribute.config.sections.jobs_file import ApptainerJob, CommandJob, JobEntry, Kind, Meta, PythonJob
from distribute.config.sections.values import Values, made
from distribute.core.errors import InvalidArgument
from distribute.core.words import counted, quoted
from distribute.inputs.made import MadeContents
from distribute.sweeps import Point, Scalar, Sweep, SweepError, TextTemplate, default_name, named, plain

Command: TypeAlias = str | Sequence[str | float]
Made: TypeAlias = Callable[..., Any]
"""Is called with a job's parameters, by their names."""

_ENTRIES: Mapping[Kind, type[JobEntry]] = {
    "python": PythonJob,
    "command": CommandJob,
    "apptainer": ApptainerJob,
}
_NUMBER = "number"
_NOTHING: Point = {}
"""The parameters of all jobs that have none."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A job: its name, what is written of it beside its files, the files, and its parameters.

    `point` is what fills the placeholders in its texts. Empty: they have none.
    """

    name: str
    given: dict[str, Any]
    files: KeptFiles
    parameters: Point
    point: Point


class BatchPlan:
    """The jobs of a batch, and what they have in common.

    Args:
        name: of the batch.
        namespace: of the batch.
        capabilities: what a node must have to run it, such as `gpu`.
        matrix: a Matrix user, who gets messages.
        files: input files of all jobs: paths, or a dict of names and contents.
        env: environment variables of all jobs.
        build: a command that builds once on each node, before the first job there.
        build_file: a Python script that does, for python jobs.
        image: an Apptainer image. Each job runs it.
        mounts: folders in the image that a job may write to.
        more: other keys of `meta`, such as `timeout="2h"` or `resources={"cpus": 4}`.

    Raises:
        InvalidArgument: something of it is wrong.
    """

    def __init__(
        self,
        name: str,
        *,
        namespace: str,
        capabilities: Sequence[str] = (),
        matrix: str | None = None,
        files: Files = (),
        env: Variables | None = None,
        build: str | None = None,
        build_file: Path | None = None,
        image: Path | None = None,
        mounts: Sequence[str] = (),
        **more: Unpack[MetaKeys],
    ) -> None:
        meta = {"namespace": namespace, "batch_name": name, "capabilities": capabilities, "matrix": matrix}
        self._meta = {key: as_written(value) for key, value in {**meta, **more}.items()}
        checked = made("Batch()", Meta, self._meta)
        self.namespace = checked.namespace
        self.name = checked.batch_name
        self._files = files
        self._env = in_texts(env)
        kinds = {"build": build, "build_file": build_file, "sif": image}
        self._initialize = {key: as_written(value) for key, value in kinds.items() if value is not None}
        if len(self._initialize) > 1:
            raise InvalidArgument("Batch(): give one of build, build_file and image: a batch has one kind")
        if mounts:
            self._initialize["required_mounts"] = as_written(mounts)
        self._contents = MadeContents()
        """The texts and bytes that jobs were given as files."""
        self._jobs: list[_Planned] = []
        self._last: _Planned | None = None
        """The job that runs when all others are over."""
        self._names: set[str] = set()

    def __len__(self) -> int:
        return len(self._planned)

    @property
    def jobs(self) -> list[str]:
        """The names of the jobs. One that runs when the others are over comes last."""
        return [planned.name for planned in self._planned]

    @property
    def _planned(self) -> list[_Planned]:
        return self._jobs if self._last is None else [*self._jobs, self._last]

    def job(
        self,
        name: str,
        command: Command | None = None,
        *,
        file: Path | None = None,
        args: Sequence[str | float] | None = None,
        files: Files = (),
        parameters: Mapping[str, Scalar] | None = None,
        last: bool = False,
        **more: Unpack[JobKeys],
    ) -> None:
        """Add a job.

        Args:
            name: of the job.
            command: a program with its arguments, or one text for a shell.
            file: a Python script, which runs with `args`. Of `command` and `file`, give one, or none if the
                batch has an image.
            args: the script's arguments.
            files: input files: paths, or a dict of names and contents.
            parameters: what the job is called with, for `table()`.
            last: run it when all others are over. It finds what they left in `./input/results/JOB/`.
            more: other keys of a job, such as `timeout="2h"` or `resources={"cpus": 4}`.

        Raises:
            InvalidArgument: something of it is wrong, or a job of this name is there.
            InputError: contents of `files` can't be kept in the folder of temporary files.
        """
        given = _given(command, file, args, more)
        planned = _Planned(name, given, kept(files, self._contents), _point(parameters), _NOTHING)
        if not last:
            self._add([planned], "job()")
            return
        if self._last is not None:
            raise InvalidArgument(f"job(): {quoted(self._last.name)} runs last already; one job does")
        self._add([planned], "job()")
        self._last = self._jobs.pop()

    def sweep(
        self,
        points: Sweep | Iterable[Mapping[str, Scalar]],
        command: Command | Made | None = None,
        *,
        name: str | Callable[..., str] | None = None,
        file: Path | None = None,
        args: Sequence[str | float] | Made | None = None,
        files: Files = (),
        **more: Unpack[JobKeys],
    ) -> None:
        """Add a job for each point. See `job` for the arguments.

        In texts, `{re}` stands for the value of the parameter `re`: in the name, the command, the arguments,
        the variables, what a job needs, and in paths and names of files. `name`, `command`, `args` and
        contents of files may be functions: they are called with the parameters, by their names.

        Raises:
            InvalidArgument: something of it is wrong, or two jobs would have one name.
        """
        given = _given(command, file, args, more)
        try:
            planned = list(self._swept(points, name, given, files))
        except SweepError as error:
            raise InvalidArgument(sweep_problem("sweep()", error)) from error
        self._add(planned, "sweep()")

    def _swept(
        self,
        points: Sweep | Iterable[Mapping[str, Scalar]],
        name: str | Callable[..., str] | None,
        given: dict[str, Any],
        files: Files,
    ) -> Iterator[_Planned]:
        found = points if isinstance(points, Sweep) else Sweep(include=list(points))
        if callable(name):
            for number, point in enumerate(found.points(), 1):
                yield _Planned(name(**point), given, files, point, {_NUMBER: number, **point})
            return
        template = TextTemplate(name or default_name(found), (*found.names, _NUMBER))
        for job_name, point in named(found, template):
            parameters = {name: point[name] for name in found.names}
            yield _Planned(job_name, given, files, parameters, point)

    def _add(self, planned: list[_Planned], called: str) -> None:
        for entry in planned:
            if entry.name in self._names:
                raise InvalidArgument(f"{called}: there is a job {quoted(entry.name)} already; rename one")
        for entry in planned[:1]:  # the others of a sweep are made alike
            self._check(called, entry)
        ((double, times),) = Counter(entry.name for entry in planned).most_common(1)
        if times > 1:
            raise InvalidArgument(f"{called}: two jobs would be called {quoted(double)}; change the name")
        self._names.update(entry.name for entry in planned)
        self._jobs += planned

    def _check(self, called: str, entry: _Planned) -> None:
        written = _written(called, entry)
        kind: Kind = "python" if "file" in written else "command" if "command" in written else "apptainer"
        if kind == "apptainer" and "sif" not in self._initialize:
            raise InvalidArgument(
                f"{called}: a job takes a command, or a file to run; without either, the batch needs an image"
            )
        made(called, _ENTRIES[kind], written)

    @property
    def kind(self) -> Kind:
        """The kind of the batch: `python`, `command` or `apptainer`."""
        if "sif" in self._initialize:
            return "apptainer"
        if "build_file" in self._initialize:
            return "python"
        return "python" if self._jobs and "file" in self._jobs[0].given else "command"

    def loaded(self) -> LoadedBatch:
        """The batch and its files, complete and checked.

        Raises:
            InvalidArgument: it holds every problem, one line each.
            InputError: contents can't be kept in the folder of temporary files.
        """
        contents = self._contents.continued()
        parameters = (
            {name: plain(value) for name, value in planned.parameters.items()} or None
            for planned in self._planned
        )
        return load_values(lambda: self._described(contents), LocalPath(), contents, parameters)

    def _described(self, contents: MadeContents) -> Values:
        """What a jobs file would have. `contents` gets those without a file."""
        called = f"Batch({str(self)!r})"
        shared = as_references("Batch()", self._files, {}, {}, contents)
        value: dict[str, Any] = {
            "meta": self._meta,
            self.kind: {
                "initialize": {**self._initialize, "required_files": as_written(shared)},
                "env": self._env,
                "jobs": [self._entry(called, planned, contents) for planned in self._jobs],
            },
        }
        if self._last is not None:
            value["finally"] = self._entry(called, self._last, contents)
        contents.close_pack()
        return Values(value, called)

    def _entry(self, called: str, planned: _Planned, contents: MadeContents) -> dict[str, Any]:
        where = f"{called}: {planned.name}"
        try:
            files = as_references(where, planned.files, planned.parameters, planned.point, contents)
        except SweepError as error:
            raise InvalidArgument(f"{where}: files: {error}") from error
        return {**_written(where, planned), "required_files": as_written(files)}

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def __repr__(self) -> str:
        jobs = f": {counted(len(self), 'job')}" if self._jobs else ""
        return f"<{type(self).__name__} {self}{jobs}>"


def _given(command: object, file: object, args: object, more: Mapping[str, Any]) -> dict[str, Any]:
    """What is written of a job, without what has no value."""
    given = {"command": command, "file": file, "args": args, **more}
    if command is not None and file is not None:
        raise InvalidArgument("job(): give command or file: a job has one kind")
    return {key: value for key, value in given.items() if value is not None}


def _written(called: str, planned: _Planned) -> dict[str, Any]:
    """A job as a jobs file has it, without its files."""
    written: dict[str, Any] = {"name": planned.name}
    for key, value in planned.given.items():
        found = value(**planned.parameters) if callable(value) else value
        try:
            written[key] = _filled(key, found, planned.point)
        except SweepError as error:
            raise InvalidArgument(f"{called}: {key}: {error}") from error
    return written


def _filled(key: str, value: object, point: Point) -> object:
    if key not in {"command", "args", "env", "file"} or isinstance(value, int | float):
        return _in(as_written(value), point)
    if key == "command" and isinstance(value, str) and point:
        return TextTemplate(value, point, for_shell=True).fill(point)
    return _in(in_texts(value), point)


def _in(value: object, point: Point) -> object:
    """The value with the parameters in each of its texts."""
    if isinstance(value, str):
        return filled(value, point)
    if isinstance(value, list):
        return [_in(item, point) for item in value]
    if isinstance(value, dict):
        return {key: _in(item, point) for key, item in value.items()}
    return value


def _point(parameters: Mapping[str, Scalar] | None) -> Point:
    if not parameters:
        return _NOTHING
    try:
        return next(Sweep(include=[parameters]).points())
    except SweepError as error:
        raise InvalidArgument(f"job(): parameters: {error}") from error
