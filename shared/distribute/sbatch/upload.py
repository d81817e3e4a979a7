"""Where the folder goes, and the scripts that stand as files in this package."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from distribute.core.errors import InputError
from distribute.core.words import quoted

_PLAIN = re.compile(r"[^\s:/@-][^\s:/@]*")
_UNREAD = re.compile(r"\A~[^/]|\$\{?[A-Za-z_]", re.ASCII)
"""What a person means a shell at the cluster to replace: `~bob`, `$SCRATCH`, `${SCRATCH}`."""
_DOES = {
    "rsync_upload.sh": "Run this here: it sends this folder to the cluster, but for what is there already.",
    "rsync_download.sh": "Run this here: it brings the results back, and the accounts of SLURM.",
    "schedule_jobs.sh": "Run this on the cluster: it schedules the jobs, each once, however often it runs.",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """Where the folder goes: a login at the cluster, and a folder there, from its home folder on."""

    username: str
    address: str
    destination: str

    def __post_init__(self) -> None:
        """Check what `ssh` and `rsync` would read as something else.

        Raises:
            InputError: a part can't be used.
        """
        for option, text in (("username", self.username), ("address", self.address)):
            if not _PLAIN.fullmatch(text) or not text.isprintable():
                is_both = option == "address" and "@" in text
                raise InputError(
                    f"--cluster-{option} {quoted(text)} can't be used; write a name as ssh knows it, such as "
                    + ("jane" if option == "username" else "login.cluster.example.org")
                    + (", and what is before the @ as --cluster-username" if is_both else "")
                )
        if not self.destination.strip() or not self.destination.isprintable():
            raise InputError(
                f"--cluster-upload-destination {quoted(self.destination)} is not a folder; "
                "write a path at the cluster, such as /scratch/jane/sweep3"
            )
        if _UNREAD.search(self.destination):
            raise InputError(
                f"--cluster-upload-destination {quoted(self.destination)} is used as it is written: "
                "variables and ~USER are not replaced; write the whole path at the cluster, such as "
                "/scratch/jane/sweep3"
            )

    @property
    def folder(self) -> str:
        """The folder without `~/`, as rsync and ssh begin in the home folder anyway."""
        folder = self.destination.rstrip("/") or "/"
        if folder.startswith("~"):
            folder = folder[1:].lstrip("/") or "."
        return f"./{folder}" if folder.startswith(("-", "~")) else folder

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the scripts that use rsync. The remote shell reads `quoted_folder` once more."""
        login, folder = f"{self.username}@{self.address}", self.folder
        schedule = f"cd {shlex.quote(folder)} && sh schedule_jobs.sh"
        return {
            "login": login,
            "folder": folder,
            "quoted_folder": shlex.quote(folder),
            "next_step": f"ssh {shlex.join((login, schedule))}",
        }


def begun(name: str, variables: Mapping[str, str]) -> str:
    """A script of this package, with a first line, what it does, and the values of its variables."""
    settings = "".join(f"{variable}={shlex.quote(value)}\n" for variable, value in variables.items())
    return f"#!/bin/sh\n# {_DOES[name]}\n{settings}\n{text_of(name)}"


def text_of(name: str) -> str:
    """A script of this package."""
    return resources.files("distribute.sbatch").joinpath(name).read_text("utf-8")
