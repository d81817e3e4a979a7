"""The scripts that run a job, or the build of a batch, on a node of a SLURM cluster.

`common.sh` has what they share. A job's own part is `scripts/N.sh`: it stages the files and says what runs.
Jobs and their files are called by numbers and digests; names, commands and values are quoted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from distribute.config.settings.settings import MAX_ARRAY_SIZE
from distribute.core.files.manifest import build_output_name
from distribute.core.spec.placed import Placed, PlacedFolder
from distribute.core.spec.recipe import PYTHON_PATH, SAVE, Recipe, ShareText
from distribute.core.spec.setup_script import Login
from distribute.core.spec.specs import DEFAULT_GRACE_S, BatchSpec
from distribute.sbatch.options import Options, has_gpus
from distribute.sbatch.quoting import later, marks_in, sbatch_line, within_script, word, words

_INTERPRETER = "#!/bin/bash"
_COMMON = ". scripts/common.sh"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the settings say of a SLURM cluster.

    `container` is the command that takes Apptainer's arguments there. `setup` are lines for bash.
    """

    container: tuple[str, ...] = ("apptainer",)
    setup: tuple[str, ...] = ()
    max_array_size: int = MAX_ARRAY_SIZE


def batch_script(
    options: Options, call: str, *, array: int | None = None, most: int | None = None, is_login: bool = False
) -> str:
    """A script for sbatch.

    `array`: the number of its tasks; `most`: so many of them run at a time. `is_login`: profiles define
    `module` first.
    """
    lines = [f"{_INTERPRETER} -l" if is_login else _INTERPRETER]
    lines += [sbatch_line(name, value) for name, value in options.items()]
    if array is not None:
        at_a_time = "" if most is None else f"%{most}"
        lines.append(f"#SBATCH --array=0-{array - 1}{at_a_time}")
    return "\n".join([*lines, "", _COMMON, call, ""])


def check_value(name: str, value: str) -> None:
    """Check that an option can be a line of a script.

    Raises:
        ValueError: it can't.
    """
    try:
        sbatch_line(name, value)
    except ValueError as error:
        raise ValueError(f"slurm: {name} can't be written into a script: {error}") from None


def job_part(
    spec: BatchSpec,
    recipe: Recipe,
    job: str,
    inputs: int,
    options: Options,
    chosen: Options,
    cluster: Cluster,
) -> str:
    """The text of `scripts/N.sh`. `inputs`: the number of the script that stages the files of the batch.

    `chosen` are those of its options that its file has.
    """
    lines = [
        f"results_in {word(f'{spec.batch}/{job}')}",
        *(["build=yes", "copy_build"] if recipe.build is not None else []),
        *_folders(recipe),
        f". scripts/inputs-{inputs}.sh",
        *_puts(placed for placed in recipe.files if not placed.keep),
        *_put_trees(tree for tree in recipe.trees if not tree.keep),
        *([f"put_results {word(spec.batch)}"] if recipe.wants_results else []),
        *_running(recipe, options, chosen, cluster, is_build=False),
        f"is_copied={'yes' if 'output' in chosen else ''}",
    ]
    return "\n".join([*lines, ""])


def inputs_part(files: Sequence[Placed], trees: Sequence[PlacedFolder] = ()) -> str:
    """The text that stages files and folders which several jobs share."""
    return "\n".join([*_puts(files), *_put_trees(trees), ""])


def build_part(spec: BatchSpec, recipe: Recipe, options: Options, chosen: Options, cluster: Cluster) -> str:
    """The text of `scripts/build.sh`."""
    before, short = _build_output(spec)
    lines = [
        *_folders(recipe),
        *_puts(recipe.files),
        *_put_trees(recipe.trees),
        *_running(recipe, options, chosen, cluster, is_build=True),
        f"results={word(spec.batch)}",
        f"build_output_before={word(before)}",
        f"build_output_short={word(short)}",
    ]
    return "\n".join([*lines, ""])


