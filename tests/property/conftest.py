"""Hypothesis profiles: `ci` by default; `HYPOTHESIS_PROFILE=thorough` searches for a night."""

import os

from hypothesis import HealthCheck, settings

CI = settings(
    max_examples=150,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", CI)
settings.register_profile("thorough", CI, max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
