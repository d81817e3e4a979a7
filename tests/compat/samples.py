"""One event of each type with every field filled, from which samples are made."""

from datetime import UTC, datetime
from typing import Any

from distribute.core.files.manifest import (
    Manifest,
    Outputs,
    Outside,
    OutsideFile,
    StoredFile,
    StoredFolder,
    StoredLink,
    StoredObject,
)
from distribute.core.ids import AttemptId
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.spec.specs import (
    After,
    ApptainerWork,
    BatchSpec,
    CommandWork,
    GpuKind,
    PythonWork,
    Resources,
    SignalBefore,
)

from .works import (
    APPTAINER,
    BATCH,
    COMMANDS,
    COMMIT,
    DIGEST,
    FOLDERS,
    MANY,
    MTIME_NS,
    PACKED,
    PYTHON,
    SPEC,
    SWEPT,
    UNBUILT,
    WITH_ATTRIBUTES,
    sample_folder,
)

WHEN = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=UTC)
SUBMISSION = "01BX5ZZKBKACTAV9WEVGEMMVS0"
INCARNATION = "01BX5ZZKBKACTAV9WEVGEMMVRZ"
OF_SUBMISSION = {**BATCH, "submission": SUBMISSION}
KEPT = (AttemptId("größe", "sweep 3", "re=100*", 2),)
ATTEMPT = {**BATCH, "job": "re=100*", "attempt": 2, "node": "ws07"}


def _by(author: str) -> dict[str, Any]:
    return {
        "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "time": WHEN,
        "author": author,
        "causation": "01BX5ZZKBKACTAV9WEVGEMMVRY",
    }


_OBJECT = StoredObject(name="größe/sweep 3/re=100*/2/0", nuid="k1", size_bytes=9, chunks=1, sha256=DIGEST)
_LATER = (
    StoredFile(
        path="x.bam.bai", size_bytes=9, sha256=DIGEST, mode=0o640, mtime_ns=MTIME_NS, object=0, offset=3
    ),
)
"""Fields that entries have since a later layout."""
_WITH_OUTSIDE = Outputs(
    inline=Manifest(entries=_LATER),
    left_out=3,
    outside=Outside(
        files=7,
        size_bytes=1 << 30,
        largest=(OutsideFile(path="größe/u.dat", size_bytes=1 << 29),),
        is_part=True,
    ),
)

OUTPUTS = Outputs(
    inline=Manifest(
        entries=(
            StoredFile(path="stdout.txt", size_bytes=9, sha256=DIGEST, executable=True, object=0, offset=3),
            StoredFile(path="caf\ufffd", raw_path="Y2Fm6Q==", size_bytes=0, sha256=DIGEST),
            StoredLink(path="latest", target="run/9"),
            StoredFolder(path="run"),
        ),
        objects=(_OBJECT,),
        left_out=("socket: not a file",),
    ),
    stored=_OBJECT,
    objects=1,
    files=2,
    size_bytes=9,
)


def _submitted(work: CommandWork | PythonWork | ApptainerWork, **fields: Any) -> ev.Submitted:
    return ev.Submitted(**_by("jane"), **BATCH, user="jane", spec=BatchSpec(**SPEC | fields, work=work))


