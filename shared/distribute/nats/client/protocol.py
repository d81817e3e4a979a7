"""Read and write messages and headers of the NATS protocol as bytes; nats-py makes slower objects of them."""

from __future__ import annotations

from typing import NamedTuple

NO_HEADER = b""
HEADER_LINE = b"NATS/1.0"


class Message(NamedTuple):
    """A message received as an answer. `header` is the raw header block, empty if there is none."""

    header: bytes
    payload: bytes


def status(header: bytes) -> int:
    """The status code in a header block; only the broker itself sends one. 0: none."""
    return int(header[9:12]) if header[8:9] == b" " and header[9:12].isdigit() else 0


def header_fields(header: bytes) -> dict[str, str]:
    """The fields of a header block."""
    lines = header.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name: value.strip() for name, _, value in pairs}


def header_block(fields: dict[str, str]) -> bytes:
    """A header block with these fields. Names and values must not contain line ends."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return HEADER_LINE + f"\r\n{lines}\r\n".encode()


def publish_command(subject: str, payload: bytes, reply: str = "", header: bytes = NO_HEADER) -> bytes:
    """The bytes that publish a message."""
    if header:
        line = f"HPUB {subject} {reply} {len(header)} {len(header) + len(payload)}\r\n".encode()
        return b"".join((line, header, payload, b"\r\n"))
    return b"".join((f"PUB {subject} {reply} {len(payload)}\r\n".encode(), payload, b"\r\n"))
