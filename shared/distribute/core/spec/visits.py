"""What people ask a node about a job that runs there: its files, and commands to run beside it.

People's programs ask the node itself, and nothing of it is an event. Paths are below the job's working
folder, and are bytes; in messages, each byte is the character of its number (`path_text`). An answer of
`read` of either kind is a line of JSON, and bytes behind it (`with_head`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import ConfigDict, Field

from distribute.core.ids import AttemptNumber, JobId, StoredAuthor, StoredName
from distribute.core.spec.specs import Frozen

FILES = "files"
"""The verb of `ListFiles` and `ReadFiles`."""
COMMANDS = "commands"
"""The verb of `StartCommand`, `ReadCommand` and `EndCommand`."""

MAX_ENTRIES = 100_000
"""Max. files, links and folders that a list names."""
MAX_PATH = 4096
CHUNK_BYTES = 2 << 20
"""Max. bytes of files, or of output, in one answer."""
MAX_PIECES = 256
"""Max. files that one answer brings a part of."""

MAX_ARGUMENTS_BYTES = 128 << 10
MAX_PRINTED_BYTES = 256 << 20
"""A command that prints more than this is ended. Files come by `pull --running`."""
DEFAULT_LIMIT_S = 600.0
MAX_LIMIT_S = 24 * 3600.0
"""For how long a command may run."""
WAIT_S = 2.0
"""A node answers `ReadCommand` when there is news, or after this time."""
UNASKED_S = 20.0
"""A command is ended if nobody has asked for news of it for so long: who wanted it is gone."""

Path = Annotated[str, Field(max_length=MAX_PATH)]
Amount = Annotated[int, Field(ge=0, le=1 << 62)]
CommandId = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[0-9A-Za-z-]+$")]


class _Visit(Frozen):
    """Fields that a newer program adds are ignored."""

    model_config = ConfigDict(extra="ignore")


class _OfAttempt(_Visit):
    namespace: StoredName
    batch: StoredName
    job: StoredName
    attempt: AttemptNumber

    @property
    def of(self) -> JobId:
        """The job."""
        return JobId(self.namespace, self.batch, self.job)


class ListFiles(_OfAttempt):
    """List what is in a folder of the job, and below it. `.`: all. None: the folder of its results."""

    do: Literal["list"] = "list"
    folder: Path | None = None


class Piece(_Visit):
    """A part of the file `path` that begins at `offset`, and ends before `until`. `path` empty: what the job
    has printed. `inode` and `born_ns`: nothing is read if another file is there. 0: any."""

    path: Path
    offset: Amount
    until: Amount
    inode: Amount = 0
    born_ns: Amount = 0


class ReadFiles(_OfAttempt):
    """Read parts of files, in order, as many as the answer may bring."""

    do: Literal["read"] = "read"
    pieces: Annotated[tuple[Piece, ...], Field(max_length=MAX_PIECES)]


class StartCommand(_OfAttempt):
    """Run a command in the job. If the same message comes again, it changes nothing."""

    do: Literal["start"] = "start"
    id: CommandId
    by: StoredAuthor
    argv: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_ARGUMENTS_BYTES)]
    limit_s: Annotated[float, Field(gt=0, le=MAX_LIMIT_S)] = DEFAULT_LIMIT_S


class ReadCommand(_Visit):
    """Wait for news of a command. `out` and `err`: so many bytes of both have arrived. `room`: so many more
    may come."""

    do: Literal["read"] = "read"
    id: CommandId
    out: Amount
    err: Amount
    room: Amount


class EndCommand(_Visit):
    """Send a signal to a command and all that it started."""

    do: Literal["end"] = "end"
    id: CommandId
    signal: Literal[1, 2, 9, 15]


Kind = Literal["file", "link", "folder"]
"""Only empty folders are listed."""


class Entry(NamedTuple):
    """What lies in a folder of a job that runs. `target` is where a link leads."""

    kind: Kind
    path: Path
    size_bytes: int
    mtime_ns: int
    mode: int
    inode: int
    target: Path = ""


class FilesFound(_Visit):
    """The answer to `ListFiles`. `is_part`: there are more entries.

    `results` is the folder of the job's results, `distribute_save` or where that leads; None: out of the
    job's folder, or it is gone. `printed_bytes` is how much the job has printed. `unread` names what can't be
    listed, and why. `paused`: the job is frozen.
    """

    results: Path | None
    entries: tuple[Entry, ...]
    printed_bytes: Amount
    is_part: bool = False
    unread: tuple[str, ...] = ()
    paused: bool = False


class Got(NamedTuple):
    """What an answer has of a piece.

    `length` bytes of data, behind those of the pieces before, or a hole of so many zeros. `problem`: why
    there is nothing. `size_bytes` and `mtime_ns` are of the file when it was read. `inode` and `born_ns` name
    it: numbers of inodes are used again. `is_other`: there is another file by now, or none.
    """

    length: int = 0
    is_hole: bool = False
    size_bytes: int = 0
    mtime_ns: int = 0
    inode: int = 0
    born_ns: int = 0
    is_other: bool = False
    problem: str = ""


class FilesRead(_Visit):
    """The head of the answer to `ReadFiles`: the first pieces, in order."""

    got: tuple[Got, ...]


class CommandNews(_Visit):
    """The head of the answer to `ReadCommand`. `out` and `err` bytes of both outputs follow.

    `is_over`: it has ended, and all that it printed was brought; then `exit_code`, or the `signal` that ended
    it. `reason` says why the node ended it. `paused_until`: it is frozen, in seconds since 1970.
    """

    out: Amount
    err: Amount
    is_over: bool = False
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    paused_until: float | None = None
    paused_by: str | None = None


def path_text(path: bytes) -> str:
    """A path as a message has it."""
    return path.decode("latin-1")


def path_bytes(text: str) -> bytes:
    """The path of a message. Raises `ValueError` if it is none."""
    return text.encode("latin-1")


def with_head(head: Frozen, *bodies: bytes) -> bytes:
    """An answer of a line of JSON and bytes."""
    return b"\n".join((head.model_dump_json().encode(), b"".join(bodies)))


def head_and_body(answer: bytes) -> tuple[bytes, memoryview]:
    """The line of JSON of an answer, and the bytes behind it."""
    end = answer.find(b"\n")
    return answer[:end], memoryview(answer)[end + 1 :]


def cut(body: memoryview, lengths: Sequence[int]) -> list[memoryview]:
    """Parts of these lengths. Raises `ValueError` if the bytes are not as many."""
    if sum(lengths) != len(body):
        raise ValueError(f"the answer has {len(body)} bytes in place of {sum(lengths)}")
    parts, at = [], 0
    for length in lengths:
        parts.append(body[at : at + length])
        at += length
    return parts
