"""The checks by hypothesis of how a test draws its examples that fail by chance: by slowness or bad luck."""

from __future__ import annotations

from hypothesis import HealthCheck

FAIL_BY_CHANCE = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
"""A test that finds no example at all still fails."""
