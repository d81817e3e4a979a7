"""How long to search: `ci` by default; `HYPOTHESIS_PROFILE=thorough` for a night."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
