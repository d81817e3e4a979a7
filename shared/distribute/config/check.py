"""Finds everything that is wrong with a `distribute-jobs.yaml`, all at once.

The models check one value at a time. This module checks what concerns several: clashing names, clashing
files, the kinds. It works on the raw values, so it finds these problems whatever else is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

from distribute.config.input_files import InputFiles
from distribute.config.jobs_file import KINDS, JobsFile, own_name
from distribute.config.problems import nearest, shown, validate
from distribute.config.yaml_source import Document, Loc, Value
from distribute.config.yaml_syntax import Found, Problem, Words, written
from distribute.core.errors import InputError
from distribute.core.ids import check_name
from distribute.core.specs import MAX_NEEDS
from distribute.core.words import LONGEST_QUOTED_PATH, quoted

_KEYS_LOOKED_AT = 100
"""Among so many top-level keys we look for a misspelt kind."""


def check(document: Document, files: InputFiles) -> JobsFile:
    """Turn the document into a checked jobs file; all files that it names exist.

    Raises:
        InputError: it holds every problem, one line each, in order of the lines.
    """
    jobs_file, found = validate(document, JobsFile)
    found += document.found
    if document.excess is not None:
        raise InputError(*document.lines(found))
    found += Found(_kind_problems(document))
    for kind, value in _mapping(document.value).items():
        if kind in KINDS:
            references = list(_references(kind, _mapping(value)))
            found += _double_names(document, kind, _items(_mapping(value).get("jobs")))
            found += _bad_files(document, references, files)
            found += _clashes(document, references)
    if jobs_file is not None and not found:
        found += Found(_too_many_needs(document, jobs_file))
    if found or jobs_file is None:
        raise InputError(*document.lines(found))
    return jobs_file


def _kind_problems(document: Document) -> Iterator[Problem]:
    if document.value is not None and not isinstance(document.value, dict):
        return
    keys = _mapping(document.value)
    kinds = [key for key in keys if key in KINDS]
    if len(kinds) > 1:
        first, second = kinds[:2]
        yield Problem(
            document.offset((second,), of_key=True),
            f"a batch has one kind, but this one has {second!r} here and {first!r} on line "
            f"{document.line_of((first,), of_key=True)}; put them into two files",
        )
    elif kinds and keys[kinds[0]] is None:
        yield Problem(
            document.offset((kinds[0],), of_key=True),
            f"{kinds[0]} is empty; write its jobs, as `distribute template {kinds[0]}` shows",
        )
    elif not kinds and not any(nearest(key, KINDS) for key in islice(keys, _KEYS_LOOKED_AT)):
        yield Problem(
            0, f"the batch has no kind; write one of {', '.join(KINDS)}, as `distribute template` shows"
        )


def _too_many_needs(document: Document, jobs_file: JobsFile) -> Iterator[Problem]:
    needs = {(job.resources, job.retries) for job in jobs_file.work.jobs}
    if len(needs) > MAX_NEEDS:
        kind = next(key for key in _mapping(document.value) if key in KINDS)
        yield Problem(
            document.offset((kind, "jobs"), of_key=True),
            f"the jobs ask for {len(needs)} different resources and retries, but a batch may ask for "
            f"{MAX_NEEDS} at most; round them up, for example memory to whole gigabytes",
        )


class _Reference(NamedTuple):
    """A place that names a file. `job` is the index of the job that gets the file; None: all jobs get it.

    `is_input`: the jobs see it in ./input, as `name`. `times`: so many jobs have the list that names it, by
    aliases; `job` is the first.
    """

    loc: Loc
    path: str
    name: str
    has_alias: bool
    job: int | None
    is_input: bool
    times: int = 1


def _references(kind: str, batch: dict[str, Value]) -> Iterator[_Reference]:
    initialize = _mapping(batch.get("initialize"))
    for key in ("build_file", "sif"):
        yield from _reference(initialize.get(key), (kind, "initialize", key), None, is_input=False)
    for index, file in enumerate(_items(initialize.get("required_files"))):
        yield from _reference(file, (kind, "initialize", "required_files", index), None, is_input=True)
    jobs = _items(batch.get("jobs"))
    lists = Counter(id(job.get("required_files")) for job in jobs if type(job) is dict)
    for number, job in enumerate(jobs):
        if type(job) is not dict:
            continue
        if "file" in job:
            yield from _reference(job["file"], (kind, "jobs", number, "file"), number, is_input=False)
        files = job.get("required_files")
        if type(files) is not list:
            continue
        times = lists.pop(id(files), 0)  # what is wrong with a list is wrong wherever an alias repeats it
        for index, file in enumerate(files if times else []):
            loc = (kind, "jobs", number, "required_files", index)
            yield from _reference(file, loc, number, is_input=True, times=times)


def _reference(
    value: Value, loc: Loc, job: int | None, *, is_input: bool, times: int = 1
) -> tuple[_Reference, ...]:
    if type(value) is str:
        return (_Reference(loc, value, own_name(value), False, job, is_input, times),) if value else ()
    if type(value) is not dict:
        return ()
    path, alias = value.get("path"), value.get("alias")
    if not isinstance(path, str) or not path:
        return ()
    has_alias = isinstance(alias, str)
    name = alias if isinstance(alias, str) else own_name(path)
    return (_Reference(loc, path, name, has_alias, job, is_input, times),)


def _double_names(document: Document, kind: str, jobs: list[Value]) -> Found:
    found = Found()
    seen: dict[str, int] = {}
    for number, job in enumerate(jobs):
        name = job.get("name") if type(job) is dict else None
        if type(name) is str:
            first = seen.setdefault(name, number)
            if first != number:
                places: tuple[Loc, Loc] = (kind, "jobs", number, "name"), (kind, "jobs", first, "name")
                found.add(partial(_double_name, document, *places, name))
    return found


def _double_name(document: Document, place: Loc, first: Loc, name: str) -> Problem:
    line = document.line_of(first)
    text = f"two jobs are called {shown(name)}, here and on line {line}; rename one"
    return Problem(document.offset(place), text)


def _bad_files(document: Document, references: list[_Reference], files: InputFiles) -> Found:
    found = Found()
    # A thousand jobs may use a file: we report its problem once.
    uses: dict[str, int] = {}
    first: dict[str, _Reference] = {}
    first_bare: dict[str, _Reference] = {}
    for reference in references:
        path = reference.path
        if path in uses:
            uses[path] += reference.times
        else:
            uses[path] = reference.times
            first[path] = reference
        if not reference.has_alias and path not in first_bare:
            first_bare[path] = reference
    for path, times in uses.items():
        problem = files.problem_with(path)
        if problem is not None:
            found.add(partial(_bad_file, document, first[path], problem, times))
    for reference in first_bare.values():
        try:
            check_name(reference.name)
        except ValueError as error:
            text = f"{error}; add an alias: {{path: PATH, alias: data}}"
            found.add(partial(_file_problem, document, reference, text))
    return found


def _bad_file(document: Document, reference: _Reference, words: Words, times: int) -> Problem:
    more = f" (used {times} times)" if times > 1 else ""
    return _file_problem(document, reference, f"{written(words)}{more}")


def _clashes(document: Document, references: list[_Reference]) -> Found:
    found = Found()
    of_batch: dict[str, _Reference] = {}
    of_job: dict[str, _Reference] = {}
    job = None
    for reference in references:
        if not reference.is_input:
            continue
        if reference.job != job:
            job, of_job = reference.job, {}
        mine = of_batch if job is None else of_job
        other = of_batch.get(reference.name) or mine.get(reference.name)
        if other is None:
            mine[reference.name] = reference
            continue
        found.add(partial(_clash, document, reference, other))
    return found


def _clash(document: Document, reference: _Reference, other: _Reference) -> Problem:
    line = document.line_of(other.loc)
    inside = quoted(f"./input/{reference.name}", LONGEST_QUOTED_PATH)
    if other.path == reference.path:
        advice = "remove one of the two"
    else:
        path = quoted(reference.path, LONGEST_QUOTED_PATH)
        advice = f"add an alias: {{path: {path}, alias: {quoted(f'other-{reference.name}')}}}"
    text = f"two files would become {inside}, here and on line {line}; {advice}"
    return _file_problem(document, reference, text)


def _file_problem(document: Document, reference: _Reference, text: str) -> Problem:
    return Problem(document.offset((*reference.loc, "path")), text)


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _items(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []
