"""The scheduler's policy: what to append next, given the state and the time."""
