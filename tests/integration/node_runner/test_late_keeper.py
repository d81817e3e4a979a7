"""A keeper that comes late to what it has to do, as on a busy computer."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

KEEPER_IS_LATE = """
import os, sys, time
from distribute_services.node_runner.keeper.cgroup import open_cgroups
from distribute_services.node_runner.keeper.keeper import Keeper

keeper = Keeper(sys.argv[1], open_cgroups(os.path.basename(sys.argv[1])[:12]), lambda message: None)
ask = {"unit": "one", "argv": ["true"], "cwd": sys.argv[1], "env": {"PATH": os.defpath}}
keeper.start(ask | {"niceness": 0, "stdout": "/dev/null"})
unit = keeper.units.get("one")
os.waitid(os.P_PID, unit.pid, os.WEXITED | os.WNOWAIT)
while time.monotonic() <= keeper.due():
    time.sleep(0.01)
keeper.act()
print(unit.looks, keeper.exits.of["one"]["exit_code"])
keeper.close()
"""


def test_what_has_ended_before_its_first_look_gets_no_cgroup(tmp_path: Path) -> None:
    """Even if a busy computer lets its keeper come late: a cgroup takes longer than a start."""
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    command = [sys.executable, "-P", "-c", KEEPER_IS_LATE, str(folder)]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120).stdout == b"0 0\n"
