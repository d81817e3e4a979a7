"""How many calls share a job."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from distribute.executor.calls import Call
from distribute.executor.grouping import LONG_S, MAX_TOGETHER, fitting, jobs_of


@pytest.mark.parametrize(
    ("count", "seconds", "slots", "together"),
    [
        (5000, 0.0, 16, MAX_TOGETHER),
        (5000, 1e-5, 16, MAX_TOGETHER),
        (5000, 0.01, 1000, 50),
        (5000, 0.01, 16, 157),  # more than take the time, for a job hands back what it does not begin
        (10, 0.4, 16, 1),
        (5000, LONG_S * 1.01, 16, 1),
        (5000, 3600.0, 1, 1),
        (5000, 0.1, 0, MAX_TOGETHER),  # no node is here
    ],
)
def test_quick_calls_share_jobs_and_long_ones_do_not(
    count: int, seconds: float, slots: int, together: int
) -> None:
    assert fitting(count, seconds, slots) == together


@pytest.mark.parametrize(("together", "seconds", "sizes"), [(3, 0.0, [3, 3, 1]), (None, None, [1] * 7)])
def test_what_a_person_wrote_counts_and_nothing_is_guessed(
    together: int | None, seconds: float | None, sizes: list[int]
) -> None:
    calls = [Call(Future(), b"", b"", together) for _ in range(7)]
    jobs = jobs_of(calls, seconds, slots=2)
    assert [len(job) for job in jobs] == sizes
    assert [call for job in jobs for call in job] == calls