def _build_output(spec: BatchSpec) -> tuple[str, str]:
    """What stands before the node's name in the name of the build's output; and a short form of it."""
    names = [job.name for job in spec.work.jobs]
    # The node is not known yet: no job may have a name that a node's file could have.
    name = build_output_name(
        spec.batch, "", lambda name: any(job.startswith(name.removesuffix(".txt")) for job in names)
    )
    before = name.removesuffix(".txt")
    return before, before.removeprefix(f"{spec.batch}_")


def _folders(recipe: Recipe) -> Iterator[str]:
    for folder in ("input", SAVE, *recipe.folders):
        yield f"make_folder {word(folder)}"


def _puts(files: Iterator[Placed] | Sequence[Placed]) -> Iterator[str]:
    for placed in files:
        file = placed.file
        time = "" if file.mtime_ns is None else _seconds(file.mtime_ns)
        keep = " keep" if placed.keep else ""
        yield f"put {file.sha256} {word(placed.path)} {placed.mode:o} {word(time)}{keep}"


def _put_trees(trees: Iterable[PlacedFolder]) -> Iterator[str]:
    for placed in trees:
        verb = "put_matches" if placed.folder.alias is None else "put_folder"
        yield f"{verb} {placed.folder.sha256} {word(placed.path)}{' keep' if placed.keep else ''}"


def _seconds(nanoseconds: int) -> str:
    """A time for `touch`."""
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    return f"{'-' if nanoseconds < 0 else ''}{seconds}.{rest:09}"


def _running(
    recipe: Recipe, options: Options, chosen: Options, cluster: Cluster, *, is_build: bool
) -> Iterator[str]:
    """What runs, and how it is ended."""
    share = ShareText(later("cores"), later("memory"), later("gpus"), has_gpus(options))
    image = None
    if recipe.image is not None:
        image = f"{later('top')}/files/{recipe.image.sha256}"
        assert not isinstance(recipe.command, str)
        recipe = replace(recipe, command=(*cluster.container, *recipe.command[1:]))
    folder = later("folder")
    variables = recipe.environment(
        {}, share, folder=folder, node=later("node"), attempt=None if is_build else later("attempt")
    )
    if cluster.container[-1].rpartition("/")[2] == "singularity":
        variables = _for_singularity(variables)
    if recipe.imports_input and PYTHON_PATH not in recipe.variables:
        yield f"modules=${{{PYTHON_PATH}:+${PYTHON_PATH}:}}"  # what the cluster has set
        variables[PYTHON_PATH] = later("modules") + variables[PYTHON_PATH]
    argv = recipe.argv(share, folder, image, Login(variables))
    if recipe.shell is not None:
        variables |= {f"distribute_{name}": later(name) for name in marks_in(argv[-1])}
        argv[-1] = within_script(argv[-1])
        yield "is_prepared=yes"
    yield from (f"prepare {word(line)}" for line in cluster.setup)
    assigned = (f"    {word(f'{name}={value}')}" for name, value in variables.items())
    yield "\n".join(["environment=(", *assigned, ")"])
    yield f"command=({words(argv)})"
    yield f"save_seen={word(recipe.seen(SAVE, folder))}"
    # SLURM ends a job at the time in `slurm:`; without that, the script ends it at its own timeout.
    if recipe.timeout_s is not None and "time" not in chosen:
        yield f"timeout={recipe.timeout_s:.3f}"
    yield f"grace={recipe.grace_s if recipe.grace_s is not None else DEFAULT_GRACE_S:.3f}"
    yield f"signal={_signal(options)}"


def _signal(options: Mapping[str, str]) -> str:
    """The signal by which SLURM warns the script, which passes it on."""
    signal = options.get("signal", "")
    return signal[2:].partition("@")[0] if signal.startswith("B:") else ""


def _for_singularity(variables: Mapping[str, str]) -> dict[str, str]:
    """The same variables for Singularity, whose names of them begin with its own name."""
    return {
        f"SINGULARITY{name.removeprefix('APPTAINER')}" if name.startswith("APPTAINER") else name: value
        for name, value in variables.items()
    }
