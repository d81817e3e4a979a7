"""Texts of a jobs file that have rules of their own: mounts of a container, and shells."""

from __future__ import annotations

import shlex
from typing import Annotated

from pydantic import AfterValidator

from distribute.config.sections.forms import Form
from distribute.config.sections.section import Text, at_most
from distribute.core.spec.specs import LOGIN_SHELL, MAX_MOUNTS
from distribute.core.words import quoted


def _parts(mount: str) -> list[str]:
    return [part for part in mount.split("/") if part not in {"", "."}]


def _check_mount(mount: str) -> str:
    parts = _parts(mount)
    if not mount.startswith("/") or ".." in parts or any(character in mount for character in ":,\n"):
        raise ValueError(
            f"{quoted(mount)} can't be mounted; "
            "write an absolute path in the container, such as /solver/cases"
        )
    if parts in ([], ["input"], ["distribute_save"]):
        raise ValueError(f"{quoted(mount)} can't be mounted, because distribute uses it; write another path")
    return mount


_NOT_A_MOUNT = r"(?:.*/)?\.\.(?:/.*)?|/(?:\.?/)*(?:\.|(?:input|distribute_save)(?:/\.?)*)?"
_MOUNT_FORM = Form(
    "a path in the container",
    pattern=rf"(?!(?:{_NOT_A_MOUNT})$)/[^:,\n]*",
    advice="write an absolute path in the container, such as /solver/cases",
)


def _each_once(mounts: tuple[str, ...]) -> tuple[str, ...]:
    """The mounts without repetitions: `/a` and `/a/` are one folder."""
    first: dict[tuple[str, ...], str] = {}
    for mount in mounts:
        first.setdefault(tuple(_parts(mount)), mount)
    return tuple(first.values())


Mounts = Annotated[
    tuple[Annotated[Text, AfterValidator(_check_mount), _MOUNT_FORM], ...],
    at_most(MAX_MOUNTS, "mounts"),
    AfterValidator(_each_once),
]
"""Paths in a container, each once."""

LOGIN = shlex.join(LOGIN_SHELL)

SHELLS = ("bash", "dash", "ksh", "mksh", "sh", "zsh")
"""Shells that understand the script that runs the setup lines."""


def _check_shell(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} has a quote that is never closed; write {LOGIN}") from None
    if not words or words[0].rpartition("/")[2] not in SHELLS:
        raise ValueError(
            f"{quoted(text)} is not a shell that can run setup lines; write one of {', '.join(SHELLS)}, "
            f"with options if you like, such as {LOGIN}"
        )
    return text


_SHELL_FORM = Form(  # of texts with quotes it accepts all
    "a shell, with options",
    pattern=rf"""[\s\S]*["'\\][\s\S]*|\s*(?:\S*/)?(?:{"|".join(SHELLS)})(?:\s[\s\S]*)?""",
    advice=f"write one of {', '.join(SHELLS)}, with options if you like",
)

Shell = Annotated[Text, AfterValidator(_check_shell), _SHELL_FORM]
"""A shell that can run setup lines, with its options."""
