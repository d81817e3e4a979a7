"""`Output`, the interface of all forms of an answer.

Answers go to standard output; everything else (hints, progress, warnings) goes to standard error.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from distribute.client.words import printable_lines
from distribute_cli.pasteable import with_address

if TYPE_CHECKING:
    from distribute.client import documents
    from distribute.client.replay_documents import PastDocument
    from distribute.client.why import WhyStory
    from distribute.core.log.recorded import Recorded
    from distribute.core.projections.history import Told

Document = Mapping[str, Any]
"""A JSON object with the keys that the interface names."""


class Bar(Protocol):
    """Progress of one thing towards a total."""

    def update(self, done: float, total: float, note: str = "", age_s: float = 0.0) -> None:
        """Show how far it is, with a note.

        `age_s` is how long it has gone on, if it began before this bar: as long as nothing more is done, the
        rate is estimated by that.
        """


class Countdown(Protocol):
    """How long something lasts still."""

    def show(self, left_s: float, note: str) -> None:
        """Show the seconds that are left, and a note."""


class JobText(Protocol):
    """Takes the output of jobs or builds, one after the other, piece by piece."""

    def begin(self, whose: Document, title: str = "") -> None:
        """Begin the output of a job or build; what is written next belongs to it."""

    def write(self, piece: bytes | memoryview) -> object:
        """Take the next piece."""


class Output(ABC):
    """Where a verb's answer goes. Each kind of answer has a method, which takes its JSON document."""

    address: str = ""
    """The options with which commands in hints and warnings go to the same cluster."""

    most_jobs: int | None = None
    """How many of a batch's jobs are listed without `--all`. None: all of them."""

    has_parameters = False
    """Does the list of a batch's jobs have the parameters of each? They have to be read from the log."""

    is_live = True
    """Can an answer come piece by piece?"""

    @abstractmethod
    def cluster(self, document: documents.ClusterDocument, *, at_once: bool) -> None:
        """Show which cluster the answer is of, with the answer or `at_once`."""

    @abstractmethod
    def batches(self, document: documents.BatchesDocument, *, selected: bool = False) -> None:
        """Show batches: all, or those that options have `selected`."""

    @abstractmethod
    def batch(self, document: documents.BatchWithJobs) -> None:
        """Show one batch and its jobs."""

    @abstractmethod
    def nodes(self, document: documents.NodesDocument) -> None:
        """Show all nodes."""

    @abstractmethod
    def node(self, document: documents.NodeStory) -> None:
        """Show everything about one node."""

    @abstractmethod
    def past(self, document: PastDocument) -> None:
        """Show all batches and all nodes as they were."""

    @abstractmethod
    def job(self, document: documents.JobStory) -> None:
        """Show everything about one job."""

    @abstractmethod
    def why(self, document: WhyStory) -> None:
        """Show what a job waits for, and where its time went."""

    @abstractmethod
    def capabilities(self, document: documents.NodesDocument) -> None:
        """Show people, beside the answer, what each node can do."""

    @abstractmethod
    def files(self, document: Document) -> None:
        """Show the files that `pull --dry` lists."""

    @abstractmethod
    def planned(self, document: Document) -> None:
        """Show the jobs of a batch that `add --dry` would submit. Programs get them with the answer."""

    @abstractmethod
    @contextmanager
    def job_text(self, document: Document) -> Iterator[JobText]:
        """Take the output of jobs or builds of the batch that `document` names."""

    @abstractmethod
    @contextmanager
    def history(self, *, every: bool, last: int | None) -> Iterator[Callable[[Told], None]]:
        """Take what is told of a batch, a job or a node, event by event.

        `every`: people get a line for each, too. `last`: only so many lines, or events, are shown.
        """

    @abstractmethod
    def event(self, recorded: Recorded) -> None:
        """Show one event of a stream at once, on a line of its own."""

    @abstractmethod
    def done(self, line: str, document: Document) -> None:
        """Say what was done: a line for people, the same as a document for programs."""

    @abstractmethod
    def name(self, name: str, document: Document) -> None:
        """Answer with a name alone, which scripts read: a line that is nothing else, or a document."""

    @abstractmethod
    def for_programs(self, document: Document) -> None:
        """Give programs the document of an answer that people get as warnings."""

    @abstractmethod
    def hint(self, line: str) -> None:
        """Tell people something useful beside the answer."""

    @abstractmethod
    @contextmanager
    def bar(self, title: str, *, of_bytes: bool = False) -> Iterator[Bar]:
        """Show the progress of what the block does, in bytes or in pieces."""

    @abstractmethod
    @contextmanager
    def countdown(self, how_to_end: str) -> Iterator[Countdown]:
        """Show how long a pause lasts still while the block runs, and how a person can end it."""

    def warn(self, line: str) -> None:
        """Warn of something that is wrong, in every form of answer."""
        text = printable_lines(with_address(line, self.address))
        print(f"distribute: {text}", file=sys.stderr, flush=True)
