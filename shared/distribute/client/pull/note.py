"""The note in a batch's folder: what `pull` wrote there, so that nothing of a person's is taken for it.

It is lines of JSON. The first names the batch; each other one lists files of one job with their digests.
A line is written before the files that it lists. So whatever interrupts a pull, a file that a pull wrote is
in the note, and a file whose content is not in the note is a person's. Lines are only ever appended, and only
for what the note lacks: a pull of one more job costs one more line.

    {"v": 1, "namespace": "jane", "batch": "mc", "submission": "01J…", "submitted_at": 1764180000.0}
    {"job": "re1", "attempt": 2, "files": {"u.csv": "SHA-256"}, "links": {"last": "u.csv"}, "folders": ["."]}
    {"job": "re2", "attempt": 1, "running": true, "files": {"u.csv": "SHA-256"}}
    {"job": null, "files": {"mc_build_output-ws1.txt": "SHA-256"}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from distribute.client.pull.target_folder import Parts, shown
from distribute.core.errors import Refused
from distribute.core.ways import Way

NOTE_NAME = b".distribute-pulled.jsonl"
VERSION = 1

JOBS_FOLDER = b"."
"""In `Contents.folders`: the job's folder itself."""

FILES_A_LINE = 1000
"""A job with more files gets several lines, so that no line takes much memory."""


class Origin(NamedTuple):
    """The batch that the files are from. `submitted_at` is the log's time, in seconds since 1970."""

    namespace: str
    batch: str
    submission: str | None = None
    submitted_at: float = 0.0

    def __str__(self) -> str:
        return f"{self.namespace}/{self.batch}"

    def is_same(self, other: Origin) -> bool:
        """Is it the same submission of the same batch? A scheduler of an older version doesn't tell it."""
        told = None not in {self.submission, other.submission}
        return str(self) == str(other) and (not told or self.submission == other.submission)


NO_BATCH = Origin("", "")


@dataclass(slots=True)
class Contents:
    """What an attempt left, or the builds: by the path below its folder, which content is there."""

    files: dict[bytes, bytes] = field(default_factory=dict)
    """SHA-256 digests."""
    links: dict[bytes, bytes] = field(default_factory=dict)
    """Where they lead."""
    folders: set[bytes] = field(default_factory=set)

    def update(self, other: Contents) -> None:
        """Add what `other` has."""
        self.files.update(other.files)
        self.links.update(other.links)
        self.folders |= other.folders

    def without(self, other: Contents) -> Contents:
        """What `other` lacks of this."""
        return Contents(
            {path: digest for path, digest in self.files.items() if other.files.get(path) != digest},
            {path: target for path, target in self.links.items() if other.links.get(path) != target},
            self.folders - other.folders,
        )


class Attempt(NamedTuple):
    """Whose contents these are: the job's folder, or `b""` for what builds printed; and its attempt.

    `number` is negative for what was fetched while the attempt ran. So it never counts as the attempt's
    results: a later pull takes it for that of another attempt.
    """

    job: bytes
    number: int | None = None


OfBatch = dict[bytes, dict[int | None, Contents]]
"""What was pulled of a batch: by the job's folder, and by the attempt."""


