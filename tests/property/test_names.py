"""Names in events, beats and specifications are bounded in bytes, whatever characters they have."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from distribute.codec import decode, decode_beat, encode, encode_beat
from distribute.core.errors import UnreadableEvent
from distribute.core.ids import (
    MAX_AUTHOR_BYTES,
    MAX_LABEL_BYTES,
    MAX_NAME_BYTES,
    Label,
    StoredAuthor,
    StoredName,
    check_author,
    check_name,
)
from distribute.core.log import events as ev
from distribute.core.log.beats import Beat
from distribute.testing import builders as make

NAME, AUTHOR, LABEL = TypeAdapter(StoredName), TypeAdapter(StoredAuthor), TypeAdapter(Label)

texts = st.text(max_size=300) | st.sampled_from("a.é√😀/\0\n").flatmap(
    lambda character: st.integers(0, 300).map(lambda count: character * count)
)


def passes_check(check: Callable[[str], str], name: str) -> bool:
    try:
        return check(name) == name
    except ValueError:
        return False


def is_taken(kind: TypeAdapter[str], text: str) -> bool:
    try:
        return kind.validate_python(text) == text
    except ValidationError:
        return False


@given(texts)
@example("")
@example(".")
@example("..")
@example("...")
@example("." * MAX_NAME_BYTES)
@example("." * (MAX_NAME_BYTES + 1))
@example("a" * MAX_NAME_BYTES)
@example("a" * (MAX_NAME_BYTES + 1))
@example("é" * (MAX_NAME_BYTES // 2))
@example("a" * MAX_AUTHOR_BYTES)
@example("a" * (MAX_AUTHOR_BYTES + 1))
@example("é" * (MAX_AUTHOR_BYTES // 2) + "a")
@example("é" * (MAX_NAME_BYTES // 2) + "a")
@example("..a")
@example("a/b")
def test_a_name_in_an_event_is_what_can_name_a_folder(name: str) -> None:
    assert is_taken(NAME, name) == passes_check(check_name, name)
    assert is_taken(AUTHOR, name) == passes_check(check_author, name)


@given(texts)
@example("a" * MAX_LABEL_BYTES)
@example("é" * (MAX_LABEL_BYTES // 2) + "a")
def test_a_label_has_no_more_bytes_than_it_may(label: str) -> None:
    assert is_taken(LABEL, label) == (len(label.encode()) <= MAX_LABEL_BYTES)


LONG_NAME, LONG_AUTHOR, LONG_LABEL = "é" * 128, "é" * 65, "é" * 129
"""Few enough characters, and too many bytes."""


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (make.claimed(), "job"),
        (make.claimed(), "batch"),
        (make.claimed(), "namespace"),
        (make.claimed(), "node"),
        (make.deleted(), "author"),
        (make.submitted(), "user"),
        (make.kill_requested(), "job"),
    ],
    ids=lambda value: getattr(value, "type", value),
)
def test_an_event_with_a_name_of_too_many_bytes_is_garbage(event: ev.Event, field: str) -> None:
    long = LONG_AUTHOR if field in {"node", "author", "user"} else LONG_NAME
    fields = {field: long} | ({"author": long} if field == "node" else {})
    with pytest.raises(UnreadableEvent):
        decode(encode(event.model_copy(update=fields)))


def test_a_node_with_a_capability_of_too_many_bytes_is_garbage() -> None:
    joined = make.joined()
    long = {"capabilities": frozenset({LONG_LABEL}), "version": LONG_LABEL, "gpus": (LONG_LABEL,)}
    for fields in ({field: value} for field, value in long.items()):
        with pytest.raises(UnreadableEvent):
            decode(encode(joined.model_copy(update=fields)))


def test_a_kept_attempt_with_a_name_of_too_many_bytes_is_garbage() -> None:
    kept = make.kept(["job1"])[0]._replace(job=LONG_NAME)
    with pytest.raises(UnreadableEvent):
        decode(encode(make.joined().model_copy(update={"keeps": (kept,)})))
    beat = Beat(node="ws1", incarnation="1", load=0.0)
    assert decode_beat(encode_beat(beat)) == beat
    for fields in ({"running": (kept,)}, {"node": LONG_AUTHOR}, {"incarnation": LONG_LABEL}):
        with pytest.raises(UnreadableEvent):
            decode_beat(encode_beat(beat.model_copy(update=fields)))
