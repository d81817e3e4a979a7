"""All errors of the tool, in one tree.

    DistributeError                 every error that this tool raises on purpose
     ├── InputError                 a file, name or option of the user is wrong        (exit code 2)
     │    └── InvalidArgument       an argument of the Python API is wrong; a ValueError, too
     ├── Unreachable                no broker answers where one was expected           (exit code 3)
     │    └── NobodyAnswers         the broker is there, but nobody answers this query
     ├── Refused                    the cluster refuses: name taken, unknown name, …   (exit code 4)
     │    ├── UnknownName           no batch, job or node has this name
     │    └── NameTaken             there is a batch of this name
     ├── Conflict                   a guard failed: its scope has a newer event
     ├── LogReplaced                the log is not the one that was read so far
     ├── UnreadableEvent            bytes that this version can't read as an event
     ├── IntegrityError             stored bytes do not have their digest
     ├── StorageFull                the broker or this computer has no room
     └── JobFailed                  a job of an `Executor` ended without the result of its function

Each message names the thing, what was tried, and the cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from distribute.core.ways import Way


class DistributeError(Exception):
    """Base of all errors this tool raises on purpose.

    `ways` are what the message advises. It names no options, because not every caller has these.
    """

    ways: tuple[Way, ...] = ()

    def with_ways(self, *ways: Way) -> Self:
        """This error, with what its message advises."""
        self.ways = ways
        return self


class InputError(DistributeError):
    """Something that the user wrote is wrong. `problems` has one line for each problem, all at once."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvalidArgument(InputError, ValueError):
    """A function of the Python API was called with something wrong. It is a ValueError, too."""


class Unreachable(DistributeError):
    """No broker could be reached."""


class NobodyAnswers(Unreachable):
    """The broker is there, but knows of no service that answers this kind of query."""


class Refused(DistributeError):
    """The cluster refused a request."""


class UnknownName(Refused):
    """No batch, job or node has this name. `batch`: of a job, the namespace and name of its batch.

    The message is `what`, then the name that was probably meant if we know one, then `advice`.
    """

    def __init__(
        self,
        kind: Literal["batch", "job", "node"],
        name: str,
        what: str,
        advice: str,
        batch: tuple[str, str] = ("", ""),
        near: str | None = None,
    ) -> None:
        super().__init__(f"{what}; {advice}" if near is None else f"{what}; did you mean {near!r}? {advice}")
        self.kind = kind
        self.name = name
        self.batch = batch
        self._texts = what, advice

    def meaning(self, near: str) -> UnknownName:
        """The same error, which asks whether `near` was meant."""
        return UnknownName(self.kind, self.name, *self._texts, self.batch, near)

    def advising(self, more: str) -> UnknownName:
        """The same error, with more advice."""
        what, advice = self._texts
        return UnknownName(self.kind, self.name, what, f"{advice}; {more}", self.batch)


class NameTaken(Refused):
    """There is a batch of this name. `what` says so, and whose it is; the message has advice behind it."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}: {advice}")
        self.what = what


class Conflict(DistributeError):
    """A guarded append was refused: another event of the scope came first.

    `beaten_by_seq` is the sequence of that event, the first that the author did not know: readers come to it.
    `last_seq` is that of the scope's last message. This may be garbage: to wait until it is read is to wait
    for ever.
    """

    def __init__(self, scope: object, expected_seq: int, *, beaten_by_seq: int, last_seq: int) -> None:
        super().__init__(f"{scope}: expected its last event at {expected_seq}, found one at {beaten_by_seq}")
        self.scope = scope
        self.expected_seq = expected_seq
        self.beaten_by_seq = beaten_by_seq
        self.last_seq = last_seq


class LogReplaced(DistributeError):
    """The log is not the one that was read so far. State derived from it is invalid; rebuild it."""


class UnreadableEvent(DistributeError):
    """Bytes that this version can't read as an event.

    A reader of the log stops at them only if a newer distribute may have written them. All others are
    garbage, which readers skip.
    """


class IntegrityError(DistributeError):
    """Stored content is missing, cut short, or differs from its digest."""


class StorageFull(DistributeError):
    """The broker or this computer has no room to store something."""


class JobFailed(DistributeError):
    """A job of an `Executor` ended without what its function returned or raised.

    It was killed, broke its limits or crashed its Python. `job` is NAMESPACE/BATCH/JOB, `node` where it ran
    last (None: nowhere), `reason` why it ended, and `last_lines` what it printed last.
    """

    def __init__(
        self, message: str, *, job: str = "", node: str | None = None, reason: str = "", last_lines: str = ""
    ) -> None:
        super().__init__(message)
        self.job = job
        self.node = node
        self.reason = reason
        self.last_lines = last_lines


def exit_code(error: DistributeError) -> int:
    """The exit code of a program that ends with this error."""
    match error:
        case InputError():
            return 2
        case Unreachable():
            return 3
        case Refused():
            return 4
        case _:
            return 1
