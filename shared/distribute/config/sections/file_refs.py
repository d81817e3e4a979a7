"""How a file of a batch names the files, folders and globs that its jobs get."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from distribute.config.sections.forms import Form
from distribute.config.sections.section import LeanSection, Name, NonEmpty, Section, at_most, once
from distribute.core.spec.specs import MAX_FILES
from distribute.core.words import quoted
from distribute.inputs.checkout import HEAD
from distribute.inputs.patterns import Exclude

MAX_PATTERNS = 1000


def own_name(path: str) -> str:
    """The name under which a job sees the file at `path` if it has no alias."""
    return path.rstrip("/").rpartition("/")[2]


class FileRef(LeanSection):
    """A file. The job sees it as `alias`, or under its own name. A bare text is a path."""

    takes: ClassVar[str] = "a path, or {path: PATH, alias: NAME}"
    text_key: ClassVar[str] = "path"

    path: Annotated[NonEmpty, Form("a path")] = Field(examples=["data/mesh.dat"])
    alias: Name | None = Field(default=None, examples=["mesh.dat"])

    @property
    def name(self) -> str:
        return self.alias or own_name(self.path)


def checked_patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Patterns of what is left out. Raises `ValueError` if one is wrong."""
    for pattern in patterns:
        try:
            Exclude([pattern])
        except ValueError:
            raise ValueError(f"{quoted(pattern)} is no pattern; write one as in a .gitignore") from None
    return patterns


class GitRef(Section):
    """A git checkout. A bare text is a path. `ref` None: HEAD, with nothing that is not committed."""

    takes: ClassVar[str] = "the folder of a checkout, or {path: FOLDER, ref: REF}"
    text_key: ClassVar[str] = "path"

    path: Annotated[NonEmpty, Form("a path")] = Field(examples=["."])
    ref: NonEmpty | None = Field(default=None, examples=["v1.2"])


class TreeKeys(Section):
    """By these keys, an input is more than a file. `exclude` leaves out a part of a folder or of matches.

    With `git`, it is the checkout at that path, as of a commit; `path` is then that of `git`.
    """

    git: GitRef | None = Field(default=None, examples=["."])
    ref: NonEmpty | None = Field(default=None, examples=["v1.2"])

    exclude: Annotated[
        tuple[NonEmpty, ...], at_most(MAX_PATTERNS, "patterns"), AfterValidator(checked_patterns)
    ] = Field(default=(), examples=['["*.o", results/]'])

    @model_validator(mode="before")
    @classmethod
    def _git_has_the_path(cls, data: object) -> object:
        if not isinstance(data, dict) or data.get("git") is None:
            return data
        path = _path_of_git(data["git"])
        if data.get("path") not in (None, path):
            raise ValueError("'path' and 'git' can't stand together; write one of them")
        return {**data, "path": path or "."}  # the models report a wrong one

    @model_validator(mode="after")
    def _one_ref(self) -> Self:
        if self.ref is not None and self.git is None:
            raise ValueError("'ref' is for a git checkout; write git: FOLDER instead of path")
        if self.ref is not None and self.git is not None and self.git.ref not in (None, self.ref):
            raise ValueError("it has two refs; write one of them")
        return self

    @property
    def git_ref(self) -> str | None:
        """The commit to send, as it is written. None: it is no git checkout."""
        return None if self.git is None else self.git.ref or self.ref or HEAD


class InputRef(TreeKeys, FileRef):
    """A file, a folder, a glob: what it matches, or a git checkout."""

    takes: ClassVar[str] = "a path, {path: PATH, alias: NAME}, or {git: FOLDER, ref: REF, alias: NAME}"
    one_of: ClassVar[tuple[str, ...]] = ("path", "git")

    @model_validator(mode="before")
    @classmethod
    def _takes_a_file(cls, data: object) -> object:
        """Programs may name a file by the type that has files alone."""
        return {"path": data.path, "alias": data.alias} if type(data) is FileRef else data


def _path_of_git(git: object) -> str | None:
    """The path of a checkout, in any of its forms. None: it has none."""
    path = git.path if isinstance(git, GitRef) else git.get("path") if isinstance(git, dict) else git
    return path if isinstance(path, str) and path else None


Files = Annotated[tuple[InputRef, ...], at_most(MAX_FILES, "files"), once("files")]
