"""What `run` prints: how each job ended, where the results are, and what is wrong with them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from distribute.client.words import printable
from distribute.config.sections.units import format_size
from distribute.core.files.manifest import STDOUT_NAME, Outside, build_output_name
from distribute.core.ids import BatchId
from distribute.core.words import counted, few, format_duration
from distribute.here import Begun, BuildFailed, JobEnded, Landed, News, Over, Printed, Stands, Warned
from distribute_cli.output.course import Progress, end_line
from distribute_cli.output.failures import plain
from distribute_cli.output.results import MOST_LINES, lost_warnings
from distribute_cli.output.words import MOST_FAILURES, exit_text

if TYPE_CHECKING:
    from distribute.client.documents import BatchWithJobs, JobDocument
    from distribute_cli.output.form import JobText, Output


class Shown:
    """Shows what happens to a batch that runs here."""

    def __init__(
        self, output: Output, batch: BatchId, jobs: int, progress: Progress | None, text: JobText | None
    ) -> None:
        """`jobs` is how many run. `text`: takes what the only one prints."""
        self.over: Over | None = None
        self._output = output
        self._batch = batch
        self._jobs = jobs
        self._progress = progress
        self._text = text

    def __call__(self, news: News) -> None:
        """Show this."""
        match news:
            case Warned():
                self._output.warn(printable(news.line))
            case Begun():
                if self._jobs > 1:  # the output of the only one follows
                    what = f"{counted(self._jobs, 'job')} of {printable(str(self._batch))}"
                    self._output.hint(f"running {what} on this computer")
            case Stands():
                if self._progress is not None:
                    self._progress.show(cast("BatchWithJobs", news.batch))
            case Printed():
                if self._text is not None:
                    self._text.write(base64.b64decode(news.base64))
            case JobEnded():
                self._show_lines(_end_of_job(news, printed=self._text is not None, alone=self._jobs == 1))
            case BuildFailed():
                lines = [] if self._text is not None else news.last_lines
                self._show_lines([f"the build failed: {printable(news.reason)}", *_quoted(lines)])
            case Over():
                self.over = news
            case _:
                pass  # failures are raised

    def _show_lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._output.hint(line)


def _end_of_job(ended: JobEnded, *, printed: bool, alone: bool) -> list[str]:
    """Lines about the end of an attempt. None about the success of the only job: the batch's says that."""
    name, after = printable(ended.job), f"after {_duration(ended.wall_s)}"
    if ended.succeeded:
        return [] if alone else [f"{name} succeeded {after}"]
    reason = printable(ended.reason or "")
    how = exit_text(cast("JobDocument", {"exit_code": ended.exit_code, "signal": ended.signal}))
    is_told = ended.signal is not None and reason == f"ended by {how}"
    how = f"exit {how}" if how.isdigit() else how if ended.signal is not None else ""
    why = ": ".join(part for part in (how, "" if is_told else reason) if part)
    again = f"; it runs again (attempt {ended.attempt + 1})" if ended.again else ""
    line = f"{name} {'was killed' if ended.killed else 'failed'} {after}{f' ({why})' if why else ''}{again}"
    return [line, *_quoted([] if printed else ended.last_lines)]


def _quoted(lines: Sequence[str]) -> list[str]:
    return [f"    {plain(line)}" for line in lines]


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else format_duration(round(seconds))


def tell_over(output: Output, batch: BatchId, over: Over, place: Path) -> int:
    """Say how a batch ended that ran here, and what is in its folder. Returns the exit code."""
    ended, landed = cast("BatchWithJobs", over.batch), Landed(**over.landed)
    failed = [job for job in ended["job_list"] if job["state"] == "failed"]
    outside = {job: Outside.model_validate_json(text) for job, text in landed.outside.items()}
    document = {**ended, "folder": str(place), **over.landed}
    output.done(end_line(batch, ended, failed[:MOST_FAILURES]), document | _parsed(landed))
    output.hint(_where(landed, place))
    for what, name in _failures(ended, failed):
        if (path := place / name).exists():  # what left no file and printed nothing has none
            output.hint(f"  what {printable(what)} printed: {printable(str(path))}")
    for line in (*lost_warnings(str(batch), landed.left_out, outside), *_local(landed)):
        output.warn(line)
    return 0 if ended["state"] == "completed" and not landed.problems else 1


def _failures(ended: BatchWithJobs, failed: Sequence[JobDocument]) -> Iterator[tuple[str, str]]:
    """The builds and the first jobs that failed, and where what they printed is in the batch's folder."""
    names = {job["job"] for job in ended["job_list"]}
    for node in ended["build_failed"]:
        yield "the build", build_output_name(ended["batch"], node, names.__contains__)
    begun = [job["job"] for job in failed if job["node"] is not None]
    for name in begun[:MOST_FAILURES] if len(names) > 1 else []:
        yield name, f"{name}/{STDOUT_NAME}"


def _parsed(landed: Landed) -> dict[str, Any]:
    """What JSON has otherwise than the program told it."""
    import orjson

    return {
        "left_out": [{"job": job, "text": text} for job, text in landed.left_out],
        "outside": {job: orjson.loads(text) for job, text in landed.outside.items()},
    }


def _where(landed: Landed, place: Path) -> str:
    if not landed.files:
        return "no results were left"
    files = f"{counted(landed.files, 'file')} ({format_size(landed.size_bytes)})"
    return f"results: {files} in {printable(str(place))}"


def _local(landed: Landed) -> Iterator[str]:
    if landed.edited:
        yield f"changed here meanwhile, so kept: {few(landed.edited)}"
        yield f"the job's are in {few(landed.beside)}"
    yield from map(printable, landed.problems[:MOST_LINES])
    if (more := len(landed.problems) - MOST_LINES) > 0:
        yield f"and {counted(more, 'more problem')}: --json names all"
    if landed.rescued is not None:
        yield f"all results, also those that could not be written, are in {printable(landed.rescued)}"
