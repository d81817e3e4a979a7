"""Input files of batches and jobs, as Python code gives them: paths, or names with contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from os import PathLike
from typing import NamedTuple, TypeAlias

from distribute.api.keys import Path
from distribute.config.checking.input_files import path_of_made
from distribute.config.sections.file_refs import FileRef
from distribute.core.errors import InvalidArgument
from distribute.inputs.made import MadeContents
from distribute.sweeps import Point, TextTemplate

Content: TypeAlias = str | bytes | PathLike[str] | FileRef
"""A text, bytes, or a file that is there."""

MakesContent: TypeAlias = Callable[..., Content]
"""Is called with a job's parameters, by their names."""

Files: TypeAlias = Sequence[FileRef | Path] | Mapping[str, Content | MakesContent]
"""Paths; or by the names under which jobs see them, contents or functions that make them."""


class Kept(NamedTuple):
    """A content that `MadeContents` have, by the path that it has in a configuration."""

    path: str


KeptFiles: TypeAlias = Files | Mapping[str, Content | MakesContent | Kept]
"""Files of which contents may be kept already."""


def kept(files: Files, contents: MadeContents) -> KeptFiles:
    """The files, with texts and bytes put into `contents`: those of 100,000 jobs need not stay in memory.

    Raises:
        InputError: `contents` can't be written.
    """
    if not isinstance(files, Mapping):
        return files
    return {
        name: Kept(_path_in(contents, content)) if isinstance(content, str | bytes) else content
        for name, content in files.items()
    }


def as_references(
    called: str, files: KeptFiles, parameters: Point, point: Point, contents: MadeContents
) -> list[object]:
    """Files as a jobs file lists them.

    `point` fills the placeholders in paths and names. Functions are called with `parameters`.

    Raises:
        InvalidArgument: a function makes something else than a content.
        SweepError: a template is wrong.
    """
    if isinstance(files, Mapping):
        found = {
            filled(name, point): content(**parameters) if callable(content) else content
            for name, content in files.items()
        }
        return [_named(called, name, content, point, contents) for name, content in found.items()]
    if isinstance(files, str | bytes | PathLike) or not isinstance(files, Sequence):
        raise InvalidArgument(
            f"{called}: files takes a list of paths, or a dict of names and contents, not {files!r}"
        )
    return [_reference(file, point) for file in files]


def filled(text: str, point: Point) -> str:
    """The text with the parameters. Without parameters, it stays as it is."""
    return _template(text, tuple(point)).fill(point) if point and isinstance(text, str) else text


@lru_cache(maxsize=1 << 10)  # a sweep fills the same few texts for each of its jobs
def _template(text: str, names: tuple[str, ...]) -> TextTemplate:
    return TextTemplate(text, names)


def _reference(file: FileRef | Path, point: Point) -> object:
    if isinstance(file, FileRef):
        alias = None if file.alias is None else filled(file.alias, point)
        return {"path": filled(file.path, point), "alias": alias}
    return filled(file.__fspath__(), point) if isinstance(file, PathLike) else filled(file, point)


def _named(called: str, name: str, made: Content | Kept, point: Point, contents: MadeContents) -> object:
    match made:
        case Kept():
            path = made.path
        case str() | bytes():
            path = _path_in(contents, made)
        case bytearray() | memoryview():
            path = _path_in(contents, bytes(made))
        case FileRef():
            path = filled(made.path, point)
        case PathLike():
            path = filled(made.__fspath__(), point)
        case _:
            raise InvalidArgument(
                f"{called}: the file {name!r} takes a text, bytes, a Path, or a function that makes one, "
                f"not {made!r}"
            )
    return {"path": path, "alias": name}


def _path_in(contents: MadeContents, content: str | bytes) -> str:
    """Put a content into `contents`. Returns its path in a configuration."""
    return path_of_made(contents.add(content.encode() if isinstance(content, str) else content))
