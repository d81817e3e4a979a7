"""Reading a folder that comes back from SLURM: how its jobs ended, and every reason not to collect it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from distribute.client.collect.run import Built, Ended, Left, Run
from distribute.client.collect.slurm_folder import read_slurm_folder
from distribute.core.errors import InputError
from distribute.core.spec.specs import InputFile
from distribute.testing import builders as make
from ran_kit import RanFolder

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
AT = "2026-11-27T07:00:00|2026-11-27T07:10:00|00:10:00"


@pytest.fixture
def ran(tmp_path: Path) -> RanFolder:
    return RanFolder(tmp_path / "out", make.batch(2))


def read(ran: RanFolder) -> Run:
    return read_slurm_folder(ran.path, NOW)


def ended(ran: RanFolder) -> list[Ended]:
    return list(read(ran).ended)


def refusal(ran: RanFolder) -> tuple[str, ...]:
    """The lines of the refusal, without the folder's name."""
    with pytest.raises(InputError) as caught:
        read(ran)
    return tuple(
        line.replace(f"{ran.path}: ", "").replace(f"{ran.path}/", "") for line in caught.value.problems
    )


def test_jobs_ended_as_their_scripts_say(ran: RanFolder) -> None:
    ran.end("job1", "hello\n", {"u.dat": "1"})
    ran.end("job2", exit_code=3, node="nid002")
    run = read(ran)
    assert run.spec == ran.spec
    assert run.ran_at.folder == hashlib.sha256((ran.path / "batch.json").read_bytes()).hexdigest()
    began, over = datetime(2026, 11, 27, 7, tzinfo=UTC), datetime(2026, 11, 27, 7, 1, tzinfo=UTC)
    times = {"started_at": began, "ended_at": over, "wall_s": 60.0}
    assert list(run.ended) == [
        Ended("succeeded", "nid001", exit_code=0, left=Left(ran.results_of("job1")), **times),
        Ended("failed", "nid002", exit_code=3, left=Left(ran.results_of("job2")), **times),
    ]


def test_a_job_that_printed_and_left_nothing_needs_no_file(ran: RanFolder) -> None:
    """Its script says so, or the copy is not complete."""
    ran.end("job1", left=False)
    ran.end("job2")
    for job in ("job1", "job2"):
        (ran.results_of(job) / "stdout.txt").unlink()
    (line,) = refusal(ran)
    assert line.startswith("1 of 2 jobs (job2) ended, but the results are not here: the copy is not complete")
    ran.tell("job2", left=False)
    assert [one.left for one in ended(ran)] == [Left(ran.results_of(job)) for job in ("job1", "job2")]
    (ran.results_of("job2") / "u.dat").touch()
    assert len(refusal(ran)) == 1


def test_what_a_job_used_is_accounted_by_slurm(ran: RanFolder) -> None:
    ran.end("job1")
    ran.end("job2")
    ran.account(
        f"100|COMPLETED|0:0|{AT}|00:09:00||nid001|0", f"100.batch|COMPLETED|0:0|{AT}|00:09:00|5M|nid001|0"
    )
    first, second = ended(ran)
    assert (first.cpu_s, first.max_rss_bytes) == (540.0, 5 << 20)
    assert (second.cpu_s, second.max_rss_bytes) == (0.0, 0)


@pytest.mark.parametrize(
    ("state", "end", "why"),
    [
        ("TIMEOUT", "failed", "it ran for longer than its time limit (SLURM: TIMEOUT)"),
        ("OUT_OF_MEMORY", "failed", "it needed more memory than it may have (SLURM: OUT_OF_MEMORY)"),
        ("NODE_FAIL", "failed", "its node failed (SLURM: NODE_FAIL)"),
        ("PREEMPTED", "failed", "another job took its place (SLURM: PREEMPTED)"),
        ("CANCELLED by 1000", "killed", "cancelled by uid 1000 (SLURM: CANCELLED)"),
    ],
)
def test_a_job_that_slurm_ended_ended_as_its_accounting_says(
    ran: RanFolder, state: str, end: str, why: str
) -> None:
    """Whether its script had no time to say anything, or said that the job ended with it."""
    work = ran.work_of("job1")
    ran.end("job2", exit_code=143)
    ran.account(f"100|{state}|0:15|{AT}|00:01:00|1M|nid007|0", f"101|{state}|0:15|{AT}|00:01:00|1M|nid007|0")
    first, second = ended(ran)
    assert first == Ended(
        end,  # type: ignore[arg-type]
        "nid007",
        datetime(2026, 11, 27, 7, 10, tzinfo=UTC),
        datetime(2026, 11, 27, 7, tzinfo=UTC),
        signal=15,
        reason=why,
        wall_s=600.0,
        cpu_s=60.0,
        max_rss_bytes=1 << 20,
        left=Left(work / "job" / "distribute_save", work / "stdout.txt"),
    )
    assert (second.state, second.exit_code, second.reason) == (end, 143, why)


