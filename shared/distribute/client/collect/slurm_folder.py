"""Read a folder that `distribute slurm` wrote, once its jobs ran: how each ended, and where its results are.

The folder comes from another computer. So everything that is read of it has a bound, and nothing is followed
out of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from distribute.client.collect.folder_files import is_file, is_folder_in, read_bounded
from distribute.client.collect.run import Built, Ended, Left, Run
from distribute.client.collect.slurm_accounting import BY_SLURM, Record, read_accounting
from distribute.client.collect.slurm_inputs import inputs_in
from distribute.client.collect.slurm_problems import ACCOUNTING, Problems
from distribute.client.words import argument, printable
from distribute.codec import MAX_EVENT_BYTES
from distribute.core.errors import InputError
from distribute.core.files.manifest import STDOUT_NAME, is_build_output_name
from distribute.core.ids import MAX_AUTHOR_BYTES, StoredAuthor, check_author
from distribute.core.log.event_base import Text, Time
from distribute.core.log.events import RanAt
from distribute.core.spec.recipe import SAVE
from distribute.core.spec.specs import BatchSpec

DESCRIPTION = "batch.json"
MAX_ACCOUNTING_BYTES = 256 << 20
"""Measured: what sacct says of one job with its two steps has 300 bytes, so 100,000 jobs have 30 MB."""
MAX_STATE_BYTES = 64 << 10
NEVER_THERE = "slurm"
"""The node of a job that never got one."""
BUILD_FAILED = "the build of its batch failed"
UNSEEN = "nothing tells how it ended"

_ID = re.compile(r"[0-9]{1,19}(?:_[0-9]{1,19})?", re.ASCII)
_SIGNALS = 128


class _Description(BaseModel):
    """`batch.json`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    v: Literal[1]
    id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{8,64}$")]
    spec: BatchSpec


