"""Encoding and decoding events: nothing is lost, and errors say why bytes can't be read."""

import json
import os
import subprocess
import sys
import zlib

import orjson
import pytest
from pydantic import ValidationError

from bomb_kit import bomb
from distribute.codec import (
    COMPRESS_OVER_BYTES,
    MAX_PIECE_BYTES,
    MAX_PIECE_VALUES,
    SmallEvents,
    decode,
    decode_beat,
    encode,
    encode_beat,
)
from distribute.core.errors import InputError, UnreadableEvent
from distribute.core.ids import AttemptId
from distribute.core.log.beats import Beat
from distribute.testing import builders as make

CLAIMED = encode(make.claimed())
NOT_ONE_STREAM = "a compressed event is cut short, runs on, or is larger than any event may be"


def changed(**fields: object) -> bytes:
    """A `claimed` event with some fields changed."""
    return orjson.dumps(orjson.loads(CLAIMED) | fields)


def test_an_event_survives_the_codec() -> None:
    event = make.submitted(make.batch(3, build="make", capabilities=frozenset({"gcc", "mpi"})))
    assert decode(encode(event)) == event


def test_absent_fields_are_not_stored() -> None:
    assert b"causation" not in CLAIMED
    assert CLAIMED.startswith(b'{"id":')


def test_a_large_event_is_compressed() -> None:
    small, large = make.submitted(make.batch(10)), make.submitted(make.batch(1000))
    assert encode(small)[:1] == b"{"
    assert encode(large)[:1] == b"\x78"
    assert len(encode(large)) < COMPRESS_OVER_BYTES
    assert decode(encode(large)) == large


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not an event: Input is a zero-length, empty document: line 1 column 1 (char 0)"),
        (b"{", "not an event: unexpected end of data: line 1 column 2 (char 1)"),
        (b"\xff\xfe", "not an event: "),
        (b"[1]", "not an event: a JSON list"),
        (b"null", "not an event: a JSON NoneType"),
        (b"{}", "an event of the unknown type 'None'"),
        (changed(type="teleported"), "an event of the unknown type 'teleported'"),
        (changed(v=2), "a 'claimed' event of version 2; this distribute reads up to 1"),
        (changed(author="ws2"), "not a valid 'claimed' event: 'ws2' wrote it, and only the node it nam"),
        (changed(id="a" * 65), "not a valid 'claimed' event: claimed.id: String should have at most 64"),
        (changed(id=""), "not a valid 'claimed' event: claimed.id: String should match"),
        (changed(id="a\n"), "not a valid 'claimed' event: claimed.id: String should match"),
        (changed(time="9999-01-01T00:00:00Z"), "not a valid 'claimed' event: claimed.time: Input should be"),
        (changed(time="2026-01-01T00:00:00"), "not a valid 'claimed' event: claimed.time: Input should have"),
        (changed(job="../x"), "not a valid 'claimed' event: claimed.job: Value error, '../x' can't"),
        (changed(node="scheduler", author="scheduler"), "not a valid 'claimed' event: 'scheduler' wrote it"),
        (changed(v=0), "not a valid 'claimed' event: claimed.v: Input should be 1"),
        (changed(attempt=0), "not a valid 'claimed' event: claimed.attempt: Input should be greater"),
        (changed(attempt=2**31), "not a valid 'claimed' event: claimed.attempt: Input should be less"),
        (changed(job=None), "not a valid 'claimed' event: claimed.job: Input should be a valid string"),
        (changed(more=1), "not a valid 'claimed' event: claimed.more: Extra inputs are not permitted"),
        (b"\x78\x9c", NOT_ONE_STREAM),
        (b"\x78\x9cgarbage", "a compressed event is damaged: "),
        (zlib.compress(CLAIMED)[:-3], NOT_ONE_STREAM),
        (zlib.compress(CLAIMED) + b"x", NOT_ONE_STREAM),
        (zlib.compress(b"[]"), "not an event: a JSON list"),
    ],
)  # fmt: skip
def test_bytes_that_are_not_an_event_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(UnreadableEvent) as stopped:
        decode(data)
    assert str(stopped.value).startswith(why)


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(orjson.loads(CLAIMED), indent=1).encode(),
        orjson.dumps({"type": "claimed"} | orjson.loads(CLAIMED)),
        CLAIMED.replace(b'"type":"claimed"', b'"type":"held","type":"claimed"'),
        zlib.compress(CLAIMED),
    ],
    ids=["with spaces", "its type first", "with two types", "compressed"],
)
def test_an_event_is_read_however_its_json_is_written(data: bytes) -> None:
    assert decode(data) == decode(CLAIMED)


