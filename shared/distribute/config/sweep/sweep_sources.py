"""Sources of points that are files: each file of a pattern, each line of a list, each row of a table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from glob import has_magic, iglob
from itertools import islice
from pathlib import Path, PurePosixPath

from distribute.config.sections.file_refs import own_name
from distribute.config.yaml.yaml_source import why_not_text
from distribute.core.os_words import why
from distribute.core.words import LONGEST_QUOTED_PATH, format_size, quoted
from distribute.sweeps import MAX_POINTS, Axis, Scalar, SweepError, written

PATH, FILE, STEM = "path", "file", "stem"
"""What is known of each file: its path here, the path where its job finds it, its name without the ending.

Of a folder, too. Its name has no ending.
"""

LINE, LINE_NUMBER = "line", "line_number"

MAX_LIST_BYTES = 64 << 20
"""A larger list of lines has more than any batch can have jobs, or is no list."""

_TABLES = {".csv": ",", ".tsv": "\t"}


def each_file(pattern: str, folder: Path, input_folder: str, *loc: str) -> Axis:
    """The files or the folders that match a pattern, as an axis, in the order of their paths.

    `folder` is where a relative pattern begins, `input_folder` where a job finds its files.

    Raises:
        SweepError: nothing matches, or files and folders do, or more than a sweep may have points.
    """
    absolute = os.path.expanduser(pattern)  # noqa: PTH111 - it may have no such home
    try:
        found = iglob(absolute, root_dir=folder, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute one
        paths = sorted(islice(found, MAX_POINTS + 1))
    except (OSError, ValueError) as error:
        raise SweepError(f"can't look for {_shown(pattern)}: {error}", *loc) from error
    if len(paths) > MAX_POINTS:
        raise SweepError(
            f"more than {MAX_POINTS:,} files match {_shown(pattern)}, and a batch may have so many jobs "
            "at most; write a narrower pattern",
            *loc,
        )
    if not paths:
        raise SweepError(f"no file matches {_shown(pattern)}{_hint(pattern, folder)}", *loc)
    are_folders = _are_folders(paths, pattern, folder, loc)
    names = [own_name(path) for path in paths]
    columns: dict[str, Sequence[Scalar]] = {
        PATH: [path.rstrip("/") for path in paths],
        FILE: [f"{input_folder}/{name}" for name in names],
        STEM: names if are_folders else [PurePosixPath(name).stem for name in names],
    }
    return Axis(columns, loc, frozenset({FILE, STEM}), name=f"{{{STEM}}}")


def _are_folders(paths: Sequence[str], pattern: str, folder: Path, loc: tuple[str, ...]) -> bool:
    """Did the pattern match folders? Raises SweepError if it matched files, too: each would become a job."""
    folders = {path for path in paths if (folder / path).is_dir()}
    if 0 < len(folders) < len(paths):
        some = _shown(min(folders)), _shown(next(path for path in paths if path not in folders))
        raise SweepError(
            f"{_shown(pattern)} matches folders and files, such as {' and '.join(some)}; write "
            f"{_shown(pattern.rstrip('/') + '/')} for the folders, or the ending of the files, such as *.dat",
            *loc,
        )
    return bool(folders)


def _hint(pattern: str, folder: Path) -> str:
    """What may be wrong with a pattern that matches nothing."""
    known = PurePosixPath(pattern)
    parts = [*known.parts[:-1]]
    at = folder
    for part in parts:
        if has_magic(part):
            break
        at = at / part
        if not at.is_dir():
            return f": there is no folder {_shown(str(at))}; write a path relative to {_shown(str(folder))}"
    hidden = "" if known.name.startswith(".") else "; names that begin with a dot match no *"
    return f" in {_shown(str(folder))}{hidden}"


def each_line(path: str, folder: Path, *loc: str) -> Axis:
    """The lines of a list, or the rows of a table (`.csv`, `.tsv`), as an axis. Leaves out empty lines.

    Raises:
        SweepError: the file can't be read, is no text, has no lines, or is no such table.
    """
    absolute = folder / os.path.expanduser(path)  # noqa: PTH111 - it may have no such home
    text = _read(absolute, path, loc)
    delimiter = _TABLES.get(PurePosixPath(path).suffix.lower())
    if delimiter is not None:
        return _table(text, path, delimiter, loc)
    lines = [
        (number, line) for number, raw in enumerate(text.split("\n"), 1) if (line := raw.rstrip("\r")).strip()
    ]
    if not lines:
        raise SweepError(f"{_shown(path)} has no lines; write one for each job", *loc)
    columns: dict[str, Sequence[Scalar]] = {
        LINE: [line for _, line in lines],
        LINE_NUMBER: [number for number, _ in lines],
    }
    return Axis(columns, loc, frozenset({LINE_NUMBER}), name=f"{{{LINE_NUMBER}:0{len(str(lines[-1][0]))}d}}")


def _read(absolute: Path, path: str, loc: tuple[str, ...]) -> str:
    try:
        with absolute.open("rb") as file:
            data = file.read(MAX_LIST_BYTES + 1)
    except FileNotFoundError:
        raise SweepError(
            f"there is no file {_shown(path)} (looked for {_shown(str(absolute))}); "
            "write the path of a file that is there",
            *loc,
        ) from None
    except (OSError, ValueError) as error:
        cause = why(error) if isinstance(error, OSError) else str(error)
        raise SweepError(
            f"can't read {_shown(path)}: {cause}; write the path of a text file", *loc
        ) from error
    if len(data) > MAX_LIST_BYTES:
        raise SweepError(
            f"{_shown(path)} has more than {format_size(MAX_LIST_BYTES)}, too much for a list of jobs; "
            "is it another file?",
            *loc,
        )
    if b"\0" in data:
        raise SweepError(f"{_shown(path)} is a binary file; write the path of a text file", *loc)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SweepError(f"{_shown(path)}: {why_not_text(data, error.start, 'a text file')}", *loc) from None


def _table(text: str, path: str, delimiter: str, loc: tuple[str, ...]) -> Axis:
    rows = _rows(text, path, delimiter, loc)
    _, header = next(rows, (0, []))
    names = [name.strip() for name in header]
    if not names:
        raise SweepError(f"{_shown(path)} is empty; its first line names the columns", *loc)
    for name in names:
        if not name.isidentifier():
            raise SweepError(
                f"{_shown(path)}: the column {quoted(name)} can't name a parameter; the first line names the "
                f"columns, with {quoted(delimiter)} between them, by letters, digits and '_'",
                *loc,
            )
    columns: list[list[Scalar]] = [[] for _ in names]
    numbers: list[Scalar] = []
    for number, row in rows:
        if len(row) != len(names):
            raise SweepError(
                f"{_shown(path)}: line {number} has {len(row)} columns, and the first line {len(names)}", *loc
            )
        for column, cell in zip(columns, row, strict=True):
            column.append(written(cell))
        numbers.append(number)
    if not numbers:
        raise SweepError(f"{_shown(path)} has no rows below its first line; write one for each job", *loc)
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise SweepError(f"{_shown(path)}: two columns are called {double}; rename one", *loc)
    found: dict[str, Sequence[Scalar]] = dict(zip(names, columns, strict=True))
    found.setdefault(LINE_NUMBER, numbers)
    name = "{name}" if "name" in found else ""
    return Axis(found, loc, frozenset({LINE_NUMBER} - set(names)), name=name)


def _rows(text: str, path: str, delimiter: str, loc: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the number of its line."""
    # Unlike splitlines, a file breaks no line at a form feed, nor at U+2028.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise SweepError(
            f"{_shown(path)}: line {reader.line_num} is no row of a table: {error}", *loc
        ) from error


def _shown(path: str) -> str:
    return quoted(path, LONGEST_QUOTED_PATH)
