"""Somebody who follows docs/slurm.md step by step, with a real SLURM, gets what the page says."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from acceptance.pages import ROOT, blocks
from acceptance.person import Person
from acceptance.run_kit import tree, with_one_node
from slurm_kit import Slurm, remote_shell

PAGE = "docs/slurm.md"
THERE = "/scratch/jane/cavity"


class Follower:
    """A person who has programs `distribute` and `ssh`. `/scratch` is in the folder of the test."""

    def __init__(self, jane: Person, slurm: Slurm, folder: Path) -> None:
        self.home, self._slurm = jane.home, slurm
        programs = folder / "bin"
        programs.mkdir()
        shutil.move(remote_shell(folder)["RSYNC_RSH"], programs / "ssh")
        program = programs / "distribute"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m distribute_cli "$@"\n')
        program.chmod(0o755)
        self.there = folder / THERE.lstrip("/")
        environment = {"HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"}
        self._env = {name: text for name, text in jane.environment.items() if name in environment}
        self._env["PATH"] = f"{programs}:{slurm.env['PATH']}"

    def pastes(self, commands: str) -> str:
        """Run commands up to the first that fails. Returns all that they print, as a terminal shows it."""
        typed = f"exec 2>&1\n{commands}".replace(THERE, str(self.there))
        return self._slurm.run("bash", "-e", "-c", typed, cwd=self.home, env=self._env).stdout

    def waits(self) -> None:
        """Until `squeue` lists no job, and the accounting has all of them."""
        ids = [path.read_text().strip() for path in (self.there / "state").glob("*.id")]
        self._slurm.wait(*ids)
        self.pastes(
            f"cd {THERE}; until sh schedule_jobs.sh --accounting; "
            f"[ $(grep -c '^[0-9]*|COMPLETED' accounting.txt) -ge {len(ids)} ]; do :; done"
        )


def test_the_commands_of_the_page_work_in_their_order(jane: Person, slurm: Slurm, tmp_path: Path) -> None:
    follower = Follower(jane, slurm, tmp_path)
    (example,) = re.findall(r"`(distribute template command .*?)`", (ROOT / PAGE).read_text())
    follower.pastes(example)
    (lab,), (at_slurm,), (collect,) = (blocks(PAGE, whose) for whose in ("lab", "slurm", "collect"))
    follower.pastes(lab)
    (jane.home / "pendulum-command").rename(jane.home / "of the lab")
    said = follower.pastes(at_slurm)
    assert "OUTDIR is written: 2 jobs" in said
    assert f"ssh jane@login.hpc.example.org 'cd {follower.there} && sh schedule_jobs.sh'" in said
    assert "all 2 jobs are scheduled; squeue --me lists those that are not over\n" in said
    follower.waits()
    follower.pastes("distribute delete last --yes")  # else the name is taken
    said = follower.pastes(collect)
    assert "2 of 2 jobs have ended by themselves; what they left is in results/" in said
    assert "is collected: 2 jobs: 2 succeeded" in said
    ours, collected, brought = (
        with_one_node(tree(jane.home / folder))
        for folder in ("of the lab", "pendulum-command", "OUTDIR/results/pendulum-command")
    )
    assert ours == collected == brought
    again = follower.pastes(at_slurm[at_slurm.index("sh OUTDIR") :] + "sh OUTDIR/rsync_download.sh")
    assert "nothing was left to schedule" in again
    assert "2 of 2 jobs have ended by themselves" in again
