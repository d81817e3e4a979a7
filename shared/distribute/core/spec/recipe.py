"""Recipes: everything needed to run a job. Files, folders, command, environment, build, image and binds.

All code that runs jobs uses this. Paths in a recipe are relative to the working directory. Values that depend
on the node (folder, cores, GPUs) are arguments of `Recipe.argv` and `Recipe.environment`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from distribute.core.spec import container
from distribute.core.spec.placed import INITIAL as INITIAL
from distribute.core.spec.placed import INPUT as INPUT
from distribute.core.spec.placed import Placed, PlacedFolder, batch_files, batch_trees, job_inputs
from distribute.core.spec.setup_script import Login, setup_script
from distribute.core.spec.specs import (
    LOGIN_SHELL,
    ApptainerWork,
    BatchSpec,
    CommandJob,
    CommandWork,
    InputFile,
    Job,
    PythonJob,
    PythonWork,
    SignalBefore,
)

SAVE = "distribute_save"
RESULTS = "results"
"""In `input`: the folder with the results of all others, for the job that runs when they are over."""
MOUNTS = "mounts"
"""The folder that contains one folder for each mount path of an apptainer batch."""
PYTHON_PATH = "PYTHONPATH"
"""Folders in which Python looks for modules, after the script's own and before its library."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a job may use of its node. `gpus` are the node's own indices."""

    cpus: int
    memory_bytes: int = 0
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ShareText:
    """A share for a script, which learns only where it runs what it may use: texts for the numbers."""

    cpus: str
    memory_bytes: str
    gpus: str
    has_gpus: bool

    @classmethod
    def of(cls, share: Share | ShareText) -> ShareText:
        if isinstance(share, ShareText):
            return share
        return cls(str(share.cpus), str(share.memory_bytes), str(len(share.gpus)), bool(share.gpus))


@dataclass(frozen=True, slots=True)
class Bind:
    """A folder of the job, and its path in the container."""

    folder: str
    target: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A job, or the build of a batch, ready to be run anywhere.

    Every recipe has the folders `input` and `distribute_save`; `folders` are those it has beside them.
    """

    command: tuple[str, ...] | str
    """A program and its arguments, or one text for a shell."""
    wants_cores: bool = False
    """Is the number of cores the last argument of the command?"""
    files: tuple[Placed, ...] = ()
    trees: tuple[PlacedFolder, ...] = ()
    """What is kept was laid out before the rest: what a job has of its own replaces it, by its names."""
    folders: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment variables of the batch and the job."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that identify the job. No variable of a batch replaces them."""
    build: Recipe | None = None
    """Runs once on a node. The job starts in a copy of the folder that the build leaves."""
    image: InputFile | None = None
    binds: tuple[Bind, ...] = ()
    timeout_s: float | None = None
    grace_s: float | None = None
    """Seconds from SIGTERM to SIGKILL. None: the node's own."""
    warning: SignalBefore | None = None
    """Only together with `timeout_s`."""
    always: bool = False
    """For a build: run it, although the node may have kept the same build of another batch."""
    setup: tuple[str, ...] = ()
    wants_results: bool = False
    """Does it find what all other jobs of its batch left, in `input/results`?"""
    imports_input: bool = False
    """Is it a Python program that finds modules among its inputs?"""
    shell: tuple[str, ...] | None = None
    """Runs `setup`, and becomes the command. None: there is no setup, and `/bin/sh` runs a text."""

    @property
    def input_files(self) -> Iterator[InputFile]:
        """Every file that it needs, also for its build."""
        yield from (placed.file for placed in self.files)
        yield from self.build.input_files if self.build is not None else ()
        yield from (self.image,) if self.image is not None else ()

    @property
    def listings(self) -> set[str]:
        """The SHA-256 of every listing that it needs, also for its build."""
        own = {placed.folder.sha256 for placed in self.trees}
        return own | self.build.listings if self.build is not None else own

    @property
    def objects(self) -> set[str]:
        """The SHA-256 of every object of the store that has such a file or listing."""
        return self.listings.union(file.stored.sha256 for file in self.input_files)

    def argv(
        self, share: Share | ShareText, folder: str, image: str | None = None, login: Login | None = None
    ) -> list[str]:
        """The command of a job whose working directory is `folder`. `image` is the path of its image.

        If the recipe has a shell, the folder must contain the file `UNPREPARED`, which the shell removes once
        it has run the setup. `login`: what the profiles that a login shell reads can't change.
        """
        command = (
            self.command if isinstance(self.command, str) else self._words(self.command, share, folder, image)
        )
        if self.shell is not None:
            return [*self.shell, "-c", setup_script(self.setup, command, folder, login or Login())]
        return ["/bin/sh", "-c", command] if isinstance(command, str) else command

    def _words(
        self, command: Sequence[str], share: Share | ShareText, folder: str, image: str | None
    ) -> list[str]:
        told = ShareText.of(share)
        cores = [told.cpus] if self.wants_cores else []
        if self.image is None:
            return [*command, *cores]
        binds = [(bind.folder, bind.target) for bind in self.binds]
        in_container = container.argv(
            command, folder=folder, image=str(image), binds=binds, has_gpus=told.has_gpus
        )
        return [*in_container, *cores]

    def environment(
        self,
        base: Mapping[str, str],
        share: Share | ShareText,
        *,
        folder: str,
        node: str,
        attempt: int | str | None = None,
        gpus: Sequence[str] | None = None,
    ) -> dict[str, str]:
        """All environment variables of a job whose working directory is `folder`.

        Variables of the batch and the job replace those of `base`, which come from the node and replace the
        defaults.
        Variables that identify the job and its share replace all others. `attempt` is None for a build.
        `gpus` are the GPUs of the node, as CUDA_VISIBLE_DEVICES names them: a job sees those of its share, a
        build all of them. None, or with a `ShareText`: leave that variable alone. For a job in a container,
        these are the variables of the program that starts the container.
        """
        defaults = {
            "OMP_NUM_THREADS": ShareText.of(share).cpus,
            "PYTHONUNBUFFERED": "1",  # output is a file, so Python would keep lines back until 8 KiB are full
        }
        own = {**self.variables, **self.names, **self._of_share(share, folder, node, attempt, gpus)}
        if self.image is not None:
            return container.environment(base, defaults, own, folder)
        found = {**defaults, **base, **own}
        if self.imports_input:
            # Behind what is there, and Python looks beside the script itself first: a job's own files win.
            before = found.get(PYTHON_PATH)
            found[PYTHON_PATH] = (
                f"{before}:{self.seen(INPUT, folder)}" if before else self.seen(INPUT, folder)
            )
        return found

    def _of_share(
        self,
        share: Share | ShareText,
        folder: str,
        node: str,
        attempt: int | str | None,
        gpus: Sequence[str] | None,
    ) -> dict[str, str]:
        """The variables that tell a job or a build what it may use, and where it is."""
        told = ShareText.of(share)
        found = {
            "DISTRIBUTE_NODE": node,
            "DISTRIBUTE_CPUS": told.cpus,
            "DISTRIBUTE_INPUT": self.seen(INPUT, folder),
            "DISTRIBUTE_SAVE": self.seen(SAVE, folder),
        }
        if gpus is not None and isinstance(share, Share):
            mine = share.gpus if attempt is not None else range(len(gpus))
            found["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index] for index in mine)  # empty hides all of them
            found["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # else CUDA counts the fastest first, unlike the driver
        if attempt is None:
            return found
        found["DISTRIBUTE_ATTEMPT"] = str(attempt)
        found["DISTRIBUTE_GPUS"] = told.gpus
        found["DISTRIBUTE_MEMORY_BYTES"] = told.memory_bytes
        return found

    def identity(self) -> str:
        """What decides the outcome of a build, as text: its command, setup, files and variables.

        The batch's name, its share of the node and the times of files do not count.
        """
        files = [
            [placed.path, placed.keep, placed.file.sha256, placed.file.mode, placed.file.executable]
            for placed in self.files
        ]
        trees = [[placed.path, placed.keep, placed.folder.content] for placed in self.trees]
        variables = dict(sorted(self.variables.items()))
        shell = [self.shell, self.setup]
        what = [self.command, self.wants_cores, files, self.folders, variables, shell]
        return json.dumps([*what, trees, self.imports_input] if trees or self.imports_input else what)

    def seen(self, name: str, folder: str) -> str:
        """The path under which the job sees one of its folders."""
        for bind in self.binds:
            if bind.folder == name:
                return bind.target
        return f"{folder}/{name}"


def recipe_of(spec: BatchSpec, job: Job, *, edited_timeout_s: float | None = None) -> Recipe:
    """The recipe of a job of a batch. Looks at no other job of `spec`.

    `edited_timeout_s`: a person's, instead of that of the specification; 0: none.
    In `input`, a file or folder of the job replaces one of the batch that has its name.
    `initial_files` has the batch's.
    """
    files, trees = job_inputs(spec, job)
    if isinstance(job, PythonJob):
        files.append(Placed("job.py", job.script))
    apptainer = spec.work if isinstance(spec.work, ApptainerWork) else None
    timeout_s = job.timeout_s if job.timeout_s is not None else spec.timeout_s
    if edited_timeout_s is not None:
        timeout_s = edited_timeout_s or None
    return Recipe(
        command=_command(job),
        wants_cores=_wants_cores(job),
        files=tuple(files),
        trees=tuple(trees),
        folders=_folders(spec),
        variables={**spec.env, **job.env},
        names={**_names(spec), "DISTRIBUTE_JOB": job.name},
        build=build_of(spec),
        image=apptainer.image if apptainer else None,
        binds=_binds(apptainer.mounts) if apptainer else (),
        timeout_s=timeout_s,
        grace_s=job.grace_s if job.grace_s is not None else spec.grace_s,
        warning=_warning(job.signal_before or spec.signal_before, timeout_s),
        setup=spec.setup or (),
        shell=_shell(spec),
        wants_results=job.name == spec.last_job,
        imports_input=isinstance(job, PythonJob) and _has_modules(spec, job),
    )


def _warning(wanted: SignalBefore | None, timeout_s: float | None) -> SignalBefore | None:
    """What warns a job. Nothing, if that were due before it begins: a person may have edited its timeout."""
    return wanted if wanted is not None and timeout_s is not None and wanted.before_s < timeout_s else None


def build_of(spec: BatchSpec) -> Recipe | None:
    """The recipe of a batch's build; None if the batch has no build."""
    files = batch_files(spec)
    match spec.work:
        case PythonWork(build=InputFile() as script):
            command: tuple[str, ...] | str = ("python3", "build.py")
            files.append(Placed("build.py", script))
        case CommandWork(build=str(line)):
            command = line
        case PythonWork() | CommandWork() | ApptainerWork():
            return None
    return Recipe(
        command,
        files=tuple(files),
        trees=tuple(batch_trees(spec)),
        folders=_folders(spec),
        variables=spec.env,
        names=_names(spec),
        timeout_s=spec.build_timeout_s,
        grace_s=spec.grace_s,
        always=spec.rebuild == "always",
        setup=spec.setup or (),
        shell=_shell(spec),
        imports_input=isinstance(spec.work, PythonWork) and _has_modules(spec),
    )


def _has_modules(*owners: BatchSpec | Job) -> bool:
    """Can Python import something of their inputs? Others get the environment that they always had."""
    return any(owner.folders or any(file.alias.endswith(".py") for file in owner.files) for owner in owners)


def _shell(spec: BatchSpec) -> tuple[str, ...] | None:
    return spec.shell or (LOGIN_SHELL if spec.setup else None)


def _command(job: Job) -> tuple[str, ...] | str:
    match job:
        case PythonJob(args=args):
            return ("python3", "job.py", *(args or ()))
        case CommandJob(command=command):
            return command
        case _:
            return ("apptainer", "run")


def _wants_cores(job: Job) -> bool:
    match job:
        case PythonJob(args=args):
            return args is None  # with `args`, it gets these alone: DISTRIBUTE_CPUS tells the cores, too
        case CommandJob():
            return False
        case _:
            return True


def _folders(spec: BatchSpec) -> tuple[str, ...]:
    match spec.work:
        case PythonWork():
            return (INITIAL,)
        case ApptainerWork(mounts=mounts):
            return (container.SCRATCH, *(f"{MOUNTS}/{number}" for number in range(len(mounts))))
        case CommandWork():
            return ()


def _binds(mounts: tuple[str, ...]) -> tuple[Bind, ...]:
    own = (Bind(INPUT, "/input"), Bind(SAVE, "/distribute_save"))
    return (*own, *(Bind(f"{MOUNTS}/{number}", mount) for number, mount in enumerate(mounts)))


def _names(spec: BatchSpec) -> dict[str, str]:
    return {"DISTRIBUTE_NAMESPACE": spec.namespace, "DISTRIBUTE_BATCH": spec.batch}
