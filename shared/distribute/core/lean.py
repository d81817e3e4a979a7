"""Values of pydantic's models that take less memory, where there are 100,000 of them."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)
_NO_FIELDS: set[str] = set()


def without_fields_set(value: M) -> M:
    """The value, without the set of the fields that it was made with: 728 bytes, for which nothing asks.

    It has to be frozen: others have the same set.
    """
    object.__setattr__(value, "__pydantic_fields_set__", _NO_FIELDS)
    return value