def test_a_job_that_succeeded_before_slurm_ended_its_script_succeeded(ran: RanFolder) -> None:
    ran.end("job1")
    ran.end("job2")
    ran.account(f"100|TIMEOUT|0:15|{AT}|00:01:00|1M|nid007|0")
    assert [one.state for one in ended(ran)] == ["succeeded", "succeeded"]


def test_a_node_of_slurm_has_a_name_that_an_event_can_have(ran: RanFolder) -> None:
    ran.end("job1")
    ran.account(f"101|TIMEOUT|0:15|{AT}|00:01:00|1M|{'n' * 300}|0")
    assert ended(ran)[1].node == "n" * 128


@pytest.mark.parametrize("start", ["Unknown", "None", "2026-11-27T07:10:00"])
def test_a_job_that_never_ran_has_no_node_and_left_nothing(ran: RanFolder, start: str) -> None:
    """A real sacct gives some of them the time of their end as that of their start."""
    ran.end("job1")
    ran.account(f"101|CANCELLED by 0|0:0|{start}|2026-11-27T07:10:00|00:00:00|00:00:00||None assigned|0")
    never = ended(ran)[1]
    assert (never.state, never.node, never.started_at, never.left) == ("killed", "slurm", None, None)


def test_jobs_whose_build_failed_have_failed_for_that(tmp_path: Path) -> None:
    ran = RanFolder(tmp_path / "out", make.batch(2, build="make"))
    printed = ran.build("cc: error\n", exit_code=2)
    assert read_slurm_folder(ran.path, NOW, missing_as_failed=True).built == Built(
        "nid001", False, "exit code 2", 60.0, printed
    )
    ran.tell("job1", exit_code=None, reason="the build failed")
    ran.account("101|CANCELLED|0:0|None|2026-11-27T07:10:00|00:00:00|00:00:00||None assigned|0")
    said = [(one.state, one.reason, one.left) for one in ended(ran)]
    assert said == [
        ("failed", "the build failed", None),
        ("failed", "the build of its batch failed", None),
    ]


def test_jobs_of_a_failed_build_have_failed_where_slurm_keeps_no_accounts(tmp_path: Path) -> None:
    """They waited for it, so they can't have run. Nor will they, if SLURM did not cancel them yet."""
    ran = RanFolder(tmp_path / "out", make.batch(1, build="make"))
    ran.build("cc: error\n", exit_code=2)
    failed = [Ended("failed", "slurm", NOW, reason="the build of its batch failed")]
    assert ended(ran) == failed
    ran.account("100|PENDING|0:0|Unknown|Unknown|00:00:00|00:00:00||None assigned|0")
    assert ended(ran) == failed
    (ran.path / "accounting.txt").unlink()
    ran.build("built\n")
    assert "nothing tells of the end of 1 of 1 job (job1)" in refusal(ran)[0]


def test_a_build_that_slurm_ended_has_failed_with_what_it_printed(tmp_path: Path) -> None:
    """And so have the jobs that waited for it, which SLURM cancelled."""
    ran = RanFolder(tmp_path / "out", make.batch(1, build="make"))
    (ran.path / "state" / "build.id").write_text("99\n")
    printed = ran.path / "running" / "build" / "stdout.txt"
    printed.parent.mkdir(parents=True)
    printed.write_text("cc\n")
    ran.account(
        f"99|TIMEOUT|0:15|{AT}|00:09:00||nid001|0",
        "100|CANCELLED|0:0|2026-11-27T07:10:00|2026-11-27T07:10:00|00:00:00|00:00:00||None assigned|0",
    )
    run = read(ran)
    why = "it ran for longer than its time limit (SLURM: TIMEOUT)"
    assert run.built == Built("nid001", False, why, 600.0, printed)
    assert [(one.state, one.reason) for one in run.ended] == [("failed", "the build of its batch failed")]


