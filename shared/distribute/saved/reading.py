"""Read a saved log, and find where it is damaged."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from distribute.codec import MAX_EVENT_BYTES
from distribute.core.errors import InputError, IntegrityError
from distribute.core.layout import LAYOUT
from distribute.core.os_words import why
from distribute.ports import Raw
from distribute.saved.lines import (
    FORMAT,
    Chain,
    Damaged,
    Header,
    Last,
    check_order,
    find_last,
    last_member,
    read_event,
)

_READ_AT_ONCE = 16 << 10
"""Compressed bytes. With four times as many, a replay takes an eighth longer (measured): the caches of the
processor have lost the lines when these are decoded."""

_INFLATED_AT_ONCE = 1 << 20

_LONGEST_LAST = 1 << 16
"""The last line and its gzip member are shorter."""

_LONGEST_LINE = 2 * MAX_EVENT_BYTES
"""Base64 makes the longest event a third longer."""


class SavedFile:
    """A saved log whose bytes are those that were written.

    Raises:
        InputError: it can't be read, is no saved log, or is of a newer distribute.
        IntegrityError: it was altered or cut short. The message names the line and the event.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.header = self._read_header()
            self.last = self._check()
        except OSError as error:
            raise InputError(f"{path}: can't be read: {why(error)}") from error

    def events(self) -> Iterator[list[Raw]]:
        """Yield the events in order, some at a time.

        Raises:
            IntegrityError: it was altered since it was opened, or by somebody who made its digests anew.
        """
        try:
            seq = 0
            for first, lines in self._lines():
                if first == 1:
                    del lines[0]  # the header
                raws = [read_event(line) for line in lines]
                seq = check_order(raws, seq)
                yield raws
        except (Damaged, OSError) as error:
            raise IntegrityError(f"{self.path}: was altered: {error}") from error

    def check_chain(self) -> Iterator[list[Raw]]:
        """As `events`, but checks the digest of each line, and their number.

        Raises:
            IntegrityError: a line is not the one that was saved. The message names it, and its event.
        """
        chain = Chain()
        line, seq, events = 1, 0, 0
        try:
            for first, lines in self._lines():
                taken = chain.take(lines)
                texts = lines[1:taken] if first == 1 else lines[:taken]  # without the header
                try:
                    raws = [read_event(text) for text in texts]
                    seq = check_order(raws, seq)
                except Damaged:
                    for line, text in enumerate(texts, start=max(first, 2)):  # noqa: B007 - the message names it
                        seq = check_order((read_event(text),), seq)  # raises at the line that it names
                    raise
                line = first + taken
                if taken < len(lines):
                    chain.check(lines[taken])  # raises
                events += len(raws)
                yield raws
            self._check_last_line(chain, events, seq)
        except Damaged as error:
            place = f"line {line}, behind event {seq}" if seq else f"line {line}"
            raise IntegrityError(f"{self.path}: was altered or cut short in {place}: {error}") from error

    def _check_last_line(self, chain: Chain, events: int, last_seq: int) -> None:
        line = self._last_line()
        chain.check(line[:-1])
        last = Last.read(line)
        if (last.events, last.last_seq) != (events, last_seq):
            raise Damaged(f"it tells of {last.events} events up to {last.last_seq}")

    def _read_header(self) -> Header:
        try:
            line = next(iter(self._lines()))[1][0]
            Chain().check(line)  # a newer format has this line, too
            header = Header.read(line)
        except (Damaged, StopIteration, IndexError):
            header = None
        if header is None:
            raise InputError(
                f"{self.path}: is no saved log, or its first line is damaged; "
                "`replay --export FILE` saves one"
            )
        for what, found, known in (
            ("layout", header.layout, LAYOUT),
            ("format", header.distribute_log, FORMAT),
        ):
            if found > known:
                raise InputError(
                    f"{self.path}: is of the {what} {found}, and this distribute reads {known}: "
                    "upgrade distribute on this computer"
                )
        return header

    def _check(self) -> Last:
        """The last line of the file, if its bytes are those that were written."""
        try:
            line = self._last_line()
            last = Last.read(line)
            if self._digest(line) == last.file_sha256:
                return last
        except Damaged:
            pass
        for _ in self.check_chain():
            pass
        raise IntegrityError(f"{self.path}: was altered in its compressed form; each line has its digest")

    def _last_line(self) -> bytes:
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LONGEST_LAST))
            return find_last(file.read())

    def _digest(self, line: bytes) -> str:
        """The digest of the bytes before the member of the last line."""
        digest, left = hashlib.sha256(), self.path.stat().st_size - len(last_member(line))
        with self.path.open("rb") as file:
            while left > 0 and (piece := file.read(min(left, _INFLATED_AT_ONCE))):
                digest.update(piece)
                left -= len(piece)
        return digest.hexdigest()

    def _lines(self) -> Iterator[tuple[int, list[bytes]]]:
        """Yield the lines before the last without their ends, some at a time, with the number of the first.

        Raises `Damaged` behind the last line that is whole.
        """
        number, pieces, length = 1, list[bytes](), 0
        with self.path.open("rb") as file:
            for text in _inflated(file):
                pieces.append(text)
                length += len(text)
                if b"\n" in text:
                    lines = b"".join(pieces).split(b"\n")
                    pieces = [lines.pop()]
                    length = len(pieces[0])
                    yield number, lines
                    number += len(lines)
                if length > _LONGEST_LINE:
                    raise Damaged("it is longer than any event")
        if length:
            raise Damaged("it has no end")


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """Yield the text of a file's first gzip member. Raises `Damaged` behind all that can be read.

    Any program may have compressed it: of a file that somebody unpacked, altered and packed again, we name
    the altered line.
    """
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while not inflater.eof:
        piece = file.read(_READ_AT_ONCE)
        if not piece:
            raise Damaged("the file ends")
        while piece and not inflater.eof:
            before = inflater.copy()
            try:
                text = inflater.decompress(piece, _INFLATED_AT_ONCE)
            except zlib.error:
                yield from _inflated_byte_by_byte(before, piece)
                return
            yield text
            piece = inflater.unconsumed_tail


def _inflated_byte_by_byte(inflater: zlib._Decompress, piece: bytes) -> Iterator[bytes]:
    """Yield the text in front of a damaged byte, and raise `Damaged`."""
    try:
        for at in range(len(piece)):
            yield inflater.decompress(piece[at : at + 1])
    except zlib.error:
        raise Damaged("the compressed bytes are damaged") from None
