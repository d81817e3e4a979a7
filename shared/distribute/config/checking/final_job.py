"""What is wrong with the job that runs when all others are over, as a file says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from distribute.config.sections.jobs_file import KINDS, ApptainerJob, CommandJob, FinalJob, Kind, PythonJob
from distribute.config.sections.problems import shown
from distribute.config.sections.section import Section
from distribute.config.sections.written_jobs import FINALLY
from distribute.config.yaml.yaml_source import Document, Loc, Value
from distribute.config.yaml.yaml_syntax import Problem

FINAL = -1
"""Its number among the jobs of a file, where they have numbers."""

_JOBS: Mapping[Kind, type[Section]] = {"python": PythonJob, "command": CommandJob, "apptainer": ApptainerJob}


def final_problems(document: Document) -> Iterator[Problem]:
    """Whether it suits the batch's kind, and what its name clashes with."""
    file = document.value if isinstance(document.value, dict) else {}
    final = file.get(FINALLY)
    kind = next((kind for kind in KINDS if isinstance(file.get(kind), dict)), None)
    if isinstance(final, list):
        yield _problem(document, (FINALLY,), "finally takes one job, not a list: one job runs last")
    if kind is None or not isinstance(final, dict):
        return
    batch = file[kind]
    assert isinstance(batch, dict), "a kind was chosen that is a mapping"
    known, of_kind = FinalJob.known_keys(), _JOBS[kind].known_keys()
    for key in final:
        if key in known and key not in of_kind:
            yield _problem(
                document,
                (FINALLY, key),
                f"finally has no key {shown(key)} in a batch of {kind}; it may have {', '.join(of_kind)}",
                of_key=True,
            )
    for key, field in of_kind.items():
        if key != "name" and field.is_required() and final.get(key) is None:
            (example,) = known[key].examples or ("…",)
            advice = f"{key}: {example}"
            yield _problem(
                document, (FINALLY,), f"finally needs the key {key!r}; write {advice}", of_key=True
            )
    yield from _taken(document, kind, batch, final)


def _taken(
    document: Document, kind: str, batch: Mapping[str, Value], final: Mapping[str, Value]
) -> Iterator[Problem]:
    """Another job with its name."""
    name = final.get("name") or FINALLY
    jobs = batch.get("jobs")
    for number, job in enumerate(jobs if isinstance(jobs, list) else ()):
        if isinstance(job, dict) and job.get("name") == name:
            other = document.place((kind, "jobs", number, "name"))
            place: Loc = (FINALLY, "name") if "name" in final else (FINALLY,)
            text = (
                f"two jobs are called {shown(name)}, here and {other}; name this one: finally: {{name: plot}}"
            )
            yield _problem(document, place, text)
            return


def _problem(document: Document, loc: Loc, text: str, *, of_key: bool = False) -> Problem:
    return Problem(document.offset(loc, of_key=of_key), text)
