"""`max_running`, `max_failures` and `not_before` in a jobs file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config_kit import write
from distribute.config.loading import load
from distribute.config.sections.moments import parse_moment
from distribute.core.errors import InputError
from editor_kit import marked

ONE_JOB = "command: {jobs: [{name: a, command: x}]}"
NOW = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)


def meta(keys: str) -> str:
    return f"meta: {{namespace: n, batch_name: b, {keys}}}\n{ONE_JOB}"


def test_the_limits_reach_the_batch(tmp_path: Path) -> None:
    keys = "max_running: 20, max_failures: 5, not_before: 2030-01-31T18:00+01:00"
    spec = load(write(tmp_path, meta(keys))).spec
    assert (spec.max_running, spec.max_failures) == (20, 5)
    assert spec.not_before == datetime(2030, 1, 31, 17, tzinfo=UTC)


def test_a_duration_counts_from_now(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    begin = load(write(tmp_path, meta("not_before: 2h"))).spec.not_before
    assert begin is not None
    assert before + timedelta(hours=2) <= begin <= datetime.now(UTC) + timedelta(hours=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2030-01-31T18:00Z", datetime(2030, 1, 31, 18, tzinfo=UTC)),
        ("2030-01-31 18:00:05.25 +02:00", datetime(2030, 1, 31, 16, 0, 5, 250000, tzinfo=UTC)),
        ("2030-01-31t18:00z", datetime(2030, 1, 31, 18, tzinfo=UTC)),
        ("2030-01-31T18:00", datetime(2030, 1, 31, 18).astimezone(UTC)),  # local
        ("2030-01-31", datetime(2030, 1, 31).astimezone(UTC)),  # local
        ("1d12h", NOW + timedelta(hours=36)),
        (" 90 ", NOW + timedelta(seconds=90)),
        ("2001-01-01", datetime(2001, 1, 1).astimezone(UTC)),  # local
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, expected: datetime) -> None:
    assert parse_moment(text, NOW) == expected


@pytest.mark.parametrize(
    "keys",
    [
        "max_running: 20",
        "max_running: ",
        "max_failures: 1",
        "not_before: 2030-01-31T18:00",
        "not_before: 2030-01-31 18:00:05.25 +02:00",
        "not_before: 2030-01-31t18:00z",
        "not_before: 2030-01-31",
        "not_before: 1d12h",
        "not_before: 90",
    ],
)
def test_every_form_of_a_limit_is_valid_also_in_an_editor(tmp_path: Path, keys: str) -> None:
    load(write(tmp_path, meta(keys)))
    assert marked(meta(keys)) == []


def test_a_batch_may_wait_for_others(tmp_path: Path) -> None:
    keys = "after: [mesh, {batch: jane/prep, when: any}, last]"
    found = load(write(tmp_path, meta(keys))).file.meta.after
    assert [(one.parts, one.when, one.is_last) for one in found] == [
        (("", "mesh"), "succeeded", False),
        (("jane", "prep"), "any", False),
        (("", "last"), "succeeded", True),
    ]
    assert marked(meta(keys)) == []


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("after: [b]", "a batch can't wait for itself; 'b' is this one"),
        ("after: [n/b]", "a batch can't wait for itself; 'n/b' is this one"),
        ("after: [a, {batch: n/a, when: any}]", "'n/a' is there twice; write it once"),
        ("after: [a/b/c]", "'a/b/c' names no batch; write BATCH, NAMESPACE/BATCH or last"),
        ("after: [a/..]", "'..'"),
        ("after: ['']", "batch is empty"),
        ("after: [{batch: a, when: sometimes}]", "when"),
        ("after: [{when: any}]", "batch"),
        ("max_running: 0", "max_running"),
        ("max_running: -1", "max_running"),
        ("max_running: many", "max_running"),
        ("max_failures: 0", "max_failures"),
        ("max_failures: 100001", "max_failures"),
        ("not_before: tomorrow", "'tomorrow' is not a time; write a date and time, such as 2030-01-31T18:00"),
        ("not_before: 2030-13-01", "'2030-13-01' is not a time"),
        ("not_before: 2030-01-31T25:00", "'2030-01-31T25:00' is not a time"),
        ("not_before: 31.1.2030", "'31.1.2030' is not a time"),
        ("not_before: 1999-01-01", "'1999-01-01' is too far away"),
        ("not_before: 999999999d", "'999999999d' is not a time"),
        ("not_before: [2h]", "not_before"),
    ],
)
def test_a_wrong_limit_is_named_with_its_line(tmp_path: Path, keys: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        load(write(tmp_path, meta(keys)))
    [line] = caught.value.problems
    assert ":1:" in line or "line 1" in line
    assert problem in line
