"""People's use of the lab, in whole numbers, is the same on every machine."""

from __future__ import annotations

import pytest

from core_kit import Lab
from distribute.core.checking.invariants import check_agenda
from distribute.core.ids import JobId
from distribute.core.scheduling.agenda import Agenda
from distribute.core.spec.specs import Resources
from distribute.core.state.state import State, Usage
from distribute.core.state.usage import ONE_CORE, charge, decayed, share
from distribute.testing import builders as make

DAY_S = 86_400


def test_use_halves_every_day() -> None:
    assert decayed(1 << 40, DAY_S) == pytest.approx(1 << 39, rel=1e-8)
    assert decayed(1 << 40, 3 * DAY_S) == pytest.approx(1 << 37, rel=1e-8)


@pytest.mark.parametrize("elapsed_s", [0, -1, -(10**12)])
def test_nothing_decays_in_no_time_or_if_the_clock_went_back(elapsed_s: int) -> None:
    assert decayed(12_345, elapsed_s) == 12_345


def test_after_a_year_no_use_is_left_however_large_it_was() -> None:
    assert decayed(1 << 62, 1 << 25) == 0
    assert decayed(1 << 62, 10**18) == 0
    assert decayed(1 << 62, (1 << 25) - 1) == 0


def test_decay_gives_these_numbers_on_every_machine() -> None:
    """Otherwise two machines could compute different digests from one log."""
    assert [decayed(10**12, seconds) for seconds in (1, 60, 3600, 100_000)] == [
        999_991_977_354,
        999_518_763_164,
        971_531_940_745,
        448_317_459_716,
    ]


def test_use_is_charged_by_core_and_second() -> None:
    usage = Usage(as_of_s=1000)
    charge(usage, 4, 2.5, 1000.0)
    assert (usage.core_ms, usage.as_of_s) == (10_000, 1000)
    charge(usage, 1, 1.0, 1000.0 + DAY_S)
    assert usage.core_ms == pytest.approx(6000, abs=5)
    assert usage.as_of_s == 1000 + DAY_S


def test_a_clock_that_goes_back_does_not_change_the_time_of_the_account() -> None:
    usage = Usage(core_ms=10_000, as_of_s=1000)
    charge(usage, 1, 1.0, 10.0)
    assert (usage.core_ms, usage.as_of_s) == (11_000, 1000)


def test_the_largest_use_still_fits_a_snapshot() -> None:
    usage = Usage()
    charge(usage, 1 << 16, 1e10, 0.0)
    charge(usage, 1 << 16, 1e300, 0.0)
    assert usage.core_ms == 1 << 62


def test_a_share_adds_cores_held_cores_pending_and_past_use_over_a_day() -> None:
    assert share(None, 2, 0.0) == 2 * ONE_CORE
    assert share(Usage(cores=3), 2, 0.0) == 5 * ONE_CORE
    assert share(Usage(core_ms=4 * DAY_S * 1000, as_of_s=0), 0, DAY_S) == pytest.approx(2 * ONE_CORE, abs=9)


def test_a_log_whose_clock_was_years_ahead_can_be_folded() -> None:
    """No user is charged for the years that the clock was ahead."""
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(1, resources=Resources(cpus=2))))
    lab.assign()
    lab.run("job1")
    lab.now += 3 * 365 * DAY_S
    lab.happen(make.finished(wall_s=60.0))
    lab.now -= 3 * 365 * DAY_S
    lab.happen(make.submitted(make.batch(1, batch="more")))
    held_s = 60 + 2  # and the two seconds from its assignment to its start
    assert lab.state.usage["jane"].core_ms == pytest.approx(2 * held_s * 1000, abs=2000)
    assert lab.assign() == {"job1": "ws1"}


def used_by(state: State, *users: str, apart_s: float = 1.0, wall_s: float = 3600.0) -> None:
    """Run a job for each user, one after another."""
    for user in users:
        spec = make.batch(1, batch=user)
        job = JobId("lab", user, "job1")
        make.happen(make.submitted(spec, user=user), make.assigned(job), state=state, apart_s=apart_s)
        make.happen(make.claimed(job), make.finished(job, wall_s=wall_s), state=state, apart_s=wall_s)


def test_a_user_whose_use_has_decayed_is_forgotten() -> None:
    state = make.happen(make.joined("ws1"))
    used_by(state, "ann", "bob")
    make.happen(make.submitted(make.batch(1, batch="held"), user="eve"), state=state)
    make.happen(make.assigned(JobId("lab", "held", "job1")), state=state)
    used_by(state, "jane", apart_s=60 * DAY_S)
    assert state.usage.keys() == {"ann", "bob", "eve", "jane"}, "nobody looks before they are twice as many"
    used_by(state, "john")
    assert state.usage.keys() == {"eve", "jane", "john"}, "eve holds cores, and jane had some today"


def test_a_user_who_was_just_served_is_kept() -> None:
    """Otherwise their jobs would seem to have waited since their submission."""
    state = make.happen(make.joined("ws1"))
    make.happen(make.submitted(make.batch(1, batch="a"), user="ann"), state=state)
    job = JobId("lab", "a", "job1")
    make.happen(make.assigned(job), make.released(job), state=state, apart_s=0.0)
    assert state.usage["ann"].core_ms == 0
    used_by(state, "bob", "eve", wall_s=1.0)
    assert "ann" in state.usage


def test_the_number_of_users_in_the_state_is_bounded() -> None:
    state = make.happen(make.joined("ws1"))
    used_by(state, *(f"user{number}" for number in range(100)), apart_s=30 * DAY_S)
    assert len(state.usage) <= 4


def test_a_kept_share_is_computed_again_after_a_change() -> None:
    agenda = Agenda(make.happen(make.joined(), make.submitted(), make.assigned()))
    now = agenda.state.time
    agenda.shares.pass_time(now)
    assert agenda.shares["jane"] == ONE_CORE
    for recorded in make.record([make.released()], after=agenda.state):
        agenda.fold(recorded)
    past = agenda.shares["jane"]
    assert 0 < past < ONE_CORE
    agenda.shares.pass_time(now + 3 * DAY_S)
    assert 0 < agenda.shares["jane"] < past
    check_agenda(agenda)
