"""When a file was made. With its inode's number, that names a file: numbers alone are used again."""

from __future__ import annotations

import ctypes
import struct

_EMPTY_PATH = 0x1000
_BTIME = 0x800
_SIZE = 256
_FORMAT, _AT = "=qI", 80
"""Where `struct statx` has it: see statx(2)."""

_libc = ctypes.CDLL(None, use_errno=True)


def born_ns(file: int) -> int:
    """When an open file was made, in nanoseconds since 1970; 0 if nothing can tell."""
    if not hasattr(_libc, "statx"):
        return 0
    buffer = ctypes.create_string_buffer(_SIZE)
    if _libc.statx(file, b"", _EMPTY_PATH, _BTIME, buffer):
        return 0
    (mask,) = struct.unpack_from("=I", buffer)
    seconds, more_ns = struct.unpack_from(_FORMAT, buffer, _AT)
    return max(0, int(seconds) * 10**9 + int(more_ns)) if mask & _BTIME else 0
