"""The base of the values in specifications and events.

Pydantic makes the validator of a class when it is first used (`defer_build`): a process that reads and writes
a few types of events does not have those of others in memory, and starts sooner.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

LATER = ConfigDict(defer_build=True)
"""The configuration of a `TypeAdapter` of several classes: it takes none from them."""


class Frozen(BaseModel):
    """An immutable value, without unknown fields and without numbers that JSON can't represent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
