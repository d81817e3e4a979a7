"""The times of a unit, as the keeper takes them: its limit, what warns it, and how long it may clean up."""

from __future__ import annotations

import signal
from typing import TypedDict

from distribute.core.spec.recipe import Recipe


class Times(TypedDict):
    """Arguments of `Keeping.start`."""

    timeout_s: float | None
    warning: tuple[int, float] | None
    grace_s: float


def times_of(recipe: Recipe, grace_s: float) -> Times:
    """The times of a unit with this recipe. `grace_s` is the node's, for one that chooses no other."""
    warning = recipe.warning
    return {
        "timeout_s": recipe.timeout_s,
        "warning": None if warning is None else (signal.Signals[f"SIG{warning.signal}"], warning.before_s),
        "grace_s": grace_s if recipe.grace_s is None else recipe.grace_s,
    }
