"""The input files and folders of a job, each with the path at which the job finds it."""

from __future__ import annotations

from dataclasses import dataclass

from distribute.core.ids import check_name
from distribute.core.spec.specs import BatchSpec, InputFile, InputFolder, Job, PythonWork

INPUT = "input"
INITIAL = "initial_files"


@dataclass(frozen=True, slots=True)
class Placed:
    """An input file and the path to copy it to. With `keep`, a file that the build left there stays."""

    path: str
    file: InputFile
    keep: bool = False

    @property
    def mode(self) -> int:
        """The permissions of the copy."""
        if self.file.mode is not None:
            return self.file.mode
        return 0o755 if self.file.executable else 0o644


@dataclass(frozen=True, slots=True)
class PlacedFolder:
    """An input folder and the path to lay it out at, which it shares with others if it has no alias.

    With `keep`, what the build left there under its names stays.
    """

    path: str
    folder: InputFolder
    keep: bool = False


def batch_files(spec: BatchSpec) -> list[Placed]:
    """The files that all jobs of a batch find, and its build."""
    return [
        Placed(f"{folder}/{check_name(file.alias)}", file, keep=True)
        for folder in _batch_folders(spec)
        for file in spec.files
    ]


def batch_trees(spec: BatchSpec) -> list[PlacedFolder]:
    """The folders that all jobs of a batch find, and its build."""
    return [
        PlacedFolder(_path_of(tree, folder), tree, keep=True)
        for folder in _batch_folders(spec)
        for tree in spec.folders or ()
    ]


def job_inputs(spec: BatchSpec, job: Job) -> tuple[list[Placed], list[PlacedFolder]]:
    """The files and folders that a job finds: those of its batch, and its own, which replace them by name."""
    files = [Placed(f"{INPUT}/{check_name(file.alias)}", file) for file in job.files]
    trees = [PlacedFolder(_path_of(folder, INPUT), folder) for folder in job.folders or ()]
    replaced = {placed.path for placed in files} | {placed.path for placed in trees} - {INPUT}
    return (
        [placed for placed in batch_files(spec) if placed.path not in replaced] + files,
        [placed for placed in batch_trees(spec) if placed.path not in replaced] + trees,
    )


def _batch_folders(spec: BatchSpec) -> tuple[str, ...]:
    """The folders that get the batch's files."""
    return (INPUT, INITIAL) if isinstance(spec.work, PythonWork) else (INPUT,)


def _path_of(tree: InputFolder, folder: str) -> str:
    return folder if tree.alias is None else f"{folder}/{check_name(tree.alias)}"
