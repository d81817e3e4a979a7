"""Why a job waits, and for how long, by the predicates of `scheduling`."""
