"""The git commit that an input is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from distribute.core.frozen import Frozen

MAX_PATTERN_CHARS = 4096
"""Max. length of a glob, a ref, a path in a repository, or a URL."""


class GitCommit(Frozen):
    """What of a git repository an input is: a commit, or `folder` in it. `ref` names it as a person wrote it.

    `dirty`: changes that were not committed came along. `remote` is a URL without a password.
    """

    commit: Annotated[str, Field(min_length=40, max_length=64, pattern=r"^[0-9a-f]+$")]
    ref: str = Field(max_length=MAX_PATTERN_CHARS)
    dirty: bool = False
    folder: str = Field(default="", max_length=MAX_PATTERN_CHARS)
    remote: str | None = Field(default=None, max_length=MAX_PATTERN_CHARS)
