"""The estimates of `why` agree with what then happens."""

from __future__ import annotations

from simulation.estimates import BASE, guesses_in, quiet

SEEDS = range(BASE, BASE + 12)


def test_most_jobs_begin_within_the_bounds_of_their_estimates() -> None:
    """In quiet worlds, four of five do."""
    guesses = guesses_in(SEEDS, quiet)
    assert len(guesses) > 100
    within = sum(guess.is_within for guess in guesses)
    assert within / len(guesses) > 0.7