class Note:
    """What a note says. `fold` takes its lines; the other methods make new ones."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []
        """Which batches were pulled here. The last is the one that the folder is for now."""
        self.unreadable = 0
        """How many lines can't be read. What they listed counts as a person's."""
        self._contents: list[OfBatch] = []
        """For each origin."""

    @property
    def origin(self) -> Origin | None:
        """The batch that the folder is for; None: it is for any."""
        return self.origins[-1] if self.origins else None

    @property
    def _last(self) -> OfBatch:
        """What was pulled of the batch that the folder is for."""
        return self._contents[-1] if self._contents else {}

    def fold(self, line: bytes) -> None:
        """Take a line.

        Raises:
            Refused: a newer version wrote it.
        """
        try:
            written = json.loads(line)
            if "v" in written:
                _check_version(written["v"])
                self.origins.append(_origin(written))
                self._contents.append({})
            else:
                self.add(*_contents(written))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            self.unreadable += 1

    def add(self, attempt: Attempt, contents: Contents) -> None:
        """Add what an attempt at a job of the batch left. Raises `IndexError` if there is no batch yet."""
        of_job = self._contents[-1].setdefault(attempt.job, {})
        of_job.setdefault(attempt.number, Contents()).update(contents)

    def knows(self, parts: Parts, content: bytes, *, link: bool = False) -> bool:
        """Has a pull written this content to this path, below the batch's folder?"""
        job, path = _split(parts)
        return any(
            (contents.links if link else contents.files).get(path) == content
            for of_origin in self._contents
            for contents in of_origin.get(job, {}).values()
        )

    def is_current(
        self, parts: Parts, content: bytes, attempts: Mapping[bytes, int], *, link: bool = False
    ) -> bool:
        """Has a pull of this batch, as of these attempts, written this content to this path?"""
        job, path = _split(parts)
        return any(
            (contents.links if link else contents.files).get(path) == content
            for number, contents in self._last.get(job, {}).items()
            if attempts.get(job, number) == number
        )

    def missing(self, attempt: Attempt, contents: Contents) -> Contents:
        """What the note lacks of the contents of an attempt of the batch."""
        noted = self._last.get(attempt.job, {}).get(attempt.number)
        return contents if noted is None else contents.without(noted)

    def of_earlier_batches(self) -> Iterator[tuple[bytes, Contents]]:
        """What was pulled of other batches before, by the job's folder."""
        for of_origin in self._contents[:-1]:
            yield from _by_job(of_origin)

    def of_earlier_attempts(self, attempts: Mapping[bytes, int]) -> Iterator[tuple[bytes, Contents]]:
        """What was pulled of other attempts at these jobs than these, by the job's folder."""
        for job, of_job in self._last.items():
            for number, contents in of_job.items():
                if attempts.get(job, number) != number:
                    yield job, contents

    def of_all(self) -> Iterator[tuple[bytes, Contents]]:
        """All that was pulled, by the job's folder."""
        for of_origin in self._contents:
            yield from _by_job(of_origin)


def _by_job(of_origin: OfBatch) -> Iterator[tuple[bytes, Contents]]:
    for job, of_job in of_origin.items():
        for contents in of_job.values():
            yield job, contents


def origin_line(origin: Origin) -> bytes:
    """The line that begins what is pulled of a batch."""
    return _line({"v": VERSION, **origin._asdict()})


def contents_lines(attempt: Attempt, contents: Contents) -> Iterator[bytes]:
    """The lines for contents of an attempt, none with more than `FILES_A_LINE` files."""
    whose: dict[str, Any] = {"job": os.fsdecode(attempt.job) or None}
    if attempt.number is not None:
        whose["attempt"] = abs(attempt.number)
        if attempt.number < 0:
            whose["running"] = True
    files = list(contents.files.items())
    for start in range(0, len(files) or 1, FILES_A_LINE):
        some = files[start : start + FILES_A_LINE]
        line = whose | {"files": {os.fsdecode(path): digest.hex() for path, digest in some}}
        if start == 0 and contents.links:
            line["links"] = {os.fsdecode(path): os.fsdecode(to) for path, to in contents.links.items()}
        if start == 0 and contents.folders:
            line["folders"] = [os.fsdecode(path) for path in sorted(contents.folders)]
        yield _line(line)


def _line(written: Mapping[str, Any]) -> bytes:
    # ASCII with escapes: a file's name need not be valid UTF-8.
    return json.dumps(written, separators=(",", ":")).encode("ascii") + b"\n"


def _check_version(version: int) -> None:
    if version > VERSION:
        raise Refused(
            f"{shown((NOTE_NAME,))} is of a newer distribute: upgrade this one, or pull into another folder"
        ).with_ways(Way.ANOTHER_FOLDER_OF_BATCH)


def _origin(written: Mapping[str, Any]) -> Origin:
    submission = written["submission"]
    return Origin(
        str(written["namespace"]),
        str(written["batch"]),
        None if submission is None else str(submission),
        float(written["submitted_at"]),
    )


def _contents(written: Mapping[str, Any]) -> tuple[Attempt, Contents]:
    number = written.get("attempt")
    if written.get("running") and number is not None:
        number = -number
    return Attempt(os.fsencode(written["job"] or ""), number), Contents(
        {os.fsencode(path): bytes.fromhex(digest) for path, digest in written.get("files", {}).items()},
        {os.fsencode(path): os.fsencode(to) for path, to in written.get("links", {}).items()},
        {os.fsencode(path) for path in written.get("folders", ())},
    )


def _split(parts: Parts) -> tuple[bytes, bytes]:
    """The job's folder and the path below it; of what a build printed, `b""` and its name."""
    return (b"", parts[0]) if len(parts) == 1 else (parts[0], b"/".join(parts[1:]))


def lines_of(text: bytes) -> Iterable[bytes]:
    """The whole lines of a note. A crash or a full disk may have torn the last: none of its files is here."""
    return text[: text.rfind(b"\n") + 1].splitlines()
