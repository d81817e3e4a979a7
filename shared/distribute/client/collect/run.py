"""What is known of a batch that ran elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from distribute.core.log.events import RanAt
    from distribute.core.spec.specs import BatchSpec
    from distribute.inputs.sources import Source


@dataclass(frozen=True, slots=True)
class Left:
    """What a job left and printed.

    `stdout` None: `folder` is as `pull` writes it, with what the job printed in it.
    """

    folder: Path
    stdout: Path | None = None

    @property
    def printed(self) -> Path:
        """The file with what the job printed."""
        return self.folder / "stdout.txt" if self.stdout is None else self.stdout


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended there. The fields are those of `collected`; `left` None: nothing is there."""

    state: Literal["succeeded", "failed", "killed"]
    node: str
    ended_at: datetime
    started_at: datetime | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    max_rss_bytes: int = 0
    left: Left | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """How a batch's build ended there. `printed` is the file with what it printed; None: nothing is there."""

    node: str
    succeeded: bool
    reason: str | None = None
    wall_s: float = 0.0
    printed: Path | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A batch that ran elsewhere: how each of its jobs ended, in the order of `spec`.

    `sources` are the batch's inputs that are there, by SHA-256; `missing` names the others. `built` None:
    the batch has no build, or nothing tells of it.
    """

    spec: BatchSpec
    ran_at: RanAt
    ended: Sequence[Ended]
    sources: Mapping[str, Path | Source]
    built: Built | None = None
    missing: Sequence[str] = ()
