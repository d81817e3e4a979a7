"""The words of `replay`: moments of the past, and what it says about a log."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from distribute.core.errors import InputError
from distribute.saved.writing import save
from distribute.testing import builders as make
from distribute_cli.commands.replay import replay
from distribute_cli.commands.status import status
from distribute_cli.output.clock import as_of, now
from distribute_cli.output.drawing import span
from distribute_cli.output.plain_output import JsonOutput
from distribute_cli.output.table_output import TableOutput
from distribute_cli.output.verified import verified_lines
from distribute_cli.session import Session, Where
from distribute_cli.values import past_moment
from saved_kit import HEADER, STORY, memory_log

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOUND: dict[str, Any] = {
    "saved": False, "events": 12, "first_seq": 1, "last_seq": 14, "last_time": "2026-03-01T11:00:00.000Z",
    "sound": True, "broken": None, "misfits": {"count": 0, "first": None},
    "garbage": {"count": 0, "last": None}, "scheduler": {"seq": 14, "compared": True, "differs": []},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("1d12h", NOW - timedelta(hours=36)),
        ("90", NOW - timedelta(seconds=90)),
        ("0s", NOW),
        ("2026-02-28T10:00Z", datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ("2026-02-28 12:00:30.5 +02:00", datetime(2026, 2, 28, 10, 0, 30, 500_000, tzinfo=UTC)),
    ],
)
def test_a_moment_of_the_past_is_a_date_or_how_long_ago(text: str, moment: datetime) -> None:
    assert past_moment("--at", text, NOW) == moment


def test_other_moments_are_refused() -> None:
    for text in ("yesterday", "", "2026-13-01", "1e9d", "9" * 19):
        with pytest.raises(InputError, match=r"^--at: .* is not a time; write a date and time, such as 2026"):
            past_moment("--at", text, NOW)
    with pytest.raises(InputError, match="'2026-03-01T12:00:01Z' is yet to come"):
        past_moment("--at", "2026-03-01T12:00:01Z", NOW)


TWICE = ("comes twice, because clocks are set back", "2025-10-26T02:30:00+02:00 or 2025-10-26T02:30:00+01:00")
NEVER = (
    "never comes, because clocks are set forward",
    "2025-03-30T01:30:00+01:00 or 2025-03-30T03:30:00+02:00",
)


@pytest.mark.parametrize(
    ("text", "why", "ways"), [("2025-10-26T02:30", *TWICE), ("2025-03-30 02:30", *NEVER)]
)
@pytest.mark.usefixtures("in_berlin")
def test_a_local_time_at_which_clocks_are_set_has_to_name_its_zone(text: str, why: str, ways: str) -> None:
    with pytest.raises(InputError) as caught:
        past_moment("--at", text, NOW)
    assert str(caught.value) == f"--at: '{text}' {why} then; write {ways}"
    assert past_moment("--at", f"{text}+01:00", NOW).minute == 30


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock of a place that sets it in March and October, described without files of zones."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


def test_spans_up_to_now_end_at_the_moment_that_is_shown() -> None:
    begin = "2026-03-01T11:00:00.000Z"
    with as_of(NOW.timestamp()):
        assert now() == NOW
        assert span(begin, None) == "1h"
        assert span(begin, "2026-03-01T11:00:30.000Z") == "30s"
    assert now() > NOW


async def test_readers_of_one_batch_are_told_that_it_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for header, told in ((HEADER, ""), (HEADER._replace(batch=["lab", "a\nb"]), r"has only lab/a\nb and")):
        path = tmp_path / "log.gz"
        await save(memory_log(STORY), path, header, replace=True)
        async with Session(Where(saved=path), TableOutput()).cluster():
            pass
        assert told in capsys.readouterr().err if told else not capsys.readouterr().err


async def test_the_present_is_replayed_as_status_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swept = make.submitted(make.batch([make.job("job1", parameters={"re": 100})], batch="swept"))
    path = tmp_path / "log.gz"
    await save(memory_log([*STORY, swept]), path, HEADER)
    session = Session(Where(saved=path), JsonOutput())

    async def shown(asking: Awaitable[object]) -> dict[str, Any]:
        await asking
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    for batch in ("lab/swept", "lab/sweep"):
        present = await shown(status(session, batch))
        assert {"git", "job_list"} <= present.keys()
        assert await shown(replay(session, batch, seq=len(STORY) + 1)) == present
    assert present["job_list"][0]["parameters"] == {}


def said(**other: Any) -> str:
    return "\n".join(verified_lines({**SOUND, **other}))  # type: ignore[typeddict-item]


def test_a_sound_log_is_told_in_two_lines() -> None:
    assert said() == (
        "every invariant holds: 12 events, up to 14\nthe scheduler's state at event 14 is the same"
    )
    assert said(saved=True, scheduler=None) == "every invariant holds: 12 events, up to 14"
    assert said(scheduler=None).endswith("no scheduler answered, so there was no state to compare with")


def test_what_is_wrong_with_a_log_is_told() -> None:
    broken = {
        "seq": 7, "time": "2026-03-01T10:00:00.000Z", "type": "completed", "author": "scheduler",
        "scope": "lab/sweep", "what": "it says that lab/sweep is over, and it is not",
    }  # fmt: skip
    assert said(broken=broken).splitlines()[0] == (
        "event 7 breaks the log: completed of lab/sweep by scheduler, 2026-03-01T10:00:00.000Z: "
        "it says that lab/sweep is over, and it is not"
    )
    misfits = said(misfits={"count": 1, "first": "event 3 (…): no such job"})
    assert "1 event did not fit and changed nothing; the first: event 3 (…): no such job" in misfits
    assert "2 messages could not be read; the last: no JSON" in said(garbage={"count": 2, "last": "no JSON"})
    names = [f"lab/b{number}" for number in range(7)]
    assert said(scheduler={"seq": 14, "compared": True, "differs": names}).splitlines()[1] == (
        "the scheduler's state at event 14 differs in lab/b0, lab/b1, lab/b2, lab/b3, lab/b4 and 2 more: "
        "that is a fault of distribute; report it with the log, as `distribute replay --export FILE` saves it"
    )
    other = said(scheduler={"seq": 14, "compared": False, "differs": []})
    assert "the scheduler is of another version of distribute: its state can't be compared" in other
