"""What SLURM's accounting says, in its own words."""

from datetime import UTC, datetime
from random import Random

import pytest

from distribute.client.collect.slurm_accounting import WHY, Record, read_accounting

HEADER = "JobID|State|ExitCode|Start|End|Elapsed|TotalCPU|MaxRSS|NodeList|Restarts"


def read(*lines: str) -> dict[str, Record]:
    return read_accounting([HEADER, *lines])


def test_a_job_and_its_steps_are_one_record() -> None:
    records = read(
        "17|COMPLETED|0:0|2026-11-27T07:00:00|2026-11-27T08:01:05|01:01:05|02:00.500||nid001|0",
        "17.batch|COMPLETED|0:0|2026-11-27T07:00:00|2026-11-27T08:01:05|01:01:05|02:00.500|2048K|nid001|0",
        "17.extern|COMPLETED|0:0|2026-11-27T07:00:00|2026-11-27T08:01:05|01:01:05|00:00.001|0|nid001|0",
    )
    assert records == {
        "17": Record(
            "COMPLETED",
            exit_code=0,
            started_at=datetime(2026, 11, 27, 7, tzinfo=UTC),
            ended_at=datetime(2026, 11, 27, 8, 1, 5, tzinfo=UTC),
            wall_s=3665.0,
            cpu_s=120.5,
            max_rss_bytes=2 << 20,
            node="nid001",
        )
    }


def test_of_a_job_that_was_requeued_the_last_record_counts() -> None:
    lost = "17_3|NODE_FAIL|0:0|2026-11-27T07:00:00|2026-11-27T07:10:00|00:10:00|00:01:00||nid001|0"
    step = "17_3.batch|CANCELLED|0:15|2026-11-27T07:00:00|2026-11-27T07:10:00|00:10:00|00:01:00|9M|nid001|0"
    again = "17_3|COMPLETED|0:0|2026-11-27T07:20:00|2026-11-27T07:20:07|00:00:07|00:06.000||nid002|1"
    found = read(lost, step, again)["17_3"]
    assert (found.state, found.node, found.wall_s, found.max_rss_bytes) == ("COMPLETED", "nid002", 7.0, 0)


@pytest.mark.parametrize("state", WHY)
def test_each_state_of_a_job_that_is_over_has_words(state: str) -> None:
    record = read(f"1|{state}|0:9||||||")["1"]
    assert record.is_over
    assert record.why.endswith(f"(SLURM: {state})")
    assert record.end == ("killed" if state == "CANCELLED" else "failed")


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "REQUEUED", "SUSPENDED", "COMPLETING", "NEWLY_MADE"])
def test_a_job_in_any_other_state_goes_on(state: str) -> None:
    assert not read(f"1|{state}|0:0||||||")["1"].is_over


def test_who_cancelled_a_job_is_told() -> None:
    record = read("1|CANCELLED by 1000|0:0|Unknown|2026-11-27T07:00:00|00:00:00|00:00:00||None assigned|0")[
        "1"
    ]
    assert (record.why, record.node, record.started_at) == (
        "cancelled by uid 1000 (SLURM: CANCELLED)",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("elapsed", "seconds"),
    [
        ("00:00:07", 7),
        ("1-00:00:00", 86400),
        ("02:30.250", 150.25),
        ("", 0),
        ("ages", 0),
        ("9" * 99 + ":00", 0),
    ],
)
def test_durations_are_read(elapsed: str, seconds: float) -> None:
    assert read(f"1|FAILED|1:0|||{elapsed}|||")["1"].wall_s == seconds


@pytest.mark.parametrize(
    ("size", "size_bytes"),
    [
        ("12K", 12288),
        ("1.5M", 3 << 19),
        ("2G", 2 << 30),
        ("3", 3072),
        ("9" * 15 + "T", 2**63 - 1),
        ("-1K", 0),
    ],
)
def test_sizes_are_read(size: str, size_bytes: int) -> None:
    assert read("1|FAILED|1:0||||||", f"1.batch|FAILED|1:0|||||{size}|")["1"].max_rss_bytes == size_bytes


def test_an_exit_code_is_one_of_the_process_or_a_signal() -> None:
    records = read("1|FAILED|3:0|", "2|FAILED|0:9|", "3|FAILED|999:999|", "4|FAILED|?|")
    said = {job: (record.exit_code, record.signal) for job, record in records.items()}
    assert said == {"1": (3, None), "2": (None, 9), "3": (None, None), "4": (None, None)}


def test_a_file_that_is_no_accounting_is_refused() -> None:
    with pytest.raises(ValueError, match="its first line names no column State"):
        read_accounting(["JobID|Elapsed"])
    with pytest.raises(ValueError, match="its first line names no column JobID and State"):
        read_accounting([])


def test_whatever_lines_say_they_are_read() -> None:
    random = Random(7)
    words = ["1", "1.batch", "2_1", "|", ":", "-", ".", "CANCELLED by 0", "9" * 40, "\0", "é", "0:0", "K", ""]
    for _ in range(2000):
        read("".join(random.choices(words, k=random.randrange(24))))
