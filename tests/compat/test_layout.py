"""The layout number belongs to the event set: a change of the set must raise the number."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from distribute.core.log.events import EVENT
from distribute.nats.stream import migrations
from distribute.nats.stream.layout import LAYOUT
from distribute.nats.stream.migrations import MIGRATIONS

FINGERPRINTS = Path(__file__).parent / "data" / "layouts.json"
"""The fingerprint of each layout's event set. Lines are added, and those of old layouts stay."""

_WORDS = frozenset({"title", "description", "default"})


def only_what_binds(schema: Any) -> Any:
    """A schema without what is said for people, and without what only its writer needs."""
    if isinstance(schema, dict):
        return {
            key: only_what_binds(value)
            for key, value in schema.items()
            if key not in _WORDS or not isinstance(value, str | int | float | bool | list | None)
        }
    return [only_what_binds(value) for value in schema] if isinstance(schema, list) else schema


def fingerprint() -> str:
    schema = only_what_binds(EVENT.json_schema())
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


def test_the_layout_number_belongs_to_the_event_set() -> None:
    known = json.loads(FINGERPRINTS.read_text())
    assert known.get(str(LAYOUT)) == fingerprint(), (
        "The event set is not that of this layout. If no cluster of this layout was ever made, put "
        f"{fingerprint()!r} beside {LAYOUT} in {FINGERPRINTS.name}. Otherwise raise LAYOUT, add a line there "
        "and a row to the table in nats/stream/migrations.py."
    )


def test_a_new_field_or_bound_makes_another_event_set() -> None:
    schema = EVENT.json_schema()
    before = json.dumps(only_what_binds(schema), sort_keys=True)
    schema["$defs"]["Left"]["properties"]["title"] = {"type": "string"}
    assert json.dumps(only_what_binds(schema), sort_keys=True) != before
    del schema["$defs"]["Left"]["properties"]["title"]
    schema["$defs"]["Left"]["description"] = "In other words."
    assert json.dumps(only_what_binds(schema), sort_keys=True) == before
    schema["$defs"]["Reprioritized"]["properties"]["priority"]["maximum"] = 101
    assert json.dumps(only_what_binds(schema), sort_keys=True) != before


def test_every_layout_has_its_history_and_every_migration_its_layout() -> None:
    rows = [line for line in (migrations.__doc__ or "").splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows[1:]] == [str(n) for n in range(1, LAYOUT + 1)]
    assert MIGRATIONS.keys() <= set(range(2, LAYOUT + 1))
