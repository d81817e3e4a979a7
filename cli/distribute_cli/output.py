"""How verbs answer: as tables for people, as JSON for programs, or as bare names (`--quiet`).

Answers go to standard output, everything else (hints, progress, warnings) to standard error.
"""

from __future__ import annotations

import shlex
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from distribute_cli.sinks import Printed

Document = dict[str, Any]
"""A JSON object with the keys that the interface names."""

WIDE = 10_000
"""The width of a table that goes to no terminal, in columns: nothing is cut there."""


LINE_EVERY_S = 2.0
"""How often progress is told where there is no terminal."""


class Bar(Protocol):
    """Progress of one thing towards a total."""

    def update(self, done: float, total: float, note: str = "") -> None:
        """Show how far it is; `note` stands behind the bar."""


class Output(ABC):
    """Where a verb's answer goes. One method a kind of answer; each takes the answer's JSON document."""

    most_jobs: int | None = None
    """How many of a batch's jobs are listed unless all are asked for. None: all of them."""

    @abstractmethod
    def batches(self, document: Document) -> None:
        """All batches."""

    @abstractmethod
    def batch(self, document: Document) -> None:
        """One batch and its jobs."""

    @abstractmethod
    def nodes(self, document: Document) -> None:
        """All nodes."""

    @abstractmethod
    def capabilities(self, document: Document) -> None:
        """What each node can do: by the way, for people."""

    @abstractmethod
    def files(self, document: Document) -> None:
        """The files that `pull --dry` lists."""

    @abstractmethod
    @contextmanager
    def printed(self, document: Document) -> Iterator[Printed]:
        """What jobs or builds printed. `document` says of which batch."""

    @abstractmethod
    def done(self, line: str, document: Document) -> None:
        """What was done: a line for people, the same as a document for programs."""

    @abstractmethod
    def hint(self, line: str) -> None:
        """Something that a person may want to know by the way."""

    @abstractmethod
    @contextmanager
    def bar(self, title: str, *, of_bytes: bool = False) -> Iterator[Bar]:
        """Show the progress of what the block does, in bytes or in pieces."""

    def warn(self, line: str) -> None:
        """Tell of something that is not as it should be, whatever the form of the answer."""
        print(f"distribute: {line}", file=sys.stderr, flush=True)


class TableOutput(Output):
    """For people."""

    most_jobs = 100

    def batches(self, document: Document) -> None:
        from distribute_cli import tables

        self._print(tables.batches(document))

    def batch(self, document: Document) -> None:
        from distribute_cli import tables

        self._print(tables.batch(document))

    def nodes(self, document: Document) -> None:
        from distribute_cli import tables

        self._print(tables.nodes(document))

    def capabilities(self, document: Document) -> None:
        from distribute_cli import tables

        self._print(tables.capabilities(document))

    def files(self, document: Document) -> None:
        from distribute_cli import tables

        self._print(tables.files(document))

    @contextmanager
    def printed(self, document: Document) -> Iterator[Printed]:
        from distribute_cli.sinks import AsItComes

        yield AsItComes()

    def done(self, line: str, document: Document) -> None:
        print(line, flush=True)

    def hint(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, title: str, *, of_bytes: bool = False) -> Iterator[Bar]:
        if not sys.stderr.isatty():
            yield _LineBar(title)
            return
        from distribute_cli.progress import terminal_bar

        with terminal_bar(_console(stderr=True), title, of_bytes=of_bytes) as bar:
            yield bar

    def _print(self, parts: Iterable[RenderableType]) -> None:
        console = _console(stderr=False)
        width, unlimited = console.width, console.options.update(max_width=WIDE)
        for part in parts:
            # Lines that a narrow terminal wraps can be read; columns of one letter can't.
            console.width = max(width, console.measure(part, options=unlimited).minimum)
            console.print(part)


class JsonOutput(Output):
    """For programs: one JSON document on standard output."""

    def batches(self, document: Document) -> None:
        self._write(document)

    def batch(self, document: Document) -> None:
        self._write(document)

    def nodes(self, document: Document) -> None:
        self._write(document)

    def capabilities(self, document: Document) -> None:
        """The answer proper holds them."""

    def files(self, document: Document) -> None:
        self._write(document)

    @contextmanager
    def printed(self, document: Document) -> Iterator[Printed]:
        from distribute_cli.sinks import Collected

        collected = Collected()
        yield collected
        self._write(document | {"logs": collected.document()})

    def done(self, line: str, document: Document) -> None:
        self._write(document)

    def hint(self, line: str) -> None:
        """Programs need none."""

    @contextmanager
    def bar(self, title: str, *, of_bytes: bool = False) -> Iterator[Bar]:
        yield _NoBar()

    def _write(self, document: Document) -> None:
        import orjson

        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE).decode())
        sys.stdout.flush()


class QuietOutput(Output):
    """For shell scripts: names and states, one a line, and silence where what was asked for was done."""

    def batches(self, document: Document) -> None:
        for batch in document["batches"]:
            print(printable(f"{batch['namespace']}/{batch['batch']}"), batch["state"])

    def batch(self, document: Document) -> None:
        for job in document["job_list"]:
            print(printable(job["job"]), job["state"])

    def nodes(self, document: Document) -> None:
        for node in document["nodes"]:
            print(printable(node["node"]), node["state"])

    def capabilities(self, document: Document) -> None:
        """Nobody wants them here."""

    def files(self, document: Document) -> None:
        for file in document["files"]:
            print(printable(file["path"]))

    @contextmanager
    def printed(self, document: Document) -> Iterator[Printed]:
        from distribute_cli.sinks import AsItComes

        yield AsItComes(titles=False)

    def done(self, line: str, document: Document) -> None:
        """Silence is the answer."""

    def hint(self, line: str) -> None:
        """Nobody wants one here."""

    @contextmanager
    def bar(self, title: str, *, of_bytes: bool = False) -> Iterator[Bar]:
        yield _NoBar()


def make_output(*, as_json: bool, quiet: bool) -> Output:
    """The output that the options ask for. JSON wins over quiet."""
    if as_json:
        return JsonOutput()
    return QuietOutput() if quiet else TableOutput()


def printable(text: str) -> str:
    """`text` on one line, without what a terminal would take for a command: names may hold any character."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def argument(name: str) -> str:
    """A name as it is typed into a shell, for what a message tells to type."""
    if name.isprintable():
        return shlex.quote(name)
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(char if char.isprintable() else _bytes_of(char) for char in escaped) + "'"


def _bytes_of(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode(errors="surrogateescape"))


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=width)


class _NoBar:
    def update(self, done: float, total: float, note: str = "") -> None:
        """Nobody looks."""


class _LineBar:
    """Progress where there is no terminal: a line now and then, none where all is done before."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = time.monotonic()

    def update(self, done: float, total: float, note: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            behind = f" ({note})" if note else ""
            print(f"{self._title}: {100 * done / (total or 1):.0f} %{behind}", file=sys.stderr, flush=True)
