"""Finds every `signal_before` of a file that could warn of nothing, or only when it is too late.

It works on the raw values, so it finds them whatever else is wrong. A value that is itself wrong is reported
elsewhere, and here nothing depends on it.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache
from typing import TypeAlias, TypeVar

from pydantic import TypeAdapter, ValidationError

from distribute.config.sections.jobs_file import KINDS, JobEntry, Meta
from distribute.config.sections.needs_sections import SignalBefore
from distribute.config.sections.problems import shown
from distribute.config.sections.section import Duration, Section
from distribute.config.sections.written_jobs import FINALLY, jobs_of
from distribute.config.yaml.yaml_source import Document, Loc, Value
from distribute.config.yaml.yaml_syntax import Found, Problem
from distribute.core.words import format_duration


class _Wrong(Enum):
    """Stands for a value that can't be read."""

    WRONG = auto()


T = TypeVar("T")
_Read: TypeAlias = T | _Wrong | None

_WARNING: TypeAdapter[SignalBefore] = TypeAdapter(SignalBefore)
_TIMEOUT: TypeAdapter[float] = TypeAdapter(Duration)
_OF_ALL: Loc = ("meta", "signal_before")
_OF_A_KIND = {"file", "args", "command"}
"""Keys of jobs that not every kind has."""


def vain_warnings(document: Document) -> Found:
    """Each problem once: where a job makes it, or in `meta` if it is one of many jobs."""
    file = document.value if isinstance(document.value, dict) else {}
    meta, found = file.get("meta"), Found()
    inherited, of_all_s = _read(_WARNING, meta, "signal_before"), _read(_TIMEOUT, meta, "timeout")
    match inherited, of_all_s:
        case SignalBefore(before_s=before_s), float() if before_s >= of_all_s:
            found.add(_late, document, _OF_ALL, inherited, of_all_s)
            inherited = None
    untimed: list[str] = []
    jobs = (job for kind in KINDS for job in jobs_of(kind, file.get(kind)))
    last: list[tuple[Loc, Value]] = [((FINALLY,), file[FINALLY])] if file.get(FINALLY) is not None else []
    for loc, job in (*jobs, *last) if last else jobs:
        own, timeout_s = _read(_WARNING, job, "signal_before"), _read(_TIMEOUT, job, "timeout")
        warning = inherited if own is None else own
        timeout_s = of_all_s if timeout_s is None else timeout_s
        if not isinstance(warning, SignalBefore) or isinstance(timeout_s, _Wrong):
            continue
        place: Loc = (*loc, "timeout" if own is None else "signal_before")
        if timeout_s is not None and warning.before_s >= timeout_s:
            found.add(_late, document, place, warning, timeout_s)
        elif timeout_s is not None or _may_be_misspelt(meta, Meta) or _may_be_misspelt(job, JobEntry):
            continue
        elif own is None:
            untimed.append(_called(loc, job))
        else:
            found.add(_untimed, document, place, [_called(loc, job)])
    if untimed:
        found.add(_untimed, document, _OF_ALL, untimed)
    return found


def _may_be_misspelt(section: Value, model: type[Section]) -> bool:
    """May the section have a timeout under a wrong name? Only that name is reported then."""
    known = model.known_keys().keys() | _OF_A_KIND
    return isinstance(section, dict) and not section.keys() <= known


def _read(adapter: TypeAdapter[T], section: Value, key: str) -> _Read[T]:
    """The value of a key; None: it is not there."""
    written = section.get(key) if isinstance(section, dict) else None
    if written is None:
        return None
    if isinstance(written, str):
        return _read_text(adapter, written)
    return _validated(adapter, written)


def _validated(adapter: TypeAdapter[T], written: Value) -> T | _Wrong:
    try:
        return adapter.validate_python(written)
    except ValidationError:
        return _Wrong.WRONG


_read_text = lru_cache(maxsize=1 << 10)(_validated)  # the same few are in every job


def _called(loc: Loc, job: Value) -> str:
    if loc[-1] == "job":
        return "each job of the sweep"
    name = job.get("name") if isinstance(job, dict) else None
    if name is None and loc[-1] == FINALLY:
        name = FINALLY
    return f"the job {shown(name if isinstance(name, str) else '')}"


def _untimed(document: Document, place: Loc, jobs: list[str]) -> Problem:
    more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    whose = f"{jobs[0]}{more} {'have' if more else 'has'}"
    return Problem(document.offset(place), untimed(whose))


def untimed(whose: str) -> str:
    """The words for a warning without a timeout. `whose` it is: `the job 'a' has`."""
    return f"signal_before: {whose} no timeout; write one in the job or in meta, such as timeout: 2h"


def _late(document: Document, place: Loc, warning: SignalBefore, timeout_s: float) -> Problem:
    return Problem(document.offset(place), late(warning.before_s, timeout_s))


def late(before_s: float, timeout_s: float) -> str:
    """The words for a warning that would come when its job has not begun."""
    before, timeout = format_duration(before_s), format_duration(timeout_s)
    return f"signal_before: {before} is not less than the timeout of {timeout}; write fewer seconds"
