"""What happened, as text, as JSON, and for scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from distribute.core.errors import InputError
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.projections.history import BatchHistory, Told
from distribute.core.telling.wording import Wording
from distribute.core.words import few
from distribute.testing import builders as make
from distribute_cli.output.choice import make_output
from distribute_cli.output.history import ANOTHER, event_line
from distribute_cli.values import past_moment

SPEC = make.batch(6)
NAMES = [job.name for job in SPEC.work.jobs]
EVENTS: list[Event] = [
    make.submitted(SPEC), *map(make.assigned, NAMES), make.started("job1"), make.kill_requested(by="bob"),
    *(make.released(name, reason="killed") for name in NAMES), make.completed(state="killed"), make.deleted(),
    make.submitted(SPEC, user="an\nn"),
]  # fmt: skip
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def told(events: Sequence[Event], apart_s: float = 1.5) -> list[Told]:
    history = BatchHistory(SPEC.id, Wording(str, SPEC.id))
    return [history.tell(recorded) for recorded in make.record(events, apart_s=apart_s)]


def shown(
    capfd: pytest.CaptureFixture[str],
    events: Sequence[Event] = EVENTS,
    *,
    every: bool = False,
    last: int | None = None,
    as_json: bool = False,
    quiet: bool = False,
) -> str:
    with make_output(as_json=as_json, quiet=quiet).history(every=every, last=last) as take:
        for one in told(events):
            take(one)
    return capfd.readouterr().out


def test_a_clock_that_was_set_back_is_told_with_one_sign(capfd: pytest.CaptureFixture[str]) -> None:
    with make_output(as_json=False, quiet=False).history(every=True, last=None) as take:
        for one in told(EVENTS[:2], apart_s=-7):
            take(one)
    assert "        -7s  job1 was assigned" in capfd.readouterr().out


def test_each_line_has_its_time_and_how_long_after_the_last_it_came(
    capfd: pytest.CaptureFixture[str],
) -> None:
    lines = shown(capfd).splitlines()
    day = datetime.fromtimestamp(make.EPOCH.timestamp() + 1.5).astimezone()
    assert lines[0] == f"{day:%A, %Y-%m-%d}"
    assert lines[1] == f"{day:%H:%M:%S}             jane submitted lab/sweep: 6 jobs"
    assert [line[8:] for line in lines[2:]] == [
        "      +1.5s  6 jobs were assigned to ws1, within 8s",
        "        +9s  job1 started on ws1 (refused, so it does not count: the job is assigned)",
        "      +1.5s  bob kills lab/sweep",
        f"      +1.5s  6 jobs were taken from ws1: killed ({few(NAMES)}), within 8s",
        "        +9s  lab/sweep is over: 6 killed",
        "      +1.5s  jane deleted lab/sweep",
        "",
        ANOTHER[8:],
        r"      +1.5s  an\nn submitted lab/sweep: 6 jobs",
    ]


def test_a_new_day_has_its_date_on_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    with make_output(as_json=False, quiet=False).history(every=False, last=None) as take:
        for one in told(EVENTS[:3], apart_s=86400.0):
            take(one)
    days = re.findall(r"^\w+day, 2026-01-0\d$", capfd.readouterr().out, re.MULTILINE)
    assert len(days) == len(set(days)) == 3


def test_all_events_or_the_last_ones_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert len(shown(capfd, every=True).splitlines()) == len(EVENTS) + 3
    assert [line[21:] for line in shown(capfd, last=2).splitlines()[1:]][:1] == ["jane deleted lab/sweep"]
    assert len(shown(capfd, every=True, last=5).splitlines()) == 5 + 3


def test_programs_get_a_list(capfd: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capfd, as_json=True))
    assert [one["seq"] for one in found] == list(range(1, len(EVENTS) + 1))
    assert found[7]["misfit"] == "the job is assigned"
    assert found[8] == found[8] | {"author": "bob", "misfit": None, "sentence": "bob kills lab/sweep"}
    assert json.loads(shown(capfd, as_json=True, last=3)) == found[-3:]
    assert json.loads(shown(capfd, [], as_json=True)) == []


def test_scripts_get_a_word_for_each(capfd: pytest.CaptureFixture[str]) -> None:
    assert shown(capfd, quiet=True, last=2).splitlines() == ["17 deleted lab/sweep", "18 submitted lab/sweep"]


def test_an_event_of_a_stream_is_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    recorded = Recorded(7, make.EPOCH.timestamp() + 0.25, make.started())
    assert event_line(recorded).startswith("       7  20")
    assert event_line(recorded).endswith("  lab/sweep/job1 started on ws1")
    make_output(as_json=True, quiet=False).event(recorded)
    (line,) = capfd.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["seq"], found["time"]) == (7, "2026-01-01T00:00:00.250Z")
    assert (found["type"], found["author_time"]) == ("started", "2026-01-01T00:00:00Z")
    make_output(as_json=False, quiet=True).event(recorded)
    assert capfd.readouterr().out == "7 started lab/sweep/job1\n"


def test_since_takes_a_time_or_how_long_ago() -> None:
    assert past_moment("--since", "2h", NOW) == NOW - timedelta(hours=2)
    assert past_moment("--since", "2029-12-31T18:00Z", NOW) == NOW - timedelta(hours=6)


@pytest.mark.parametrize("text", ["soon", "", "12.3.2030", "-5", "999999999d"])
def test_any_other_since_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(InputError, match=r"--since: '.*' is not a time; write a date and time, such as"):
        past_moment("--since", text, NOW)
