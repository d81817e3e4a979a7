"""Bytes <-> event: nothing is lost, and what can't be read says why."""

import os
import subprocess
import sys
import zlib

import orjson
import pytest

from distribute.codec import COMPRESS_OVER_BYTES, decode, decode_beat, encode, encode_beat
from distribute.core.beats import Beat
from distribute.core.errors import UnreadableEvent
from distribute.testing import builders as make

CLAIMED = encode(make.claimed())
NOT_ONE_STREAM = "a compressed event is cut short, runs on, or is larger than any event may be"


def changed(**fields: object) -> bytes:
    """A `claimed` event in which some fields are others."""
    return orjson.dumps(orjson.loads(CLAIMED) | fields)


def test_an_event_survives() -> None:
    event = make.submitted(make.batch(3, build="make", capabilities=frozenset({"gcc", "mpi"})))
    assert decode(encode(event)) == event


def test_what_is_not_said_is_not_stored() -> None:
    assert b"causation" not in CLAIMED
    assert CLAIMED.startswith(b'{"id":')


def test_a_large_event_is_compressed() -> None:
    small, large = make.submitted(make.batch(10)), make.submitted(make.batch(2000))
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
        (b"{}", "an event of the unknown type None, from a newer distribute: upgrade this one"),
        (
            changed(type="teleported"),
            "an event of the unknown type 'teleported', from a newer distribute: upgrade this one",
        ),
        (changed(v=2), "a 'claimed' event of version 2; this distribute reads up to 1: upgrade it"),
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
def test_what_is_no_event_stops_the_reader(data: bytes, why: str) -> None:
    with pytest.raises(UnreadableEvent) as stopped:
        decode(data)
    assert str(stopped.value).startswith(why)


def test_every_cut_is_noticed() -> None:
    for data in (CLAIMED, encode(make.submitted(make.batch(2000)))):
        for size in {0, 1, 2, len(data) // 2, len(data) - 1}:
            with pytest.raises(UnreadableEvent):
                decode(data[:size])


def test_a_beat_survives_and_what_is_none_is_refused() -> None:
    beat = Beat(node="ws1", incarnation="1", load=0.5, gpu_percent=(1.0, 99.5), running=("lab/sweep/job1",))
    assert decode_beat(encode_beat(beat)) == beat
    with pytest.raises(UnreadableEvent, match=r"^not a heartbeat: Field required$"):
        decode_beat(b'{"node":"ws1"}')


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
