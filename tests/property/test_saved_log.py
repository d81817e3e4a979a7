"""A saved log is read as it was written, and whatever is altered in it is found, and named."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distribute.core.errors import DistributeError, InputError, IntegrityError
from distribute.ports import Raw
from distribute.saved.lines import TAIL_BYTES, Chain, event_body, read_event
from distribute.saved.reading import SavedFile
from hypothesis_kit import FAIL_BY_CHANCE
from property.arbitrary import events, rightly_written
from saved_kit import STORY, lines_of, memory_log, saved, write_lines

NAMED = re.compile(r"altered or cut short in line (\d+)(?:, behind event (\d+))?")


@given(
    seq=st.integers(1, 2**63),
    time=st.floats(0, 4e9),
    payload=st.binary() | st.text().map(lambda text: b"{" + text.encode() + b"}"),
)
def test_the_line_of_an_event_gives_its_bytes_again(seq: int, time: float, payload: bytes) -> None:
    raw = Raw(seq, time, payload)
    line = Chain().seal(event_body(raw))
    assert line.count(b"\n") == 1
    Chain().check(line[:-1])
    assert read_event(line[:-1]) == raw


@settings(suppress_health_check=[*FAIL_BY_CHANCE, HealthCheck.function_scoped_fixture])
@given(written=st.lists(events.map(rightly_written), max_size=20))
def test_all_events_are_read_as_they_are_stored(written: list, tmp_path: Path) -> None:  # type: ignore[type-arg]
    stored = [*memory_log(written).stored.between(0, len(written))]
    path = saved(tmp_path / "log.gz", written)
    file = SavedFile(path)
    plain = [raw for raws in file.events() for raw in raws]
    assert plain == [raw for raws in file.check_chain() for raw in raws]
    assert [(raw.seq, raw.time) for raw in plain] == [(one.seq, one.time) for one in stored]
    assert file.last[:2] == (len(written), len(written))


def damage_of(path: Path) -> DistributeError:
    with pytest.raises(DistributeError) as found:
        SavedFile(path)
    return found.value


def first_wrong_line(altered: bytes, lines: list[bytes]) -> int | None:
    """The number of the first line that can't be read as it was; None: each line of an event can."""
    inflater, text = zlib.decompressobj(zlib.MAX_WBITS | 16), b""
    try:
        for at in range(len(altered)):
            text += inflater.decompress(altered[at : at + 1])
    except zlib.error:
        pass
    found = text.splitlines(keepends=True)
    wrong = [
        number for number, line in enumerate(lines[:-1], start=1) if found[number - 1 : number] != [line]
    ]
    return min(wrong, default=None)


def check_named(error: DistributeError, line: int | None, lines: int) -> None:
    """The message names this line; None: the last, or that all lines have their digests."""
    if line == 1:
        assert isinstance(error, InputError)
        assert "first line is damaged" in str(error)
        return
    assert isinstance(error, IntegrityError)
    named = NAMED.search(str(error))
    if line is None and named is None:
        assert "altered in its compressed form" in str(error)
        return
    assert named is not None, error
    assert int(named[1]) == (line or lines)
    assert named[2] == (str(int(named[1]) - 2) if int(named[1]) > 2 else None)


def test_every_altered_byte_is_found_and_its_line_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "log.gz", STORY[:6])
    whole, lines = path.read_bytes(), lines_of(path)
    for at in range(len(whole)):
        for bit in {0, at % 8}:
            altered = bytearray(whole)
            altered[at] ^= 1 << bit
            path.write_bytes(altered)
            check_named(damage_of(path), first_wrong_line(bytes(altered), lines), len(lines))


def test_a_file_that_is_cut_short_anywhere_is_refused_at_its_last_whole_line(tmp_path: Path) -> None:
    path = saved(tmp_path / "log.gz", STORY[:6])
    whole, lines = path.read_bytes(), lines_of(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        check_named(damage_of(path), first_wrong_line(whole[:length], lines), len(lines))


@settings(suppress_health_check=[*FAIL_BY_CHANCE, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_altered_byte_of_a_line_is_found_where_all_else_is_in_order(
    data: st.DataObject, tmp_path: Path
) -> None:
    path = saved(tmp_path / "log.gz")
    lines = lines_of(path)
    number = data.draw(st.integers(1, len(lines) - 1), label="line")
    line = bytearray(lines[number])
    at = data.draw(st.integers(0, len(line) - 2), label="byte")
    line[at] = data.draw(st.integers(0, 255).filter(lambda one: one not in {line[at], 10}), label="value")
    write_lines(path, [*lines[:number], bytes(line), *lines[number + 1 :]])
    check_named(damage_of(path), number + 1, len(lines))


@settings(suppress_health_check=[*FAIL_BY_CHANCE, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_lines_that_are_left_out_swapped_or_doubled_are_found(data: st.DataObject, tmp_path: Path) -> None:
    path = saved(tmp_path / "log.gz")
    lines = lines_of(path)
    first = data.draw(st.integers(1, len(lines) - 3), label="first")
    second = data.draw(st.integers(first + 1, len(lines) - 2), label="second")
    what = data.draw(st.sampled_from(["left out", "swapped", "doubled"]))
    altered = list(lines)
    if what == "left out":
        del altered[first:second]
    elif what == "swapped":
        altered[first], altered[second] = altered[second], altered[first]
    else:
        altered.insert(first, altered[first])
    write_lines(path, altered)
    check_named(damage_of(path), first + (2 if what == "doubled" else 1), len(altered))


def test_the_digest_of_a_line_covers_all_of_it_and_the_line_before() -> None:
    chain, other = Chain(), Chain()
    first = chain.seal(b'{"a":1')
    assert first[-TAIL_BYTES - 1 :].startswith(b',"sha256":"')
    assert chain.seal(b'{"b":1') != other.seal(b'{"b":1')


def test_a_chain_takes_the_lines_before_the_first_that_was_altered() -> None:
    sealing = Chain()
    lines = [sealing.seal(b'{"a":%d' % number)[:-1] for number in range(6)]
    altered = [*lines[:3], lines[3].replace(b'"a":3', b'"a":4'), *lines[4:]]
    chain = Chain()
    assert chain.take(altered[:2]) == 2
    assert chain.take(altered[2:]) == 1
    assert chain.take(lines[3:]) == 3, "it goes on behind the last that it took"
