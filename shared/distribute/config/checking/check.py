"""Finds everything that is wrong with a `distribute-jobs.yaml`, all at once.

The models check one value at a time. This module checks what concerns several: clashing names, clashing
files, the kinds. It works on the raw values, so it finds these problems whatever else is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from distribute.config.checking.final_job import FINAL, final_problems
from distribute.config.checking.input_files import InputFiles
from distribute.config.checking.input_trees import Named, TreeKey
from distribute.config.checking.warnings_before import vain_warnings
from distribute.config.sections.file_refs import own_name
from distribute.config.sections.jobs_file import (
    KINDS,
    ApptainerBatch,
    CommandBatch,
    JobsFile,
    PythonBatch,
)
from distribute.config.sections.problems import nearest, shown, validate
from distribute.config.sections.section import Section
from distribute.config.sections.written_jobs import FINALLY
from distribute.config.yaml.yaml_source import Document, Loc, Value
from distribute.config.yaml.yaml_syntax import Found, Problem, Words, written
from distribute.core.errors import InputError
from distribute.core.ids import check_name
from distribute.core.spec.recipe import RESULTS
from distribute.core.spec.specs import MAX_NEEDS
from distribute.core.words import LONGEST_QUOTED_PATH, quoted
from distribute.inputs.checkout import HEAD

_KEYS_LOOKED_AT = 100
"""Among so many top-level keys we look for a misspelt kind."""


def check(document: Document, files: InputFiles) -> JobsFile:
    """Turn the document into a checked jobs file; all files that it names exist.

    Raises:
        InputError: it holds every problem, one line each, in order of the lines.
    """
    refuse_nodes_file(document)
    # First, because of 100,000 jobs, what it looks through takes as much memory as the models.
    of_several = _problems_of_several(document, files) if document.excess is None else Found()
    jobs_file, found = validate(document, JobsFile)
    found += document.found
    found += of_several
    if jobs_file is not None:
        found += Found(_too_many_needs(document, jobs_file))
    if found or jobs_file is None:
        raise InputError(*document.lines(found))
    return jobs_file


def _problems_of_several(document: Document, files: InputFiles) -> Found:
    """What is wrong with several values together."""
    found = Found(_kind_problems(document))
    found += Found(_sweep_problems(document))
    found += Found(final_problems(document))
    for kind, value in _mapping(document.value).items():
        if kind in KINDS:
            written = [
                *_references(kind, _mapping(value)),
                *_references_of(_mapping(document.value).get(FINALLY), (FINALLY,), FINAL),
            ]
            references = [_named(one, files) for one in written]
            found += double_names(document, kind, _items(_mapping(value).get("jobs")))
            found += _bad_files(document, references, files)
            found += _clashes(document, references, files)
            if isinstance(_mapping(document.value).get(FINALLY), dict):
                found += _hiding_results(document, references, files)
    found += vain_warnings(document)
    return found


def refuse_nodes_file(document: Document) -> None:
    """Raises InputError if this is a `distribute-nodes.yaml`, and no batch at all."""
    keys = _mapping(document.value)
    if "nodes" in keys and not keys.keys() & {"meta", *KINDS}:
        text = (
            "this is a list of nodes, not a batch; `distribute server --nodes-file` reads it, "
            "and `distribute template` shows what a batch looks like"
        )
        raise InputError(*document.lines(Found([Problem(document.offset(("nodes",), of_key=True), text)])))


def _kind_problems(document: Document) -> Iterator[Problem]:
    if document.value is not None and not isinstance(document.value, dict):
        return
    keys = _mapping(document.value)
    empty = [key for key in keys if key in KINDS and keys[key] is None]
    kinds = [key for key in keys if key in KINDS and keys[key] is not None] or empty
    if len(kinds) > 1:
        first, second = kinds[:2]
        yield Problem(
            document.offset((second,), of_key=True),
            f"a batch has one kind, but this one has {second!r} here and {first!r} "
            f"{document.place((first,), of_key=True)}; put them into two files",
        )
    elif kinds and keys[kinds[0]] is None:
        yield Problem(
            document.offset((kinds[0],), of_key=True),
            f"{kinds[0]} is empty; write its jobs, as `distribute template {kinds[0]}` shows",
        )
    elif not kinds and not any(
        key in JobsFile.elsewhere or nearest(key, KINDS) for key in islice(keys, _KEYS_LOOKED_AT)
    ):
        yield Problem(
            0, f"the batch has no kind; write one of {', '.join(KINDS)}, as `distribute template` shows"
        )


_BATCHES: Mapping[str, type[Section]] = {
    "python": PythonBatch,
    "command": CommandBatch,
    "apptainer": ApptainerBatch,
}


def _sweep_problems(document: Document) -> Iterator[Problem]:
    """A sweep and the pattern of its jobs belong together; without them, a batch lists its jobs."""
    file = _mapping(document.value)
    has_sweep = file.get("sweep") is not None
    for kind in KINDS:
        batch = file.get(kind)
        if not isinstance(batch, dict):
            continue
        known = _BATCHES[kind].known_keys()
        job, jobs = (known[key].examples or [""] for key in ("job", "jobs"))
        if has_sweep and batch.get("job") is None:
            yield Problem(
                document.offset(("sweep",), of_key=True),
                f"the sweep has no pattern of its jobs; write {kind}: {{job: {job[0]}}}",
            )
        elif batch.get("job") is not None and not has_sweep:
            yield Problem(
                document.offset((kind, "job"), of_key=True),
                "job is the pattern of a sweep's jobs, and there is no sweep; "
                "write sweep: {grid: {re: [100, 400]}}, or list the jobs: jobs",
            )
        elif batch.get("jobs") is None and batch.get("job") is None and not _are_misspelt(batch, known):
            yield Problem(
                document.offset((kind, "jobs")), f"{kind} needs the key 'jobs'; write jobs: {jobs[0]}"
            )


def _are_misspelt(batch: dict[str, Value], known: Collection[str]) -> bool:
    """Are the jobs there under a wrong name? Only that name is reported then."""
    unknown = (key for key in islice(batch, _KEYS_LOOKED_AT) if key not in known)
    return any(nearest(key, known) in {"jobs", "job"} for key in unknown)


def _too_many_needs(document: Document, jobs_file: JobsFile) -> Iterator[Problem]:
    for kind in KINDS:
        batch = getattr(jobs_file, kind)  # a wrong file may have none, or two
        jobs = (*batch.jobs, *filter(None, [jobs_file.finally_])) if batch is not None else ()
        needs = {(job.resources, job.retries) for job in jobs}
        if len(needs) > MAX_NEEDS:
            yield Problem(
                document.offset((kind, "jobs"), of_key=True),
                f"the jobs ask for {len(needs)} different resources and retries, but a batch may ask for "
                f"{MAX_NEEDS} at most; round them up, for example memory to whole gigabytes",
            )


class _Reference(NamedTuple):
    """A place that names a file. `job` is the index of the job that gets the file; None: all jobs get it.

    `is_input`: the jobs see it in ./input, as `name`. `times`: so many jobs have the list that names it, by
    aliases; `job` is the first. `ref` is that of a git checkout.
    """

    loc: Loc
    path: str
    name: str
    has_alias: bool
    job: int | None
    is_input: bool
    times: int = 1
    exclude: tuple[str, ...] = ()
    ref: str | None = None

    @property
    def key(self) -> TreeKey:
        """What names its tree, if it is one."""
        return TreeKey(self.path, self.exclude, self.ref)

    @property
    def named(self) -> Named:
        """The input, and its alias."""
        return Named(self.key, self.name if self.has_alias else None)

    @property
    def written(self) -> str:
        """How the path stands in the file."""
        return f"{self.path_key}: {quoted(self.path, LONGEST_QUOTED_PATH)}"

    @property
    def path_key(self) -> str:
        """The key that has the path, if there are keys."""
        return "path" if self.ref is None else "git"


def _named(reference: _Reference, files: InputFiles) -> _Reference:
    """A checkout is called as its folder on the disk, whatever path leads there."""
    if reference.ref is None or reference.has_alias:
        return reference
    return reference._replace(name=files.trees.name_of_checkout(reference.path))


def _references(kind: str, batch: dict[str, Value]) -> Iterator[_Reference]:
    initialize = _mapping(batch.get("initialize"))
    for key in ("build_file", "sif"):
        yield from _reference(initialize.get(key), (kind, "initialize", key), None, is_input=False)
    for index, file in enumerate(_items(initialize.get("required_files"))):
        yield from _reference(file, (kind, "initialize", "required_files", index), None, is_input=True)
    jobs = _items(batch.get("jobs"))
    lists = Counter(id(job.get("required_files")) for job in jobs if type(job) is dict)
    for number, job in enumerate(jobs):
        files = job.get("required_files") if type(job) is dict else None
        # What is wrong with a list is wrong wherever an alias repeats it.
        times = lists.pop(id(files), 0) if type(files) is list else 0
        yield from _references_of(job, (kind, "jobs", number), number, times)


def _references_of(job: Value, place: Loc, number: int, times: int = 1) -> Iterator[_Reference]:
    """The files of one job. `times`: so many jobs have its list of inputs; 0: that was looked at."""
    if type(job) is not dict:
        return
    if "file" in job:
        yield from _reference(job["file"], (*place, "file"), number, is_input=False)
    files = job.get("required_files")
    for index, file in enumerate(files if type(files) is list and times else []):
        yield from _reference(file, (*place, "required_files", index), number, is_input=True, times=times)


def _reference(
    value: Value, loc: Loc, job: int | None, *, is_input: bool, times: int = 1
) -> tuple[_Reference, ...]:
    if type(value) is str:
        return (_Reference(loc, value, own_name(value), False, job, is_input, times),) if value else ()
    if type(value) is not dict:
        return ()
    path, alias = value.get("path"), value.get("alias")
    ref = _git_ref(value) if is_input else None
    if ref is not None:
        git = value["git"]
        path = git.get("path") if type(git) is dict else git
    if not isinstance(path, str) or not path:
        return ()
    has_alias = isinstance(alias, str)
    name = alias if isinstance(alias, str) else own_name(path)
    exclude = _patterns(value.get("exclude"))
    return (_Reference(loc, path, name, has_alias, job, is_input, times, exclude, ref),)


def _git_ref(written: dict[str, Value]) -> str | None:
    """The ref of a git checkout. None: it is no checkout."""
    git = written.get("git")
    if git is None:
        return None
    refs = (git.get("ref") if type(git) is dict else None, written.get("ref"))
    return next((ref for ref in refs if isinstance(ref, str) and ref), HEAD)


def _patterns(exclude: Value) -> tuple[str, ...]:
    """The patterns that are texts: the models report the others."""
    return tuple(pattern for pattern in _items(exclude) if isinstance(pattern, str))


def double_names(document: Document, kind: str, jobs: list[Value]) -> Found:
    """Jobs with a name that another has, too."""
    found = Found()
    seen: dict[str, int] = {}
    for number, job in enumerate(jobs):
        name = job.get("name") if type(job) is dict else None
        if type(name) is str:
            first = seen.setdefault(name, number)
            if first != number:
                found.add(_double_name, document, kind, number, first, name)
    return found


def _double_name(document: Document, kind: str, number: int, first: int, name: str) -> Problem:
    other = document.place((kind, "jobs", first, "name"))
    text = f"two jobs are called {shown(name)}, here and {other}; rename one"
    return Problem(document.offset((kind, "jobs", number, "name")), text)


def _bad_files(document: Document, references: list[_Reference], files: InputFiles) -> Found:
    found = Found()
    # A thousand jobs may use a file: we report its problem once.
    first: dict[_Use, _Reference] = {}
    first_bare: dict[tuple[str, str], _Reference] = {}
    uses_after: dict[_Use, int] = {}
    for reference in references:
        use = reference.key, reference.is_input
        if first.setdefault(use, reference) is not reference:
            uses_after[use] = uses_after.get(use, 0) + reference.times
        if not reference.has_alias:
            first_bare.setdefault((reference.path, reference.name), reference)
    for use, reference in first.items():
        times = reference.times + uses_after.get(use, 0)
        for problem in files.problems_with(reference.key, is_input=reference.is_input):
            found.add(_bad_file, document, reference, problem, times)
    for reference in first_bare.values():
        if reference.is_input and reference.ref is None and files.trees.is_glob(reference.path):
            continue
        try:
            check_name(reference.name)
        except ValueError as error:
            text = f"{error}; add an alias: {{{reference.path_key}: PATH, alias: data}}"
            found.add(_file_problem, document, reference, text)
    return found


_Use = tuple[TreeKey, bool]
"""What names a tree or a file, and whether it is an input."""


def _bad_file(document: Document, reference: _Reference, words: Words, times: int) -> Problem:
    more = f" (used {times} times)" if times > 1 else ""
    return _file_problem(document, reference, f"{written(words)}{more}")


def _clashes(document: Document, references: list[_Reference], files: InputFiles) -> Found:
    """Different files of one list with the same name. A job's file may replace one of the batch's."""
    found = Found()
    seen: dict[str, list[_Reference]] = {}
    job = None
    for reference in references:
        if not reference.is_input:
            continue
        if reference.job != job:
            job, seen = reference.job, {}
        for name in files.names_of(*reference.named):
            others = seen.setdefault(name, [])
            for other in others:
                place = files.clash(other.named, reference.named, name)
                if place is not None:
                    without = files.without_clash(reference.named, other.named, place)
                    found.add(_clash, document, reference, other, place, without)
                    break
            else:
                others.append(reference)
    return found


def _hiding_results(document: Document, references: list[_Reference], files: InputFiles) -> Found:
    """Inputs of the job that runs last with the name of the folder in which it finds the results."""
    found = Found()
    for reference in references:
        if (
            reference.is_input
            and reference.job in (None, FINAL)
            and RESULTS in files.names_of(*reference.named)
        ):
            text = (
                f"./input/{RESULTS} is where the job of finally finds what the others left; "
                f"add an alias: {{{reference.path_key}: PATH, alias: data}}"
            )
            found.add(_file_problem, document, reference, text)
    return found


def _clash(document: Document, reference: _Reference, other: _Reference, place: str, without: str) -> Problem:
    inside = quoted(f"./input/{place}", LONGEST_QUOTED_PATH)
    alias = quoted(f"other-{place.partition('/')[0]}")
    text = (
        f"two files would become {inside}, here and {document.place(other.loc)}; "
        f"add an alias: {{{reference.written}, alias: {alias}}}{without}"
    )
    return _file_problem(document, reference, text)


def _file_problem(document: Document, reference: _Reference, text: str) -> Problem:
    return Problem(document.offset((*reference.loc, reference.path_key)), text)


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _items(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []
