"""Answers for people: tables and lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from distribute.client.words import printable_lines
from distribute_cli.output.form import Bar, Countdown, Document, JobText, Output
from distribute_cli.pasteable import with_address

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from distribute.client import documents
    from distribute.client.replay_documents import PastDocument
    from distribute.client.why import WhyStory
    from distribute.core.log.recorded import Recorded
    from distribute.core.projections.history import Told
    from distribute_cli.output.terminal_bar import PaceInWords

WIDE = 10_000
"""The width in columns of a table that does not go to a terminal. Nothing is cut there."""

LINE_EVERY_S = 2.0
"""How often progress is told without a terminal, at first."""

RAREST_LINE_S = 60.0


class TableOutput(Output):
    """Tables and lines. The modules that draw are imported only when something is drawn."""

    most_jobs = 100

    _cluster: documents.ClusterDocument | None = None
    """The cluster to show before the answer."""

    def cluster(self, document: documents.ClusterDocument, *, at_once: bool) -> None:
        self._cluster = document
        if at_once:
            self._show_cluster()

    def _show_cluster(self) -> None:
        from distribute.client.words import printable
        from distribute.config.settings.folders import short

        if self._cluster is not None:
            found, self._cluster = self._cluster, None
            self.hint(f"cluster: {printable(found['server'])} (from {printable(short(found['source']))})")

    def batches(self, document: documents.BatchesDocument, *, selected: bool = False) -> None:
        from distribute_cli.output import tables

        self._print(tables.batches(document, selected=selected))

    def batch(self, document: documents.BatchWithJobs) -> None:
        from distribute_cli.output import tables

        self._print(tables.batch(document))

    def nodes(self, document: documents.NodesDocument) -> None:
        from distribute_cli.output import tables

        self._print(tables.nodes(document))

    def node(self, document: documents.NodeStory) -> None:
        from distribute_cli.output import stories

        self._print(stories.node(document))

    def past(self, document: PastDocument) -> None:
        self.batches(document)
        self.nodes(document)

    def job(self, document: documents.JobStory) -> None:
        from distribute_cli.output import stories

        self._print(stories.job(document))

    def why(self, document: WhyStory) -> None:
        from distribute_cli.output import why

        self._print(why.why(document))

    def capabilities(self, document: documents.NodesDocument) -> None:
        from distribute_cli.output import tables

        self._print(tables.capabilities(document))

    def files(self, document: Document) -> None:
        from distribute_cli.output import tables

        self._print(tables.files(document))

    def planned(self, document: Document) -> None:
        from distribute_cli.output import planned

        self._print(planned.table(document, self.most_jobs))

    @contextmanager
    def job_text(self, document: Document) -> Iterator[JobText]:
        from distribute_cli.output.job_text import AsItComes

        yield AsItComes()

    @contextmanager
    def history(self, *, every: bool, last: int | None) -> Iterator[Callable[[Told], None]]:
        from distribute_cli.output.history import TextHistory

        history = TextHistory(every=every, last=last)
        yield history.take
        history.end()

    def event(self, recorded: Recorded) -> None:
        from distribute_cli.output.history import event_line

        print(event_line(recorded), flush=True)

    def done(self, line: str, document: Document) -> None:
        self._show_cluster()
        print(printable_lines(line), flush=True)

    def name(self, name: str, document: Document) -> None:
        self.done(name, document)

    def for_programs(self, document: Document) -> None:
        """Print nothing."""

    def hint(self, line: str) -> None:
        print(printable_lines(with_address(line, self.address)), file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, title: str, *, of_bytes: bool = False) -> Iterator[Bar]:
        if not sys.stderr.isatty():
            yield LineBar(title, of_bytes=of_bytes)
            return
        from distribute_cli.output.terminal_bar import terminal_bar

        with terminal_bar(_console(stderr=True), title, of_bytes=of_bytes) as bar:
            yield bar

    @contextmanager
    def countdown(self, how_to_end: str) -> Iterator[Countdown]:
        from distribute_cli.output.countdown import LineCountdown, terminal_countdown

        if not sys.stderr.isatty():
            yield LineCountdown(how_to_end)
            return
        with terminal_countdown(_console(stderr=True), how_to_end) as shown:
            yield shown

    def _print(self, parts: Iterable[RenderableType]) -> None:
        self._show_cluster()
        from rich.text import Text

        from distribute_cli.output.fitting import FittingTable

        console = _console(stderr=False)
        width = console.width
        for part in parts:
            if isinstance(part, str):
                part = with_address(part, self.address)
            if isinstance(part, FittingTable):
                part, needed = part.fitted(width)
                console.width = max(width, needed)
            console.print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))
            console.width = width


class LineBar:
    """Progress without a terminal: a line now and then, if there is news.

    There is none if everything is done before the first. The longer it takes, the rarer they become.
    """

    def __init__(self, title: str, *, of_bytes: bool = False) -> None:
        self._title = title
        self._of_bytes = of_bytes
        self._begun = self._last = time.monotonic()
        self._shown = ("", "")
        self._pace: PaceInWords | None = None

    def update(self, done: float, total: float, note: str = "", age_s: float = 0.0) -> None:
        now = time.monotonic()
        if now - self._last < min(max(LINE_EVERY_S, (now - self._begun) / 20), RAREST_LINE_S):
            return
        line = f"{self._title}: {100 * done / (total or 1):.0f} %"
        if (line, note) == self._shown:
            return
        self._last, self._shown = now, (line, note)
        if self._pace is None:
            from distribute_cli.output.terminal_bar import PaceInWords

            self._pace = PaceInWords(of_bytes=self._of_bytes)
        words = self._pace.words(done, total, note, age_s)
        print(f"{line} ({words})" if words else line, file=sys.stderr, flush=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=width)
