"""Small messages that expand to more than a computer has."""

from __future__ import annotations

import functools
import zlib

_PIECE_BYTES = 1 << 20


@functools.cache
def bomb(content: bytes, size_bytes: int) -> bytes:
    """A zlib stream that expands to `size_bytes` of one letter; its size is a multiple of 1 MiB.

    We compress one piece and repeat it: to compress all of it takes seconds, and this is done in many tests.
    """
    piece = content * _PIECE_BYTES
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    repeated = compressor.compress(piece) + compressor.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(size_bytes // _PIECE_BYTES):
        checksum = zlib.adler32(piece, checksum)
    head, last = b"\x78\x9c", compressor.flush()
    return head + repeated * (size_bytes // _PIECE_BYTES) + last + checksum.to_bytes(4, "big")