def test_a_type_inside_a_value_is_not_the_events() -> None:
    with pytest.raises(UnreadableEvent, match=r"unknown type 'None'"):
        decode(b'{"more":' + CLAIMED + b"}")


def test_an_event_that_no_reader_accepts_is_not_written() -> None:
    for event, why in (
        (make.claimed(node="ws1").model_copy(update={"author": "ws2"}), "only the node it names may"),
        (make.completed().model_copy(update={"author": "jane"}), "only the scheduler may"),
        (make.submitted(make.batch(env={"LONG": "x" * MAX_PIECE_BYTES})), "submit several smaller"),
    ):
        with pytest.raises(InputError, match=why):
            encode(event)


@pytest.mark.parametrize(
    "message",
    [
        bomb(b" ", 1 << 30),
        zlib.compress(b'{"x":[' + b"0," * MAX_PIECE_VALUES + b"0]}"),
        zlib.compress(b"{" + b'"k":0,' * (MAX_PIECE_VALUES - 10) + b'"type":"claimed"}'),
        zlib.compress(
            b'{"type":"submitted","spec":{"work":{"kind":"command","jobs":[{"name":"a","command":['
            + b"0," * (MAX_PIECE_VALUES - 10)
            + b"0]}]}}}"
        ),
    ],
    ids=["blanks", "values", "fields", "arguments"],
)
def test_a_small_message_can_not_take_all_memory(message: bytes) -> None:
    """Each takes kilobytes in the log, and would take gigabytes in memory without bounds."""
    assert len(message) < 2 << 20
    program = (
        "import sys, resource; from distribute.codec import decode, UnreadableEvent\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: decode(sys.stdin.buffer.read())\n"
        "except UnreadableEvent: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    told = subprocess.run([sys.executable, "-c", program], input=message, capture_output=True, check=True)
    assert int(told.stdout) < 1 << 20, "KiB"


def test_a_large_event_with_unknown_fields_is_refused() -> None:
    large = make.submitted(make.batch(env={"LONG": "x" * (2 << 20)}))
    body = large.model_dump_json(exclude_none=True).encode()
    assert decode(body) == large
    for more in (b'{"more":1,', b'{"more":[],'):
        with pytest.raises(UnreadableEvent, match="it has unknown fields"):
            decode(more + body[1:])


def test_every_cut_is_noticed() -> None:
    for data in (CLAIMED, encode(make.submitted(make.batch(1000)))):
        for size in {0, 1, 2, len(data) // 2, len(data) - 1}:
            with pytest.raises(UnreadableEvent):
                decode(data[:size])


def test_a_small_event_is_read_alike_among_few_and_among_many() -> None:
    few, many = SmallEvents(), SmallEvents(many=1)
    assert many.validate(CLAIMED) == few.validate(CLAIMED)  # from the second on, it is another validator
    for event in (make.claimed(), make.finished(), make.joined(), make.build_finished(), make.completed()):
        data = encode(event)
        assert few.validate(data) == many.validate(data) == event
    for reader in (few, many):
        with pytest.raises(ValidationError):
            reader.validate(CLAIMED.replace(b'"claimed"', b'"clamped"'))


def test_a_beat_survives_the_codec_and_other_bytes_are_refused() -> None:
    running = (AttemptId("lab", "sweep", "job1", 1),)
    beat = Beat(node="ws1", incarnation="1", load=0.5, gpu_percent=(1.0, 99.5), running=running)
    assert decode_beat(encode_beat(beat)) == beat
    with pytest.raises(UnreadableEvent, match=r"^not a heartbeat: Field required$"):
        decode_beat(b'{"node":"ws1"}')


def test_fields_of_a_beat_that_only_a_newer_node_knows_are_ignored() -> None:
    """Or a node that was upgraded first would be declared lost."""
    beat = Beat(node="ws1", incarnation="1", load=0.5)
    newer = orjson.loads(encode_beat(beat)) | {"frozen": 0, "temperatures": {"cpu": 40}}
    assert decode_beat(orjson.dumps(newer)) == beat


def test_the_same_event_is_the_same_bytes_in_every_process() -> None:
    program = (
        "from distribute.codec import encode; from distribute.testing import builders as make\n"
        "names = frozenset(f'capability{n}' for n in range(20))\n"
        "print(encode(make.submitted(make.batch(2, capabilities=names))))\n"
        "print(encode(make.joined(capabilities=names)))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