def test_a_copy_without_what_the_build_printed_is_refused(tmp_path: Path) -> None:
    ran = RanFolder(tmp_path / "out", make.batch(1, build="make"))
    ran.build("built\n").unlink()
    ran.end("job1")
    assert refusal(ran) == (
        (
            "results/sweep: lacks what the build printed, which has ended: the copy is not complete; run "
            "`sh rsync_download.sh` again"
        ),
    )


def test_a_job_of_whose_end_nothing_tells_has_failed_if_the_person_says_so(tmp_path: Path) -> None:
    """With what it left and printed. A job that is known to run, or was not scheduled, is still refused."""
    ran = RanFolder(tmp_path / "out", make.batch(3))
    ran.end("job1")
    work = ran.work_of("job2")
    left = Left(work / "job" / "distribute_save", work / "stdout.txt")
    run = read_slurm_folder(ran.path, NOW, missing_as_failed=True)
    assert [one.state for one in run.ended] == ["succeeded", "failed", "failed"]
    assert list(run.ended[1:]) == [
        Ended("failed", "slurm", NOW, reason="nothing tells how it ended", left=left),
        Ended("failed", "slurm", NOW, reason="nothing tells how it ended"),
    ]
    ran.account(f"101|RUNNING|0:0|{AT}|00:00:00||nid001|0")
    (ran.path / "state" / "2.id").unlink()
    with pytest.raises(InputError) as caught:
        read_slurm_folder(ran.path, NOW, missing_as_failed=True)
    not_scheduled, going_on = caught.value.problems
    assert "1 of 3 jobs (job3) was not scheduled" in not_scheduled
    assert "1 of 3 jobs (job2) was not over when SLURM was asked" in going_on


def test_a_job_that_could_not_be_started_has_failed_for_its_reason(ran: RanFolder) -> None:
    """Its script kept no results. What it said lies in the working folder."""
    ran.tell("job1", exit_code=None, reason="an input file could not be copied")
    ran.end("job2")
    work = ran.work_of("job1")
    (work / "stdout.txt").write_text("distribute: an input file could not be copied\n")
    first = ended(ran)[0]
    assert (first.state, first.reason) == ("failed", "an input file could not be copied")
    assert first.left == Left(work / "job" / "distribute_save", work / "stdout.txt")


def test_the_inputs_that_lie_in_the_folder_are_stored_too(tmp_path: Path) -> None:
    here, elsewhere = "a" * 64, "b" * 64
    files = tuple(InputFile(alias=name[:1], sha256=name, size_bytes=1) for name in (here, elsewhere))
    ran = RanFolder(tmp_path / "out", make.batch(1, files=files))
    (ran.path / "files").mkdir()
    (ran.path / "files" / here).write_text("x")
    (ran.path / "files" / elsewhere).symlink_to("/etc/hostname")
    ran.end("job1")
    assert read(ran).sources == {here: ran.path / "files" / here}


# --- what can't be collected -----------------------------------------------------------------------


def test_a_folder_that_was_not_written_for_slurm_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing here"):
        with pytest.raises(InputError, match="is not a folder that `distribute slurm` wrote"):
            read_slurm_folder(folder, NOW)


def test_a_folder_of_which_nothing_was_scheduled_says_how_to_go_on(tmp_path: Path) -> None:
    ran = RanFolder(tmp_path / "out", make.batch(1), scheduled=False)
    assert refusal(ran) == (
        (
            "none of its jobs was scheduled: send it with `sh rsync_upload.sh`, run `sh schedule_jobs.sh` in "
            "it on the cluster, and `sh rsync_download.sh` here when its jobs are over"
        ),
    )
    ran.account()
    assert refusal(ran) == (
        (
            "accounting.txt is there and the folder state is not: the copy is not complete; run "
            "`sh rsync_download.sh` again"
        ),
    )


