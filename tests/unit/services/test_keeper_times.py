"""When the keeper signals a unit, and how long its pause lasts: with the time as an argument."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from distribute.core.spec.specs import DEFAULT_MAX_PAUSE_S, DEFAULT_MAX_UNSEEN_S
from distribute_services.node_runner.keeper import lease, pausing, server
from distribute_services.node_runner.keeper.held import WARNING, Held

TERM, KILL = 15, 9


def test_the_keepers_own_bounds_are_the_defaults_of_the_settings() -> None:
    assert (pausing.MAX_PAUSE_S, server.UNSEEN_S) == (DEFAULT_MAX_PAUSE_S, DEFAULT_MAX_UNSEEN_S)


def test_a_unit_is_asked_at_its_limit_and_killed_after_its_grace() -> None:
    held = Held(100.0, timeout_s=60.0, grace_s=5.0)
    assert (held.due(), held.act(159.9)) == (160.0, [])
    assert held.act(160.0) == [TERM]
    assert (held.why, held.due(), held.act(164.9)) == ("timeout", 165.0, [])
    assert held.act(165.0) == [KILL]
    assert held.due() == pytest.approx(165.1), "until nothing is left"


def test_a_unit_without_a_limit_has_nothing_due() -> None:
    assert Held(100.0).due() is None


def test_a_warning_comes_before_the_limit() -> None:
    held = Held(0.0, timeout_s=60.0, grace_s=5.0, warn_s=20.0)
    assert held.due() == 40.0
    assert held.act(40.0) == [WARNING]
    assert held.act(60.0) == [TERM]


def test_the_time_of_a_pause_brings_a_warning_no_nearer() -> None:
    held = Held(0.0, timeout_s=60.0, warn_s=20.0)
    held.freeze(30.0)
    assert (held.due(), held.act(1000.0)) == (None, [])
    held.thaw(1000.0)
    assert (held.due(), held.act(1009.9), held.act(1010.0)) == (1010.0, [], [WARNING])


def test_a_unit_that_is_being_ended_is_not_warned_any_more() -> None:
    held = Held(0.0, timeout_s=60.0, grace_s=5.0, warn_s=20.0)
    assert held.end("killed", 30.0, 39.0) == [TERM]
    assert held.act(41.0) == []
    assert held.act(69.0) == [KILL]


def test_a_grace_of_nothing_kills_at_once() -> None:
    held = Held(0.0, timeout_s=60.0, grace_s=0.0)
    assert held.act(60.0) == [KILL]
    assert Held(0.0, grace_s=0.0).end_leftovers(1.0) == [KILL]


def test_what_a_unit_left_has_two_seconds_at_most() -> None:
    held = Held(0.0, grace_s=600.0)
    assert held.end_leftovers(1.0) == [TERM]
    assert (held.why, held.due()) == (None, 3.0)
    assert held.end_leftovers(2.0) == []


def test_a_warning_that_is_longer_than_the_limit_comes_at_once() -> None:
    held = Held(0.0, timeout_s=60.0, warn_s=100.0)
    assert held.act(0.0) == [WARNING]
    assert held.due() == 60.0


def test_the_time_of_a_pause_counts_against_no_limit() -> None:
    held = Held(0.0, timeout_s=60.0)
    held.freeze(50.0)
    assert held.due() is None
    held.thaw(1000.0)
    assert held.due() == 1010.0
    assert (held.clock.ran(1010.0), held.clock.paused(1010.0)) == (60.0, 950.0)


def test_a_frozen_unit_is_killed_without_grace() -> None:
    held = Held(0.0)
    held.freeze(1.0)
    assert held.end("killed", 30.0, 2.0) == [KILL]


def test_a_unit_that_is_ending_is_killed_when_it_is_frozen() -> None:
    held = Held(0.0)
    assert held.end("killed", 30.0, 1.0) == [TERM]
    held.freeze(2.0)
    assert held.act(2.0) == [KILL]


def test_the_first_reason_and_the_shorter_grace_count() -> None:
    held = Held(0.0, timeout_s=10.0, grace_s=1000.0)
    held.act(10.0)
    assert held.end("killed", 5.0, 11.0) == []
    assert (held.why, held.due()) == ("timeout", 16.0)
    held.end("killed", 100.0, 12.0)
    assert held.due() == 16.0


def test_a_unit_that_survives_half_a_minute_of_signals_resists() -> None:
    held = Held(0.0)
    held.end("killed", 0.0, 0.0)
    rounds = 1
    while not held.resists:
        due = held.due()
        assert due is not None
        assert held.act(due) == [KILL]
        rounds += 1
    assert 25 < (held.due() or 0) < 60


# --- the pause -----------------------------------------------------------------------------------------


def test_a_pause_survives_its_keeper_and_keeps_its_end(tmp_path: Path) -> None:
    begun = lease.begin(str(tmp_path), 3600.0, reason="I work", by="jane")
    noted = lease.noted(str(tmp_path))
    assert noted is not None
    assert (noted.reason, noted.by) == ("I work", "jane")
    assert noted.ends == pytest.approx(begun.ends, abs=60)  # it is computed from what is left
    lease.end(str(tmp_path))
    assert lease.noted(str(tmp_path)) is None


def noted_with(folder: Path, **changes: object) -> lease.Lease | None:
    """The lease of an hour that began now, with other fields on the disk."""
    lease.begin(str(folder), 3600.0, reason="", by="")
    note = json.loads((folder / "pause").read_text())
    (folder / "pause").write_text(json.dumps(note | changes))
    return lease.noted(str(folder))


def test_a_pause_ends_at_its_time_after_a_restart_of_the_computer(tmp_path: Path) -> None:
    begun = lease.begin(str(tmp_path), 3600.0, reason="", by="")
    again = noted_with(tmp_path, boot_id="another", ends=10.0**9)
    assert again is not None
    assert again.until == pytest.approx(begun.until, abs=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"ends": 0.0},  # it is over
        {"boot_id": "another", "until": 1.0},  # it ended while the computer was off
        {"boot_id": "another", "since": 10.0**11, "until": 10.0**11 + 3600},  # the clock was set back
        {"ends": 10.0**12},  # longer than it ever was
        {"until": "soon"},
    ],
)
def test_no_pause_lasts_longer_than_it_was_meant_to(tmp_path: Path, changes: dict[str, object]) -> None:
    assert noted_with(tmp_path, **changes) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_pause_that_can_not_be_read_is_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "pause").write_text(text)
    assert lease.noted(str(tmp_path)) is None


def test_the_keeper_stays_small() -> None:
    """Each of these modules takes between a tenth of a megabyte and ten."""
    large = {
        "asyncio",
        "ctypes",
        "dataclasses",
        "logging",
        "math",
        "pathlib",
        "socket",
        "struct",
        "subprocess",
        "typing",
        "distribute.core",
    }
    code = (
        "import sys; import distribute_services.node_runner.keeper.server, json;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, check=True).stdout
    assert large.isdisjoint(json.loads(printed))
