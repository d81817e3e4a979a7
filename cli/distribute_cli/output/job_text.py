"""Writing what jobs and builds printed."""

from __future__ import annotations

import sys
from typing import Any

from distribute.client.words import printable
from distribute_cli.output.form import Document


class AsItComes:
    """Writes to standard output, byte for byte."""

    def __init__(self, *, titles: bool = True) -> None:
        self._titles = titles

    def begin(self, whose: Document, title: str = "") -> None:
        if title and self._titles:
            self.write(f"==> {printable(title)} <==\n".encode())

    def write(self, piece: bytes | memoryview) -> None:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


class Collected:
    """Keeps the text until it is complete, because JSON is one document."""

    def __init__(self) -> None:
        self._parts: list[tuple[Document, bytearray]] = []

    def begin(self, whose: Document, title: str = "") -> None:
        self._parts.append((whose, bytearray()))

    def write(self, piece: bytes | memoryview) -> None:
        self._parts[-1][1].extend(piece)

    def document(self) -> list[dict[str, Any]]:
        """All parts: the job or build of each, and its text under `output`."""
        return [
            {**whose, "output": output.decode(errors="backslashreplace")} for whose, output in self._parts
        ]
