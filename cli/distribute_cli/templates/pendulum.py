"""A pendulum one metre long, without friction."""

from __future__ import annotations

import math
from collections.abc import Iterator

GRAVITY = 9.81  # m/s²
LENGTH = 1.0  # m
PERIOD_OF_SMALL_SWINGS_S = 2 * math.pi * math.sqrt(LENGTH / GRAVITY)


def swing(degrees: float, step_s: float) -> Iterator[tuple[float, float]]:
    """Time and angle in degrees, from its release at rest until it is back (symplectic Euler)."""
    time_s, angle, speed = 0.0, math.radians(degrees), 0.0
    turned = False  # does it swing back already?
    while not (turned and speed <= 0):
        yield time_s, math.degrees(angle)
        speed -= GRAVITY / LENGTH * math.sin(angle) * step_s
        angle += speed * step_s
        time_s += step_s
        turned = turned or speed > 0
