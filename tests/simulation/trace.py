"""What happens in a world, a line each."""

from __future__ import annotations

from distribute.core.log.recorded import Recorded


def line_of(what: object) -> str:
    """An event of the log, or anything else, as one line."""
    if not isinstance(what, Recorded):
        return str(what)
    fields = what.event.model_dump(
        exclude={"id", "time", "v", "spec", "outputs", "causation"}, exclude_none=True
    )
    return f"{what.seq} {fields.pop('type')} {' '.join(f'{key}={value}' for key, value in fields.items())}"
