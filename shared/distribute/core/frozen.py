"""The base of the values in specifications and events."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value, without unknown fields and without numbers that JSON can't represent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