def test_a_folder_that_was_scheduled_half_names_the_rest(ran: RanFolder) -> None:
    ran.end("job1")
    (ran.path / "state" / "1.id").unlink()
    assert refusal(ran) == (
        (
            "1 of 2 jobs (job2) was not scheduled; run `sh schedule_jobs.sh` again on the cluster, "
            "which schedules the rest"
        ),
    )


def test_a_folder_that_still_runs_names_the_jobs(ran: RanFolder) -> None:
    ran.account(f"100|RUNNING|0:0|{AT}|00:00:00||nid001|0")
    ask = "run `sh rsync_download.sh` again"
    or_else = "if that cluster keeps no accounts of them, --missing-as-failed takes them as failed"
    assert refusal(ran) == (
        f"1 of 2 jobs (job1) was not over when SLURM was asked; when all are, {ask}",
        (
            "accounting.txt does not know 1 of 2 jobs (job2): they still run, or SLURM ended them; when "
            f"`squeue` no longer lists them, {ask}; {or_else}"
        ),
    )
    (ran.path / "accounting.txt").unlink()
    assert refusal(ran) == (
        (
            "nothing tells of the end of 2 of 2 jobs (job1, job2): they still run, or SLURM ended them; when "
            f"`squeue` no longer lists them, {ask}; {or_else}"
        ),
    )


def test_a_copy_without_the_results_of_a_job_is_refused(ran: RanFolder) -> None:
    ran.end("job1")
    (ran.results_of("job1") / "stdout.txt").unlink()
    ran.account(f"101|COMPLETED|0:0|{AT}|00:00:00||nid001|0")
    assert refusal(ran) == (
        (
            "2 of 2 jobs (job1, job2) ended, but the results are not here: the copy is not complete; run "
            "`sh rsync_download.sh` again"
        ),
    )


def test_names_of_jobs_can_not_break_the_lines(tmp_path: Path) -> None:
    names = ["$(touch x); rm -rf ~", "two\nlines", "\x1b[2J", *map(str, range(9))]
    ran = RanFolder(tmp_path / "out", make.batch([make.job(name) for name in names]))
    (line,) = refusal(ran)
    named = "'$(touch x); rm -rf ~', $'two\\x0alines', $'\\x1b[2J', 0, 1, …"
    assert line.startswith(f"nothing tells of the end of 12 of 12 jobs ({named})")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda out: (out / "batch.json").write_text("{"), "batch.json: is damaged, or was changed: "),
        (lambda out: (out / "batch.json").write_text('{"v": 2}'), "another version of distribute wrote it"),
        (lambda out: (out / "batch.json").write_bytes(b"\xff\0"), "batch.json: is damaged, or was changed: "),
        (lambda out: (out / "accounting.txt").write_text("sacct: error\n"), "is not what sacct writes"),
        (
            lambda out: (out / "state/0.json").write_text('{"exit_code": 1e99}'),
            "state/0.json: is damaged: exit_code",
        ),
        (lambda out: (out / "state/0.json").write_text("[" * 9999), "state/0.json: is damaged"),
        (lambda out: (out / "state/0.json").write_text(" " * 70_000), "state/0.json: is larger than 64K"),
        (lambda out: (out / "state/0.id").write_text("$(reboot)"), "state/0.id: holds no id of a SLURM job"),
        (lambda out: os.mkfifo(out / "accounting.txt"), "accounting.txt: is not a regular file"),
        (lambda out: (out / "accounting.txt").symlink_to("/etc/passwd"), "accounting.txt: can't be read: "),
    ],
)
def test_a_damaged_folder_says_what_is_damaged(
    ran: RanFolder, spoil: Callable[[Path], object], words: str
) -> None:
    ran.end("job2")
    spoil(ran.path)
    assert any(words in line for line in refusal(ran)), refusal(ran)


def test_no_link_leads_out_of_the_folder(ran: RanFolder, tmp_path: Path) -> None:
    """Not to a secret file, and not to a folder that somebody laid in the place of results."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "stdout.txt").write_text("password")
    ran.end("job2")
    ran.tell("job1")
    ran.results_of("job1").symlink_to(secret)
    (line,) = refusal(ran)
    assert "1 of 2 jobs (job1) ended, but the results are not here" in line
