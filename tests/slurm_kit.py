"""A real SLURM for tests: `infra/slurm.sh` runs it, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra_kit import ENDS_WITHIN_S as ENDS_WITHIN_S
from infra_kit import running_script

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "slurmdbd", "munged", "mariadbd")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Slurm:
    """A running SLURM. `folder` holds its files; `env` is the environment in which its commands find it."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, *command: str | Path, cwd: Path | None = None, check: bool = True, env: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that finds this SLURM. `env` are more variables."""
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=ENDS_WITHIN_S,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def sbatch(self, *words: str | Path, cwd: Path) -> str:
        """Submit a script; returns the id of its job."""
        return self.run("sbatch", "--parsable", *words, cwd=cwd).stdout.strip()

    def wait(self, *ids: str) -> None:
        """Return when the jobs have ended, however they did. SLURM itself tells when."""
        # salloc is told by a message; `sbatch --wait` asks every few seconds.
        self.run("salloc", "--quiet", "--mem=1", f"--dependency=afterany:{':'.join(ids)}", "true")

    def account(self, out: Path) -> None:
        """Write the accounts of all jobs into their folder, once SLURM has the end of each.

        The accounting hears of a job's begin and of its end a while after it.
        """
        deadline = time.monotonic() + ENDS_WITHIN_S
        while True:
            self.run("sh", "schedule_jobs.sh", "--accounting", cwd=out)
            rows = [line.split("|") for line in (out / "accounting.txt").read_text().splitlines()]
            states = {row[0]: row[1] for row in rows}
            if all(states.get(one, "PENDING") not in {"PENDING", "RUNNING"} for one in ids_of(out)):
                return
            assert time.monotonic() < deadline, f"not all in the accounting yet: {states}"

    def show(self, job_id: str) -> dict[str, str]:
        """What `scontrol show job` says of a job."""
        shown = self.run("scontrol", "--oneliner", "show", "job", job_id).stdout
        return dict(word.split("=", 1) for word in shown.split() if "=" in word)


def ids_of(out: Path) -> set[str]:
    """The ids that SLURM gave the build and the jobs in a folder."""
    return {path.read_text().strip() for path in (out / "state").glob("*.id") if "array" not in path.name}


WHERE = ("--cluster-username", "jane", "--cluster-address", "hpc", "--cluster-upload-destination")
"""Options of `distribute slurm`; the folder at the cluster comes behind them."""


@dataclass(frozen=True)
class ScriptedFolder:
    """A folder of `distribute slurm OUTDIR`, whose scripts are run as SLURM would run them."""

    path: Path

    def run(
        self, number: int, slurm_id: str, restarts: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the script of a job. `variables` are more of the environment."""
        slurm = {"SLURM_JOB_ID": slurm_id, "SLURM_RESTART_COUNT": str(restarts), "SLURMD_NODENAME": "nid1"}
        env = {name: text for name, text in os.environ.items() if not name.startswith("SLURM")}
        env |= slurm | variables
        return subprocess.run(
            ["bash", f"scripts/{number}.sbatch"],
            cwd=self.path,
            env=env,
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN_S,
        )

    def state(self, number: int) -> dict[str, Any]:
        """What the script of a job said of its end."""
        return json.loads((self.path / "state" / f"{number}.json").read_text())  # type: ignore[no-any-return]


def need_slurm() -> None:
    """Skip the test if a SLURM can't be run here."""
    if os.geteuid() != 0:
        pytest.skip("a SLURM of our own needs root")
    missing = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed: sh infra/slurm.sh installs SLURM")


def remote_shell(folder: Path) -> dict[str, str]:
    """Variables by which rsync reaches `folder/cluster` as it would reach a home folder by ssh."""
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed: sh infra/slurm.sh installs it")
    shell = folder / "ssh"
    shell.write_text(
        f'#!/bin/sh\ncd "{folder}/cluster" || exit\n[ "$1" != -l ] || shift 2\nshift\nexec sh -c "$*"\n'
    )
    shell.chmod(0o755)
    (folder / "cluster").mkdir()
    return {"RSYNC_RSH": str(shell)}


@contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """A SLURM that has all its files in `folder`. It ends with the block, or when this process is killed."""
    need_slurm()
    with running_script("slurm.sh", folder) as (line, errors):
        name, _, value = line.partition("=")
        assert name == "SLURM_CONF", errors
        env = {key: text for key, text in os.environ.items() if not key.startswith(("SLURM", "SBATCH"))}
        yield Slurm(folder, {**env, "PATH": _PATH, name: value})
