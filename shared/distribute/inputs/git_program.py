"""Runs the `git` program, so that no repository makes it run another program, and none is changed.

A repository's own settings can name programs: hooks, filters, `core.fsmonitor`, transports. All are switched
off here, and so is the network. The checks of git itself stay, as that of a repository's owner.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from distribute.core.words import LONGEST_QUOTED_PATH, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = (2, 31)
"""Older ones take no settings from the environment, so they could run programs that a repository names."""

_SETTINGS = {
    "core.fsmonitor": "",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "protocol.allow": "never",
    "submodule.recurse": "false",
}
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_OFF = {"clean": "", "smudge": "", "process": "", "required": "false"}
"""Settings of a filter that does nothing."""

_LONGEST_REASON = 300


class GitProblem(ValueError):
    """Why a checkout can't be sent, in words for the person."""


class Git:
    """The program, for the folder of one checkout."""

    def __init__(self, folder: str) -> None:
        """Raises GitProblem if there is no usable program."""
        # A relative entry could lead to a program in the checkout.
        entries = filter(os.path.isabs, os.get_exec_path())
        program = shutil.which("git", path=os.pathsep.join(entries))
        if program is None:
            raise GitProblem("needs the program git, which is not on this computer; install it")
        self._program = program
        self._folder = folder
        self._settings = dict(_SETTINGS)
        self._check_version()

    def ask(self, *args: str | bytes) -> bytes:
        """What git prints. Raises GitProblem, with git's own words, if it fails."""
        ended = self.run(*args)
        if ended.returncode:
            raise GitProblem(f"git can't read it: {reason_of(ended.stderr)}")
        return ended.stdout

    def line(self, *args: str | bytes) -> str:
        """What git prints, without the end of its last line. Raises as `ask`."""
        return os.fsdecode(self.ask(*args)).removesuffix("\n")

    def run(self, *args: str | bytes) -> subprocess.CompletedProcess[bytes]:
        """Run git, and wait for its end."""
        return subprocess.run(
            self._command(*args), stdin=subprocess.DEVNULL, capture_output=True, env=self._environment()
        )

    @contextmanager
    def talking(self, *args: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Git's input and its output, while it runs."""
        process = subprocess.Popen(
            self._command(*args),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment(),
        )
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        try:
            yield process.stdin, process.stdout
        finally:
            process.kill()  # it has nothing to finish: it only reads
            process.communicate()

    def switch_off_filters(self) -> None:
        """Let git run no filter of the repository or of the person when it compares files."""
        keys = self.run("config", "-z", "--name-only", "--get-regexp", r"^filter\.").stdout
        for key in os.fsdecode(keys).split("\0"):
            driver, dot, _ = key.rpartition(".")
            if dot:
                self._settings |= {f"{driver}.{name}": value for name, value in _OFF.items()}

    def _check_version(self) -> None:
        said = self.line("version").removeprefix("git version ")
        parts = said.split(".")
        try:
            is_old = (int(parts[0]), int(parts[1])) < OLDEST
        except (IndexError, ValueError):
            raise GitProblem(f"{self._program} is no git: it calls itself {quoted(said[:80])}") from None
        if is_old:
            raise GitProblem(f"git {said} is too old; install {OLDEST[0]}.{OLDEST[1]} or a later one")

    def _command(self, *args: str | bytes) -> list[str | bytes]:
        return [self._program, "-C", self._folder, "--no-pager", "--literal-pathspecs", *args]

    def _environment(self) -> Mapping[str, str]:
        found = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        found |= _ENVIRONMENT
        found["GIT_CONFIG_COUNT"] = str(len(self._settings))
        for number, (key, value) in enumerate(self._settings.items()):
            found[f"GIT_CONFIG_KEY_{number}"] = key
            found[f"GIT_CONFIG_VALUE_{number}"] = value
        return found


def reason_of(stderr: bytes) -> str:
    """The first line that says why git failed."""
    lines = stderr.decode(errors="replace").splitlines()
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    said = (fatal or lines or ["it says nothing"])[0].partition(": ")
    return quoted((said[2] or said[0])[:_LONGEST_REASON], LONGEST_QUOTED_PATH)
