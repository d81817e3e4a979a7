"""A terminal that a program writes to, and what stands on it."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import struct
import termios
from dataclasses import dataclass

from rich.text import Text


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal of so many columns. `program` is the descriptor for the program that runs in it."""

    screen: int
    program: int

    @classmethod
    def opened(cls, columns: int) -> Terminal:
        screen, program = pty.openpty()
        fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        return cls(screen, program)

    def lines(self) -> list[str]:
        """All lines that were written until the program has ended, without colours and moves."""
        os.close(self.program)
        written = bytearray()
        try:
            while piece := os.read(self.screen, 1 << 16):
                written += piece
        except OSError as error:
            if error.errno != errno.EIO:  # as Linux reports that no program has it open any more
                raise
        finally:
            os.close(self.screen)
        text = written.decode().replace("\r", "\n")
        return [Text.from_ansi(line).plain.rstrip() for line in text.splitlines()]