class _State(BaseModel):
    """`state/N.json`: how a job ended, by its script."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    exit_code: int | None = Field(default=None, ge=0, le=255)
    signal: int | None = Field(default=None, ge=1, le=255)
    reason: Text | None = None
    started_at: Time | None = None
    finished_at: Time
    node: StoredAuthor
    left: bool = True
    """False: it printed nothing and left nothing, so its folder is empty."""

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0 and self.signal is None

    @property
    def wall_s(self) -> float:
        return max(0.0, (self.finished_at - self.started_at).total_seconds()) if self.started_at else 0.0

    @property
    def why(self) -> str | None:
        """The reason of a failure, as an event of a build has it, which has no other field for it."""
        if self.succeeded or self.reason is not None:
            return self.reason
        return f"signal {self.signal}" if self.signal is not None else f"exit code {self.exit_code}"


class _Job(NamedTuple):
    number: int
    name: str


def read_slurm_folder(folder: Path, now: datetime, *, missing_as_failed: bool = False) -> Run:
    """What the folder says of its batch. Blocks while it reads two small files a job.

    Args:
        folder: as it came back from the cluster.
        now: the time, for what has none.
        missing_as_failed: a job has failed if nothing tells how it ended.

    Raises:
        InputError: it is no such folder, or some job is not over, or it is not whole. One line a problem.
    """
    text = read_bounded(folder / DESCRIPTION, MAX_EVENT_BYTES)
    shown = argument(str(folder))
    if text is None:
        raise InputError(
            f"{shown}: is not a folder that `distribute slurm` wrote: it has no {DESCRIPTION}; "
            "name the folder that came back from the cluster"
        )
    spec = _description(folder, text).spec
    records = _read_accounting(folder)
    problems = Problems(has_state=is_folder_in(folder, "state"), has_accounting=records is not None)
    reader = _Reader(folder, spec, records or {}, now, problems, missing_as_failed)
    ended = reader.read()
    problems.refuse(shown, len(spec.work.jobs))
    inputs = inputs_in(folder, spec)
    return Run(
        spec=spec,
        ran_at=RanAt(system="slurm", folder=hashlib.sha256(text).hexdigest()),
        ended=[one for one in ended if one is not None],
        sources=inputs.sources,
        missing=inputs.missing,
        built=reader.built,
    )


def _description(folder: Path, text: bytes) -> _Description:
    name = printable(str(folder / DESCRIPTION))
    try:
        return _Description.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["loc"] == ("v",) and first["type"] == "literal_error":
            raise InputError(
                f"{name}: another version of distribute wrote it: collect it with that one"
            ) from None
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{name}: is damaged, or was changed: {printable(where)}: {first['msg']}; "
            "use the folder as it was written"
        ) from None


def _read_accounting(folder: Path) -> Mapping[str, Record] | None:
    text = read_bounded(folder / ACCOUNTING, MAX_ACCOUNTING_BYTES)
    if not text:
        return None  # nobody asked, or nothing was scheduled by then
    try:
        return read_accounting(text.decode(errors="replace").split("\n"))
    except ValueError as error:
        raise InputError(
            f"{printable(str(folder / ACCOUNTING))}: is not what sacct writes: {error}; run "
            "`sh rsync_download.sh` again"
        ) from None


class _Reader:
    """Reads the jobs of a folder."""

    def __init__(
        self,
        folder: Path,
        spec: BatchSpec,
        records: Mapping[str, Record],
        now: datetime,
        problems: Problems,
        missing_as_failed: bool,
    ) -> None:
        self._folder = folder
        self._spec = spec
        self._records = records
        self._now = now
        self._problems = problems
        self._missing_as_failed = missing_as_failed
        self.built = self._build() if spec.needs_build else None
        """How the build ended, if something tells of it."""
        self._build_failed = self.built is not None and not self.built.succeeded

    def read(self) -> list[Ended | None]:
        """How each job ended, in order; None where `problems` say why that is not known."""
        if not self._problems.has_state:
            return []
        return [self._job(_Job(*job)) for job in enumerate(job.name for job in self._spec.work.jobs)]

    def _build(self) -> Built | None:
        """How the build ended. None: nothing tells of it."""
        state, slurm_id = self._state("build"), self._id("build")
        if state is not None:
            has_run = state.exit_code is not None or state.signal is not None
            printed = self._kept_of_build(state.node) if has_run else self._unkept_of_build()
            return Built(state.node, state.succeeded, state.why, state.wall_s, printed)
        record = self._record(slurm_id)
        if record is None or not record.is_over or record.state == "COMPLETED":
            return None
        return Built(_node(record.node), False, record.why, record.wall_s, self._unkept_of_build())

    def _kept_of_build(self, node: str) -> Path | None:
        """The file with what the build printed. Its script chose a name that no job has."""
        batch = self._spec.batch
        folder = self._folder / "results" / batch
        found = folder.glob("*build_output*") if is_folder_in(self._folder, "results", batch) else ()
        for path in found:
            if is_build_output_name(path.name, batch, node) and is_file(path):
                return path
        self._problems.wrong.append(
            f"{printable(str(folder))}: lacks what the build printed, which has ended: the copy is not "
            "complete; run `sh rsync_download.sh` again"
        )
        return None

    def _unkept_of_build(self) -> Path | None:
        """What the build printed whose script could not keep that."""
        printed = self._folder / "running" / "build" / STDOUT_NAME
        return printed if is_folder_in(self._folder, "running", "build") and is_file(printed) else None

    def _job(self, job: _Job) -> Ended | None:
        state = self._state(str(job.number))
        slurm_id = self._id(str(job.number))
        record = self._record(slurm_id)
        if state is not None:
            return self._told(job, state, record)
        if slurm_id is None:
            self._problems.unscheduled.append(job.name)
        elif record is not None and record.is_over:
            return self._ended_by_slurm(job, record)
        elif self._build_failed and (record is None or record.state == "PENDING"):
            return self._ended_unseen(job, BUILD_FAILED)  # it waits for the build, and SLURM will cancel it
        elif record is not None:
            self._problems.going_on.append(job.name)
        elif self._missing_as_failed:
            return self._ended_unseen(job, UNSEEN)
        else:
            self._problems.unknown.append(job.name)
        return None

    def _state(self, name: str) -> _State | None:
        path = self._folder / "state" / f"{name}.json"
        try:
            text = read_bounded(path, MAX_STATE_BYTES)
            return _State.model_validate_json(text) if text is not None else None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            self._problems.wrong.append(f"{printable(str(path))}: is damaged: {where}: {first['msg']}")
        except InputError as error:
            self._problems.wrong += error.problems
        return None

    def _id(self, name: str) -> str | None:
        path = self._folder / "state" / f"{name}.id"
        try:
            text = read_bounded(path, MAX_STATE_BYTES)
        except InputError as error:
            self._problems.wrong += error.problems
            return None
        if text is None:
            return None
        found = text.decode(errors="replace").strip()
        if _ID.fullmatch(found) is None:
            self._problems.wrong.append(f"{printable(str(path))}: holds no id of a SLURM job")
            return None
        return found

    def _record(self, slurm_id: str | None) -> Record | None:
        """What SLURM's accounting says of one of its jobs."""
        return self._records.get(slurm_id) if slurm_id is not None else None

    def _told(self, job: _Job, state: _State, record: Record | None) -> Ended | None:
        """The end of a job whose script said how it ended."""
        left = self._kept(job, state)
        if left is None and (state.exit_code is not None or state.signal is not None):
            self._problems.lacking.append(job.name)
            return None
        end: Literal["succeeded", "failed", "killed"] = "succeeded" if state.succeeded else "failed"
        reason = state.reason
        if record is not None and record.state in BY_SLURM and not state.succeeded:
            end, reason = record.end, record.why
        return Ended(
            state=end,
            node=state.node,
            ended_at=state.finished_at,
            started_at=state.started_at,
            exit_code=state.exit_code,
            signal=state.signal,
            reason=reason,
            wall_s=state.wall_s,
            cpu_s=record.cpu_s if record is not None else 0.0,
            max_rss_bytes=record.max_rss_bytes if record is not None else 0,
            left=left,
        )

    def _ended_by_slurm(self, job: _Job, record: Record) -> Ended | None:
        """The end of a job that SLURM ended before its script could say anything."""
        if record.state == "COMPLETED":
            self._problems.lacking.append(job.name)
            return None
        state, why = record.end, record.why
        # A job that never ran has no node; some SLURMs give it the time of its end as that of its start.
        started_at = record.started_at if record.node is not None else None
        if self._build_failed and started_at is None:
            state, why = "failed", BUILD_FAILED
        return Ended(
            state=state,
            node=_node(record.node),
            ended_at=record.ended_at or record.started_at or self._now,
            started_at=started_at,
            exit_code=record.exit_code or None,
            signal=record.signal,
            reason=why,
            wall_s=record.wall_s,
            cpu_s=record.cpu_s,
            max_rss_bytes=record.max_rss_bytes,
            left=self._unkept(job),
        )

    def _ended_unseen(self, job: _Job, why: str) -> Ended:
        """The end of a job that neither its script nor SLURM's accounting tells of."""
        return Ended("failed", NEVER_THERE, self._now, reason=why, left=self._unkept(job))

    def _kept(self, job: _Job, state: _State) -> Left | None:
        """What a job left whose script said how it ended. If it could not be started, nothing was kept."""
        if (folder := self._results(job, is_empty=not state.left)) is not None:
            return Left(folder)
        never_ran = state.exit_code is None and state.signal is None
        return self._unkept(job) if never_ran else None

    def _results(self, job: _Job, *, is_empty: bool = False) -> Path | None:
        """The folder of a job's results. None: it is not there, or not whole.

        `is_empty`: there is nothing in it, not even what the job printed.
        """
        names = ("results", self._spec.batch, job.name)
        folder = self._folder.joinpath(*names)
        if not is_folder_in(self._folder, *names):
            return None
        is_whole = is_file(folder / STDOUT_NAME) or (is_empty and not any(folder.iterdir()))
        return folder if is_whole else None

    def _unkept(self, job: _Job) -> Left | None:
        """What lies in a job's working folder: SLURM ended its script before that could keep it."""
        if (folder := self._results(job)) is not None:
            return Left(folder)
        names = ("running", str(job.number))
        if not is_folder_in(self._folder, *names):
            return None
        work = self._folder.joinpath(*names)
        save = work / "job" / SAVE
        return Left(save, work / STDOUT_NAME)


def _node(name: str | None) -> str:
    """The name of the computer that a job had there, as an event can have it."""
    if name is None:
        return NEVER_THERE
    try:
        return check_author(name.encode()[:MAX_AUTHOR_BYTES].decode(errors="ignore"))
    except ValueError:
        return NEVER_THERE