SAMPLES: dict[str, Event] = {
    "submitted": _submitted(COMMANDS),
    "submitted-python": _submitted(PYTHON),
    "submitted-apptainer": _submitted(APPTAINER),
    "submitted-attributes": _submitted(WITH_ATTRIBUTES),
    "submitted-notify": _submitted(COMMANDS, notify=("start", "first_failure")),
    "submitted-build_timeout_s": _submitted(COMMANDS, build_timeout_s=600.0),
    "submitted-packed": _submitted(PACKED),
    "submitted-git": _submitted(FOLDERS, folders=(sample_folder("code").model_copy(update={"git": COMMIT}),)),
    "submitted-folders": _submitted(FOLDERS, folders=(sample_folder(None, "data/**/*.dat"),)),
    "submitted-gpu_kind": _submitted(
        COMMANDS,
        resources=Resources(cpus=4, gpus=2, gpu_kind=GpuKind(memory_bytes=20 << 30, model="RTX.*")),
    ),
    "submitted-ending": _submitted(
        COMMANDS, grace_s=30.0, signal_before=SignalBefore(signal="USR1", before_s=120.0)
    ),
    "submitted-setup": _submitted(
        PYTHON, setup=("module load gcc/13", "export MODE='a b'"), shell=("/bin/bash", "-l")
    ),
    "submitted-args": _submitted(UNBUILT),
    "submitted-parameters": _submitted(SWEPT),
    "submitted-after": _submitted(
        COMMANDS,
        after=(After(namespace="größe", batch="mesh", submission=SUBMISSION, when="any"),),
    ),
    "submitted-limits": _submitted(COMMANDS, max_running=20, max_failures=5, not_before=WHEN),
    "submitted-last_job": _submitted(COMMANDS, last_job=COMMANDS.jobs[-1].name),
    "submitted-rebuild": _submitted(COMMANDS, rebuild="always"),
    "submitted-ran_at": _submitted(COMMANDS).model_copy(
        update={"ran_at": ev.RanAt(system="slurm", folder=DIGEST)}
    ),
    "submitted-replaces": _submitted(
        COMMANDS.model_copy(update={"jobs": (COMMANDS.jobs[0].model_copy(update={"kept": True}),)})
    ).model_copy(update={"replaces": SUBMISSION}),
    "submitted-compressed": _submitted(MANY),
    "submitted-blocks": _submitted(MANY),
    "kill_requested": ev.KillRequested(**_by("jane"), **OF_SUBMISSION, job="re=100*"),
    "kill_requested-discard": ev.KillRequested(**_by("jane"), **OF_SUBMISSION, state="queued", discard=True),
    "retry_requested": ev.RetryRequested(**_by("jane"), **OF_SUBMISSION, failed_only=True),
    "retry_requested-jobs": ev.RetryRequested(
        **_by("jane"), **OF_SUBMISSION, killed_only=True, jobs=("re=100*", "größe")
    ),
    "retry_requested-hold": ev.RetryRequested(**_by("jane"), **OF_SUBMISSION, hold=True),
    "reprioritized": ev.Reprioritized(**_by("jane"), **OF_SUBMISSION, priority=100),
    "held": ev.Held(**_by("jane"), **OF_SUBMISSION, reason="the mesh is wrong"),
    "hold_released": ev.HoldReleased(**_by("jane"), **OF_SUBMISSION),
    "edited": ev.Edited(
        **_by("jane"),
        **OF_SUBMISSION,
        cpus=8,
        memory_bytes=16 << 30,
        gpus=1,
        timeout_s=7200.0,
        retries=2,
        max_running=20,
        max_failures=0,
    ),
    "edited-jobs": ev.Edited(**_by("jane"), **OF_SUBMISSION, jobs=("re=100*",), timeout_s=0.0),
    "move_requested": ev.MoveRequested(**_by("jane"), **OF_SUBMISSION, job="re=100*", attempt=2),
    "completed": ev.Completed(
        **_by(ev.SCHEDULER), **OF_SUBMISSION, state="failed", reason="the build failed"
    ),
    "batch_archived": ev.BatchArchived(**_by(ev.SCHEDULER), **OF_SUBMISSION),
    "compacted": ev.Compacted(
        **_by(ev.ARCHIVER),
        **OF_SUBMISSION,
        by="jane",
        archive="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        events=412,
        first_seq=17,
        last_seq=5120,
    ),
    "deleted": ev.Deleted(**_by("jane"), **OF_SUBMISSION),
    "notified": ev.Notified(
        **_by(ev.NOTIFIER),
        **OF_SUBMISSION,
        news="first_failure",
        channel="matrix",
        to="@größe:example.org",
        key="5f6c1c1b0a7b4f3d9f3e2d1c0b9a8f7e",
        summary="0e1d2c3b4a5968778695a4b3c2d1e0f9",
        refused="there is no such user",
    ),
    "assigned": ev.Assigned(
        **_by(ev.SCHEDULER),
        **ATTEMPT,
        cpus=4,
        memory_bytes=8 << 30,
        gpus=(0, 3),
        submission=SUBMISSION,
        submitted_seq=1234,
    ),
    "assigned-limited": ev.Assigned(
        **_by(ev.SCHEDULER),
        **ATTEMPT,
        cpus=4,
        submission=SUBMISSION,
        submitted_seq=1234,
        limited=True,
    ),
    "assigned-last": ev.Assigned(
        **_by(ev.SCHEDULER),
        **ATTEMPT,
        cpus=4,
        submission=SUBMISSION,
        submitted_seq=1234,
        last=True,
    ),
    "assigned-timeout_s": ev.Assigned(
        **_by(ev.SCHEDULER), **ATTEMPT, cpus=4, submission=SUBMISSION, submitted_seq=1234, timeout_s=7200.0
    ),
    "assigned-beside": ev.Assigned(**_by(ev.SCHEDULER), **ATTEMPT, cpus=4, beside=(SUBMISSION,)),
    "claimed": ev.Claimed(**_by("ws07"), **ATTEMPT),
    "started": ev.Started(**_by("ws07"), **ATTEMPT),
    "finished": ev.Finished(
        **_by("ws07"),
        **ATTEMPT,
        succeeded=False,
        exit_code=3,
        signal=9,
        reason="out of memory",
        wall_s=61.25,
        cpu_s=240.5,
        paused_s=3.75,
        max_rss_bytes=1 << 34,
        outputs=OUTPUTS,
    ),
    "finished-started_at": ev.Finished(
        **_by("ws07"), **ATTEMPT, succeeded=True, exit_code=0, started_at=WHEN, wall_s=0.05
    ),
    "finished-ended_at": ev.Finished(
        **_by("ws07"), **ATTEMPT, succeeded=True, exit_code=0, started_at=WHEN, ended_at=WHEN, wall_s=0.05
    ),
    "finished-last_lines": ev.Finished(
        **_by("ws07"),
        **ATTEMPT,
        succeeded=False,
        exit_code=1,
        last_lines=('  File "job.py", line 3', "ValueError: größe"),
    ),
    "finished-attributes": ev.Finished(
        **_by("ws07"),
        **ATTEMPT,
        succeeded=True,
        outputs=Outputs(inline=Manifest(entries=_LATER)),
    ),
    "finished-raw_target": ev.Finished(
        **_by("ws07"),
        **ATTEMPT,
        succeeded=True,
        outputs=Outputs(
            inline=Manifest(entries=(StoredLink(path="latest", target="run/?", raw_target="cnVuL/8="),))
        ),
    ),
    "finished-outside": ev.Finished(**_by("ws07"), **ATTEMPT, succeeded=True, outputs=_WITH_OUTSIDE),
    "yielded": ev.Yielded(**_by("ws07"), **ATTEMPT, reason="its owner works"),
    "yielded-outputs": ev.Yielded(**_by("ws07"), **ATTEMPT, reason="its owner works", outputs=OUTPUTS),
    "collected": ev.Collected(
        **_by("jane"),
        **ATTEMPT,
        submission=SUBMISSION,
        state="failed",
        exit_code=3,
        signal=9,
        reason="out of memory",
        last_lines=("no room",),
        started_at=WHEN,
        ended_at=WHEN,
        wall_s=61.25,
        cpu_s=240.5,
        paused_s=3.75,
        max_rss_bytes=1 << 34,
        outputs=OUTPUTS,
    ),
    "stop_ordered": ev.StopOrdered(
        **_by(ev.SCHEDULER), **ATTEMPT, submission=SUBMISSION, by="jane", whole_batch=True
    ),
    "stop_ordered-moved": ev.StopOrdered(
        **_by(ev.SCHEDULER), **ATTEMPT, submission=SUBMISSION, by="jane", moved=True
    ),
    "released": ev.Released(**_by(ev.SCHEDULER), **ATTEMPT, reason="node_lost", submission=SUBMISSION),
    "released-rebooted": ev.Released(
        **_by(ev.SCHEDULER), **ATTEMPT, reason="node_rebooted", submission=SUBMISSION
    ),
    "excused": ev.Excused(**_by(ev.SCHEDULER), **ATTEMPT, submission=SUBMISSION),
    "job_archived": ev.JobArchived(**_by(ev.ARCHIVER), **ATTEMPT),
    "job_archived-missing": ev.JobArchived(
        **_by(ev.ARCHIVER), **ATTEMPT, missing="result größe/sweep 3/re=100*/2/0: 0 chunks are stored, not 1"
    ),
    "joined": ev.Joined(
        **_by("ws07"),
        node="ws07",
        incarnation=INCARNATION,
        boot_id="0f5be1a2-3c4d-4e5f-8a9b-0c1d2e3f4a5b",
        keeps=KEPT,
        capabilities=frozenset({"gcc", "mpi", "python"}),
        cpus=16,
        memory_bytes=64 << 30,
        gpus=("NVIDIA A100", "NVIDIA A100"),
        version="0.1.0",
    ),
    "joined-gpu_memory_bytes": ev.Joined(
        **_by("ws07"),
        node="ws07",
        incarnation=INCARNATION,
        capabilities=frozenset({"gpu"}),
        cpus=16,
        memory_bytes=64 << 30,
        gpus=("NVIDIA A100", "NVIDIA GeForce GT 710"),
        gpu_memory_bytes=(40 << 30, 0),
        version="0.1.0",
    ),
    "leaving": ev.Leaving(**_by("ws07"), node="ws07", incarnation=INCARNATION, keeps=KEPT),
    "left": ev.Left(**_by("ws07"), node="ws07", incarnation=INCARNATION),
    "lost": ev.Lost(**_by(ev.SCHEDULER), node="ws07", silent_s=61.5),
    "forgotten": ev.Forgotten(**_by("jane"), node="ws07"),
    "listed": ev.Listed(**_by("jane"), node="ws07", capabilities=frozenset({"fftw", "gfortran"})),
    "listed-no_longer": ev.Listed(**_by("jane"), node="ws07", capabilities=None),
    "pause_requested": ev.PauseRequested(**_by("jane"), node="ws07", until=WHEN),
    "pause_requested-reason": ev.PauseRequested(
        **_by("jane"), node="ws07", until=WHEN, reason="a talk in Zürich"
    ),
    "resume_requested": ev.ResumeRequested(**_by("jane"), node="ws07"),
    "paused-by": ev.Paused(
        **_by("ws07"), node="ws07", incarnation=INCARNATION, until=WHEN, reason="", by="jane", keeps=()
    ),
    "paused": ev.Paused(
        **_by("ws07"),
        node="ws07",
        incarnation=INCARNATION,
        until=WHEN,
        reason="its owner works",
        keeps=KEPT,
    ),
    "resumed": ev.Resumed(**_by("ws07"), node="ws07", incarnation=INCARNATION),
    "drain_requested": ev.DrainRequested(**_by("jane"), node="ws07", reason="new disk", until=WHEN),
    "superseded": ev.Superseded(
        **_by("ws07"),
        node="ws07",
        attempt=KEPT[0],
        submission=SUBMISSION,
        folder="/scratch/distribute/superseded/3",
        size_bytes=5 << 30,
        until=WHEN,
    ),
    "undrained": ev.Undrained(**_by("jane"), node="ws07"),
    "build_started": ev.BuildStarted(**_by("ws07"), node="ws07", **BATCH, submission=SUBMISSION),
    "build_finished": ev.BuildFinished(
        **_by("ws07"),
        node="ws07",
        **BATCH,
        succeeded=False,
        reason="exit code 2",
        wall_s=1.5,
        outputs=OUTPUTS,
    ),
    "build_finished-last_lines": ev.BuildFinished(
        **_by("ws07"),
        node="ws07",
        **BATCH,
        succeeded=False,
        reason="exit code 2",
        last_lines=("make: *** [all] Error 1",),
    ),
    "build_finished-kept_from": ev.BuildFinished(
        **_by("ws07"),
        **BATCH,
        node="ws07",
        succeeded=True,
        outputs=OUTPUTS,
        kept_from="größe/sweep 2",
    ),
    "build_finished-killed": ev.BuildFinished(
        **_by("ws07"), node="ws07", **BATCH, succeeded=False, killed=True, reason="killed by jane"
    ),
    "build_collected": ev.BuildCollected(
        **_by("jane"),
        **BATCH,
        node="nid001",
        submission=SUBMISSION,
        succeeded=False,
        reason="exit code 2",
        last_lines=("make: *** [all] Error 1",),
        wall_s=1.5,
        outputs=OUTPUTS,
    ),
    "quarantined": ev.Quarantined(
        **_by(ev.SCHEDULER),
        node="ws07",
        reason="2 jobs that failed here within seconds succeeded elsewhere",
        until=WHEN,
    ),
}
"""By name of file: the type, and what is special about it."""
