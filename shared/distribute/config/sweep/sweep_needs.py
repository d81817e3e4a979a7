"""What the jobs of a sweep need: the values of their pattern, filled for each point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from distribute.config.checking.warnings_before import late, untimed
from distribute.config.sections.jobs_file import JobNeeds, JobPattern, JobsFile
from distribute.config.sections.needs import Needs, needs_of, signal_before_of
from distribute.config.sections.placeholders import may_have_placeholders
from distribute.config.sections.problems import validate
from distribute.config.sections.slurm_section import Slurm
from distribute.config.sections.values import Values
from distribute.config.sweep.sweep_pattern import Pattern
from distribute.config.yaml.yaml_source import Loc
from distribute.core.spec.specs import MAX_NEEDS
from distribute.sweeps import Point, SweepError

_KEYS = frozenset(JobNeeds.model_fields) - {"env"}
_KEPT = 1024
"""The needs of so many points are remembered. Most points need what one before them needed."""


class NeedError(SweepError):
    """A job of a sweep would need what no job can. `place` is where that stands in the document."""

    def __init__(self, problem: str, place: Loc) -> None:
        super().__init__(problem)
        self.place = place


class FilledNeeds(NamedTuple):
    """What a job of a sweep needs, and its options of sbatch."""

    needs: Needs
    slurm: Slurm | None


class SweptNeeds:
    """Fills `resources`, `timeout` and the other needs of a pattern.

    `pattern` takes note of the texts with placeholders, and of what is wrong with them.
    """

    def __init__(self, jobs_file: JobsFile, written: JobPattern, pattern: Pattern) -> None:
        self._meta = jobs_file.meta
        self._place = pattern.place
        self._values = written.model_dump(by_alias=True, include=set(_KEYS), exclude_defaults=True)
        self._templates = {
            loc: pattern.template(text, (*self._place, *loc)) for loc, text in _texts(self._values)
        }
        listed = [*jobs_file.work.jobs, *filter(None, [jobs_file.finally_])]
        self._different = {(needs["resources"], needs["retries"]) for needs in map(needs_of, listed)}
        self._of_texts = lru_cache(maxsize=_KEPT)(self._checked)

    def fill(self, point: Point) -> FilledNeeds:
        """What the job of a point needs.

        Raises:
            NeedError: a value is none that a job can have, or a batch can't have so many different ones.
            SweepError: a value of the point does not suit its format.
        """
        return self._of_texts(tuple([template.fill(point) for template in self._templates.values()]))

    def _checked(self, texts: tuple[str, ...]) -> FilledNeeds:
        filled = dict(zip(self._templates, texts, strict=True))
        document = Values(_replaced(self._values, (), filled), "")
        job, found = validate(document, JobNeeds)
        if job is None:
            problem = found.problems[0]
            raise NeedError(problem.words, (*self._place, *document.loc(problem)))
        needs = needs_of(job)
        self._check_warning(needs)
        self._different.add((needs["resources"], needs["retries"]))
        if len(self._different) > MAX_NEEDS:
            raise NeedError(
                f"the jobs ask for more than {MAX_NEEDS} different resources and retries, the most that a "
                "batch may have; round them up, for example memory to whole gigabytes",
                (*self._place, "resources"),
            )
        return FilledNeeds(needs, job.slurm)

    def _check_warning(self, needs: Needs) -> None:
        """A job can be warned only before a timeout. `check` has looked at values without placeholders."""
        warning = needs["signal_before"] or signal_before_of(self._meta.signal_before)
        timeout_s = needs["timeout_s"] or self._meta.timeout_s
        key = "timeout" if needs["signal_before"] is None else "signal_before"
        if warning is None or (timeout_s is not None and warning.before_s < timeout_s):
            return
        why = untimed("it has") if timeout_s is None else late(warning.before_s, timeout_s)
        raise NeedError(why, (*self._place, key))


def _texts(values: Mapping[str, Any]) -> Iterator[tuple[Loc, str]]:
    """The texts that may have placeholders, with the keys that lead to them."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from (((key, *loc), text) for loc, text in _texts(value))
        elif isinstance(value, str) and may_have_placeholders(value):
            yield (key,), value


def _replaced(value: Any, loc: Loc, texts: Mapping[Loc, str]) -> Any:
    """The values, with these texts in their places."""
    if isinstance(value, dict):
        return {key: _replaced(inner, (*loc, key), texts) for key, inner in value.items()}
    return texts.get(loc, value)
