"""What `distribute run` and the program that runs a batch for it tell each other: JSON, one line each.

The command line hands over one `Asked`. The program answers with news, until it ends.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias, get_args

SUBMISSION = "run-here"
"""The id of every submission of `run`. Folders that it fills are noted with it, so a later `run` of the batch
may fill them again, and nothing that belongs to a cluster is taken for its own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch to run. Paths are text, with the escapes of `os.fsdecode`.

    `spec` is the JSON of its `BatchSpec`, `sources` are its input files by sha256. The results go to
    `folder`/`base`. `is_part`: `spec` has only some of the batch's jobs. `clean`: remove its earlier results
    first. `capabilities` are what a person says that this computer has. `parts`: a folder with sources that
    are in no other file; it goes when the run ends.
    """

    spec: str
    sources: dict[str, str]
    user: str
    folder: str
    base: str
    is_part: bool = False
    clean: bool = False
    capabilities: list[str] = field(default_factory=list)
    parts: str | None = None

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode("ascii")

    @classmethod
    def decode(cls, text: bytes) -> Asked:
        """From JSON."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that people should know."""

    line: str


@dataclass(frozen=True, slots=True)
class Begun:
    """This computer can run the batch, and begins to."""


@dataclass(frozen=True, slots=True)
class Stands:
    """How the batch stands now, as `documents.BatchDocument`."""

    batch: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Printed:
    """A job, or the build (None), has printed this: bytes in base64."""

    job: str | None
    base64: str


@dataclass(frozen=True, slots=True)
class JobEnded:
    """An attempt of a job has ended: of itself, or `killed`. `again`: the job runs once more."""

    job: str
    attempt: int
    again: bool
    succeeded: bool
    killed: bool
    exit_code: int | None
    signal: int | None
    reason: str | None
    wall_s: float
    last_lines: list[str]


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """The build has failed."""

    reason: str
    last_lines: list[str]


@dataclass(frozen=True, slots=True)
class Landed:
    """What came of the results into the batch's folder. Paths are below `Asked.folder`, for people.

    `files` is how many files the results have. `left_out` are pairs of a job and a text. `outside` has JSON
    of `manifest.Outside` by job. `rescued` is a folder with all results, if some could not be written.
    """

    files: int
    size_bytes: int
    removed: int
    edited: list[str]
    beside: list[str]
    left_out: list[tuple[str, str]]
    outside: dict[str, str]
    problems: list[str]
    rescued: str | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """The batch is over, and its results are in its folder. `batch` is a `documents.BatchWithJobs`."""

    batch: dict[str, Any]
    landed: dict[str, Any]
    """The fields of `Landed`."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The program has failed, or refuses the batch: an error's message, its exit code, and its `ways`."""

    message: str
    code: int
    ways: list[str] = field(default_factory=list)


News: TypeAlias = Warned | Begun | Stands | Printed | JobEnded | BuildFailed | Over | Failed

_KINDS: dict[str, type[News]] = {kind.__name__: kind for kind in get_args(News)}


def encode_news(news: News) -> bytes:
    """As a line of JSON."""
    values = {each.name: getattr(news, each.name) for each in fields(news)}
    return json.dumps({"news": type(news).__name__, **values}).encode("ascii") + b"\n"


def decode_news(line: bytes) -> News:
    """From a line of JSON."""
    values = json.loads(line)
    return _KINDS[values.pop("news")](**values)
