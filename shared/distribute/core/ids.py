"""Names of things, and the ids of events.

A batch is named by its namespace and batch name, a job by those and its own name, a node by its name. Users
choose the names. They become subjects in the stream and folders in the archive, so a name that no folder can
have is refused here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

MAX_NAME_BYTES = 255
"""As many as most file systems take for a folder. Percent-encoded, three of them and the name of an author
make a subject of 2,700 bytes. The broker takes 4,096 for a line with a subject, a reply and lengths."""

MAX_AUTHOR_BYTES = 128
"""A node, a person or a service. Their names are parts of file names, beside other words."""

MAX_ATTEMPTS = 2**31 - 1

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class BatchId(NamedTuple):
    """A batch: `NAMESPACE/BATCH`."""

    namespace: str
    batch: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.batch}"


class JobId(NamedTuple):
    """A job of a batch: `NAMESPACE/BATCH/JOB`."""

    namespace: str
    batch: str
    job: str

    @property
    def batch_id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.batch}/{self.job}"


class BuildId(NamedTuple):
    """The build of a batch at a node. It holds its batch, so it equals no job (see `Scope`)."""

    batch_id: BatchId
    node: str

    def __str__(self) -> str:
        return f"the build of {self.batch_id} at {self.node}"


class NodeId(NamedTuple):
    """A node-runner's computer, by the name it joined with."""

    node: str

    def __str__(self) -> str:
        return self.node


Scope = BatchId | JobId | BuildId | NodeId
"""What an event is about. Guards work by scope, so the events of a scope have one order.

Scopes are keys of dictionaries, where tuples of equal fields are equal, whatever their classes. So each kind
of scope has a form of its own: another length, or another type of field.
"""


class Under(NamedTuple):
    """Everything under a batch: its own events, and those of its jobs and builds."""

    batch: BatchId

    def __str__(self) -> str:
        return f"everything under {self.batch}"


class Assignments(NamedTuple):
    """Every assignment of a batch, of whichever job."""

    of: Under

    def __str__(self) -> str:
        return f"the assignments of {self.of.batch}"


Guarded = Scope | Under | Assignments
"""What a guard can cover."""


@lru_cache(maxsize=1 << 10)  # aliases and namespaces come again and again, names of jobs hardly ever
def check_name(name: str) -> str:
    """Return `name` if it can name a namespace, batch, job or file.

    Raises:
        ValueError: if no folder could carry it (empty, `.`, `..`, a `/` or NUL, not valid Unicode),
            or if it is longer than `MAX_NAME_BYTES` bytes of UTF-8.
    """
    if not name:
        raise ValueError("a name can't be empty")
    if name in {".", ".."}:
        raise ValueError(f"{name!r} can't be a name: it means a folder of its own")
    if "/" in name or "\0" in name:
        raise ValueError(f"{name!r} can't be a name: names become folders, so '/' and NUL are out")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name!r} can't be a name: it is not valid Unicode") from None
    if size > MAX_NAME_BYTES:
        raise ValueError(f"{name[:24]!r}… has {size} bytes; a name may have {MAX_NAME_BYTES}")
    return name


def check_author(name: str) -> str:
    """Return `name` if it can name a node or a person.

    Raises:
        ValueError: as of `check_name`, or if it is longer than `MAX_AUTHOR_BYTES` bytes of UTF-8.
    """
    size = len(check_name(name).encode())
    if size > MAX_AUTHOR_BYTES:
        raise ValueError(
            f"{name[:24]!r}… has {size} bytes; the name of a node or person may have {MAX_AUTHOR_BYTES}"
        )
    return name


Name = Annotated[str, AfterValidator(check_name)]
"""A checked name, for pydantic models."""

AuthorName = Annotated[str, AfterValidator(check_author)]
"""A checked name of a node or a person, for pydantic models."""

_ASCII_NAME = r"^(?:\.{0,2}[\x01-\x2d\x30-\x7f][\x01-\x2e\x30-\x7f]*|\.{3,}[\x01-\x2e\x30-\x7f]*)$"
_AsciiName = Annotated[str, StringConstraints(max_length=MAX_NAME_BYTES, pattern=_ASCII_NAME)]
_AsciiAuthor = Annotated[str, StringConstraints(max_length=MAX_AUTHOR_BYTES, pattern=_ASCII_NAME)]
StoredName = Annotated[
    _AsciiName | Annotated[str, AfterValidator(check_name)],
    Field(union_mode="left_to_right"),
    WithJsonSchema({"type": "string"}),
]
"""A name as events carry it, as `check_name` has it. The pattern passes every good one that is ASCII: a
replay decodes millions of names, and a function of ours costs ten times as much as a pattern."""

StoredAuthor = Annotated[
    _AsciiAuthor | Annotated[str, AfterValidator(check_author)],
    Field(union_mode="left_to_right"),
    WithJsonSchema({"type": "string"}),
]
"""A node, a person or a service as events carry it: as `StoredName`, for `check_author`."""

MAX_LABEL_BYTES = 256


def check_label(text: str) -> str:
    """Return `text` if it is no longer than `MAX_LABEL_BYTES` bytes of UTF-8. Raises `ValueError`."""
    if (size := len(text.encode("utf-8", "surrogatepass"))) > MAX_LABEL_BYTES:
        raise ValueError(f"{text[:24]!r}… has {size} bytes; it may have {MAX_LABEL_BYTES}")
    return text


Label = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_LABEL_BYTES // 4)]
    | Annotated[str, AfterValidator(check_label)],
    Field(union_mode="left_to_right"),
    WithJsonSchema({"type": "string"}),
]
"""A capability, a version, an incarnation, the name of a GPU: text that we show and compare, and never
interpret."""

AttemptNumber = Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)]


class AttemptId(NamedTuple):
    """One attempt at a job. The first is number 1."""

    namespace: StoredName
    batch: StoredName
    job: StoredName
    attempt: AttemptNumber

    @property
    def job_id(self) -> JobId:
        return JobId(self.namespace, self.batch, self.job)

    @property
    def batch_id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.batch}/{self.job}, attempt {self.attempt}"


def ulid(time_ms: int, entropy: bytes) -> str:
    """The ULID of a moment (milliseconds since 1970) and ten random bytes: 26 characters that sort by time.

    Source: https://github.com/ulid/spec
    """
    value = (time_ms << 80) | int.from_bytes(entropy, "big")
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))
