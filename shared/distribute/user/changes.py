"""The changes of an edit that a Python program asks for."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from distribute.client.editing import Changes
from distribute.config.sections.problems import nearest
from distribute.core.errors import InvalidArgument
from distribute.core.log.change_events import Edited

_CHANGES = TypeAdapter(Changes)


def checked_changes(given: Mapping[str, object]) -> Changes:
    """The changes with these names and values.

    Raises:
        InvalidArgument: a name or a value can't be. It names all such.
    """
    try:
        return _CHANGES.validate_python(given, strict=True)
    except ValidationError as error:
        raise InvalidArgument("\n".join(map(_problem, error.errors()))) from error


def _problem(error: ErrorDetails) -> str:
    name = str(error["loc"][0])
    if name in Changes._fields:
        return f"edit(): {name} takes {_taken_by(name)}, not {error['input']!r}"
    near = nearest(name, Changes._fields)
    advice = f"did you mean {near!r}?" if near else f"there are {', '.join(Changes._fields)}"
    return f"edit(): nothing is called {name!r}; {advice}"


def _taken_by(name: str) -> str:
    """What the event that records an edit takes as this change, in words."""
    number, _ = Edited.model_json_schema()["properties"][name]["anyOf"]
    kind = "a whole number" if number["type"] == "integer" else "a number"
    return f"{kind} from {number['minimum']} to {number['maximum']}"
