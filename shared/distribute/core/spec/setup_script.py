"""The script with which a shell prepares a job's environment and then becomes the job.

The shell reads the node's profiles first, if it is a login shell. The script then gives the job's own
variables their values again, runs the setup lines, and executes the command: so the job is one process, with
the pid of the shell.

A profile or a setup line may end the shell (`exit`), replace it (`exec`), or be wrong. Nothing that the shell
does by itself tells these from a job that succeeded. So whoever starts the job puts a file `UNPREPARED` into
its folder. The script writes each setup line into it before it runs the line, and removes the file before
the command begins. If the file is still there when the process has ended, the command never ran.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

UNPREPARED = ".distribute_setup"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OF_SHELLS = frozenset(
    {"BASHOPTS", "BASH_VERSINFO", "EGID", "EUID", "GID", "PPID", "SHELLOPTS", "UID", "USERNAME", "status"}
)
"""Variables that belong to a shell: an assignment to them fails, or means something else."""


@dataclass(frozen=True, slots=True)
class Login:
    """What of a job's environment the profiles of its node can't change.

    `variables` get these values again. Unless PATH is one of them, it is the profiles' PATH, with the folders
    `path` in front and without the folder `hidden`: the programs of distribute's own Python.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    path: Sequence[str] = ()
    hidden: str | None = None


def setup_script(setup: Sequence[str], command: Sequence[str] | str, folder: str, login: Login) -> str:
    """A script for `sh -c` and its relatives. A `command` that is one text runs in the same shell.

    All values are quoted in the script itself. They are no arguments of the shell, because profiles and
    scripts that a line sources would take these for their own. It is one compound command, which a shell
    parses as a whole: an alias that a line makes changes nothing of it.
    """
    return "\n".join(["{", *_restored(login), *_lines(setup, folder), *_becoming(command), "}"])


def _restored(login: Login) -> Iterator[str]:
    if "PATH" not in login.variables:
        yield from _search_path(login)
    for name, value in login.variables.items():
        if _NAME.fullmatch(name) and name not in _OF_SHELLS:
            yield f"export {name}={shlex.quote(value)}"


def _search_path(login: Login) -> Iterator[str]:
    if login.hidden is not None:
        hidden = shlex.quote(login.hidden)
        # `-ef` knows the folder by any of its names.
        yield "distribute_rest=${PATH-}: PATH="
        yield 'while [ -n "$distribute_rest" ]; do'
        yield "distribute_entry=${distribute_rest%%:*} distribute_rest=${distribute_rest#*:}"
        yield f'[ "$distribute_entry" -ef {hidden} ] || PATH=$PATH:$distribute_entry'
        yield "done"
        yield 'export PATH="${PATH#:}"; unset distribute_rest distribute_entry'
        yield f'[ "${{VIRTUAL_ENV-}}/bin" -ef {hidden} ] && unset VIRTUAL_ENV'
    if login.path:
        yield f'export PATH={shlex.quote(":".join(login.path))}:"${{PATH-}}"'


def _lines(setup: Sequence[str], folder: str) -> Iterator[str]:
    mark = shlex.quote(f"{folder}/{UNPREPARED}")
    for line in setup:
        text = shlex.quote(line)
        yield f"printf %s {text} >|{mark} || exit"
        # No `eval … || exit`: that would switch off `set -e` in what the line sources.
        yield f"eval {text}"
        yield "case $? in 0) ;; *) exit ;; esac"
    yield f"command -p rm -f {mark} || exit"


def _becoming(command: Sequence[str] | str) -> Iterator[str]:
    if isinstance(command, str):
        yield f"set --; eval {shlex.quote(command)}"
    else:
        yield f"exec {shlex.join(command)}"
