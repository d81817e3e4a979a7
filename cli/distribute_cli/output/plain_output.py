"""Answers for programs: JSON, and bare names and states."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from distribute.client.words import printable
from distribute_cli.output.form import Bar, Countdown, Document, JobText, Output

if TYPE_CHECKING:
    from distribute.client import documents
    from distribute.client.replay_documents import PastDocument
    from distribute.client.why import WhyStory
    from distribute.core.log.recorded import Recorded
    from distribute.core.projections.history import Told


class _ForPrograms(Output):
    """Without what only people need."""

    def hint(self, line: str) -> None:
        """Print nothing: programs need no hints."""

    @contextmanager
    def bar(self, title: str, *, of_bytes: bool = False) -> Iterator[Bar]:
        yield NoBar()

    @contextmanager
    def countdown(self, how_to_end: str) -> Iterator[Countdown]:
        yield NoCountdown()


class JsonOutput(_ForPrograms):
    """One JSON document on standard output."""

    is_live = False
    has_parameters = True
    _cluster: documents.ClusterDocument | None = None

    def cluster(self, document: documents.ClusterDocument, *, at_once: bool) -> None:
        """Keep it, for a key of the answer."""
        self._cluster = document

    def batches(self, document: documents.BatchesDocument, *, selected: bool = False) -> None:
        self._write(document)

    def batch(self, document: documents.BatchWithJobs) -> None:
        self._write(document)

    def nodes(self, document: documents.NodesDocument) -> None:
        self._write(document)

    def node(self, document: documents.NodeStory) -> None:
        self._write({"nodes": [document]})

    def past(self, document: PastDocument) -> None:
        self._write(document)

    def job(self, document: documents.JobStory) -> None:
        self._write(document)

    def why(self, document: WhyStory) -> None:
        self._write(document)

    def capabilities(self, document: documents.NodesDocument) -> None:
        """Print nothing: the answer itself holds them."""

    def files(self, document: Document) -> None:
        self._write(document)

    def planned(self, document: Document) -> None:
        """Print nothing: the answer itself holds them."""

    @contextmanager
    def job_text(self, document: Document) -> Iterator[JobText]:
        from distribute_cli.output.job_text import Collected

        collected = Collected()
        yield collected
        self._write({**document, "logs": collected.document()})

    @contextmanager
    def history(self, *, every: bool, last: int | None) -> Iterator[Callable[[Told], None]]:
        from distribute_cli.output.history import JsonHistory

        history = JsonHistory(last)
        yield history.take
        history.end()

    def event(self, recorded: Recorded) -> None:
        from distribute.client.history import event_document

        self._write(event_document(recorded))

    def done(self, line: str, document: Document) -> None:
        self._write(document)

    def name(self, name: str, document: Document) -> None:
        self._write(document)

    def for_programs(self, document: Document) -> None:
        self._write(document)

    def _write(self, document: Mapping[str, object]) -> None:
        if self._cluster is not None:
            document = {**document, "cluster": self._cluster}
        sys.stdout.buffer.write(_json(document) + b"\n")
        sys.stdout.buffer.flush()


def _json(document: object) -> bytes:
    """The document in UTF-8, whatever the locale: JSON is for programs."""
    import orjson

    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        # A path that is not valid UTF-8: it is escaped, and Python's `os.fsencode` gives its bytes again.
        return json.dumps(document, separators=(",", ":")).encode()


class QuietOutput(_ForPrograms):
    """For shell scripts: names and states, one on each line. Verbs that only do something print nothing."""

    def cluster(self, document: documents.ClusterDocument, *, at_once: bool) -> None:
        """Print nothing."""

    def batches(self, document: documents.BatchesDocument, *, selected: bool = False) -> None:
        for batch in document["batches"]:
            print(printable(f"{batch['namespace']}/{batch['batch']}"), batch["state"])

    def batch(self, document: documents.BatchWithJobs) -> None:
        for job in document["job_list"]:
            print(printable(job["job"]), job["state"])

    def nodes(self, document: documents.NodesDocument) -> None:
        for node in document["nodes"]:
            print(printable(node["node"]), node["state"])

    def node(self, document: documents.NodeStory) -> None:
        print(printable(document["node"]), document["state"])

    def past(self, document: PastDocument) -> None:
        self.batches(document)
        self.nodes(document)

    def job(self, document: documents.JobStory) -> None:
        print(printable(document["job"]), document["state"])

    def why(self, document: WhyStory) -> None:
        print(printable(document["job"]), document["waits_for"] or document["state"])

    def capabilities(self, document: documents.NodesDocument) -> None:
        """Print nothing."""

    def files(self, document: Document) -> None:
        for file in document["files"]:
            print(printable(file["path"]))

    def planned(self, document: Document) -> None:
        for job in document["job_list"]:
            print(printable(job["job"]))

    @contextmanager
    def job_text(self, document: Document) -> Iterator[JobText]:
        from distribute_cli.output.job_text import AsItComes

        yield AsItComes(titles=False)

    @contextmanager
    def history(self, *, every: bool, last: int | None) -> Iterator[Callable[[Told], None]]:
        from distribute_cli.output.history import QuietHistory

        history = QuietHistory(last)
        yield history.take
        history.end()

    def event(self, recorded: Recorded) -> None:
        from distribute_cli.output.history import quiet_line

        print(quiet_line(recorded), flush=True)

    def done(self, line: str, document: Document) -> None:
        """Print nothing."""

    def name(self, name: str, document: Document) -> None:
        print(printable(name), flush=True)

    def for_programs(self, document: Document) -> None:
        """Print nothing."""


class NoBar:
    """Shows no progress."""

    def update(self, done: float, total: float, note: str = "", age_s: float = 0.0) -> None:
        """Show nothing."""


class NoCountdown:
    """Shows nothing."""

    def show(self, left_s: float, note: str) -> None:
        """Show nothing."""
