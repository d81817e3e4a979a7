"""Ending a unit ends its whole process tree, and no other process; with cgroups and without."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from distribute_services.node_runner.host.keeping import KeeperFailed, Keeping, Refusal
from distribute_services.node_runner.host.leftovers import kill_leftovers
from distribute_services.node_runner.keeper import procfs

from .keeping_kit import Kept, alive, appearance, gone, keeper, until


async def test_daemon_left_behind_is_ended_before_its_job_is_over(kept: Kept) -> None:
    ended = await kept.end_of(kept.start_daemon())
    assert not isinstance(ended, Refusal)
    assert (ended["exit_code"], ended["ended_for"]) == (0, None)
    assert not alive(int((kept.folder / "daemon.pid").read_text()))


async def test_stubborn_daemon_is_killed(kept: Kept) -> None:
    await kept.end_of(kept.start_daemon("stubborn"))
    assert not alive(int((kept.folder / "daemon.pid").read_text()))


async def test_daemon_without_environment_is_ended_with_the_last_unit_at_latest(kept: Kept) -> None:
    """A cgroup tells whose it is, if its unit was old enough to have one."""
    other = kept.start("sleep", "600")
    await kept.end_of(kept.start_daemon("hidden"))
    hidden = int(await appearance(kept.folder / "daemon.pid"))
    await kept.keeping.end(other, grace_s=5)
    assert not alive(hidden)


async def test_end_ends_the_whole_tree_and_only_that(kept: Kept) -> None:
    one, two = kept.folder / "one", kept.folder / "two"
    one.mkdir()
    two.mkdir()
    ended, spared = (kept.start_daemon("stay", cwd=folder) for folder in (one, two))
    pids = [int(await appearance(folder / "daemon.pid")) for folder in (one, two)]
    await kept.keeping.end(ended, grace_s=60)
    assert [alive(pid) for pid in pids] == [False, True]
    end = await kept.end_of(ended)
    assert not isinstance(end, Refusal)
    assert (end["signal"], end["ended_for"]) == (signal.SIGTERM, "killed")
    await kept.keeping.end(spared, grace_s=5)
    assert not alive(pids[1])


async def test_a_tree_is_killed_after_the_grace_period(kept: Kept) -> None:
    stubborn = "trap '' TERM; touch ready; while :; do sleep 1; done"
    name = kept.start("sh", "-c", stubborn, grace_s=1000)
    await until((kept.folder / "ready").exists)
    begun = time.monotonic()
    await kept.keeping.end(name, grace_s=0.5)
    assert 0.5 <= time.monotonic() - begun < 60
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal)
    assert ended["signal"] == signal.SIGKILL


async def test_a_shorter_grace_replaces_a_longer_one(kept: Kept) -> None:
    stubborn = "trap '' TERM; touch ready; while :; do sleep 1; done"
    name = kept.start("sh", "-c", stubborn, grace_s=1000)
    await until((kept.folder / "ready").exists)
    ending = asyncio.create_task(kept.keeping.end(name, grace_s=1000))
    await asyncio.sleep(0)  # it has asked for the longer one
    await kept.keeping.end(name, grace_s=0)
    await ending


async def test_a_job_may_clean_up_within_its_grace_period(kept: Kept) -> None:
    script = "trap 'sleep 0.3; echo cleaned; exit 5' TERM; touch ready; while :; do sleep 0.05; done"
    name = kept.start("sh", "-c", script)
    await until((kept.folder / "ready").exists)
    await kept.keeping.end(name, grace_s=60)
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal)
    assert ended["exit_code"] == 5
    assert "cleaned" in (kept.folder / "out").read_text()


async def test_a_unit_is_ended_at_its_time_limit(kept: Kept) -> None:
    ended = await kept.end_of(kept.start("sleep", "600", timeout_s=0.3, grace_s=60))
    assert not isinstance(ended, Refusal)
    assert (ended["signal"], ended["ended_for"]) == (signal.SIGTERM, "timeout")
    assert ended["wall_s"] >= 0.3


async def test_stopped_processes_are_ended(kept: Kept) -> None:
    name = kept.start("sh", "-c", "echo $$ > pid; exec sleep 600")
    os.kill(int(await appearance(kept.folder / "pid")), signal.SIGSTOP)
    await kept.keeping.end(name, grace_s=60)
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal)
    assert ended["signal"] == signal.SIGTERM


async def test_nothing_is_left_when_children_are_born_all_the_time(kept: Kept) -> None:
    born = "trap '' TERM; while :; do sleep 0.01 & echo born >> births; sleep 0.02; done"
    name = kept.start("sh", "-c", born)
    await until(lambda: (kept.folder / "births").exists() and (kept.folder / "births").stat().st_size > 50)
    await kept.keeping.end(name, grace_s=0.1)
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal)
    assert ended["signal"] == signal.SIGKILL
    assert kept.left() == []


FORK_BOMB = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))  # more would starve the tests beside it
open("bombed", "w").close()
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


@pytest.mark.skipif(os.getuid() != 0, reason="the limit of processes is one of a user: root has none")
async def test_a_fork_bomb_ends(kept: Kept) -> None:
    kept.folder.chmod(0o777)
    user = 100_000 + os.getpid()  # of no other test that runs now
    command = [
        "setpriv",
        f"--reuid={user}",
        "--clear-groups",
        "--no-new-privs",
        sys.executable,
        "-c",
        FORK_BOMB,
    ]
    name = kept.start(*command)
    await until((kept.folder / "bombed").exists)
    await kept.keeping.end(name, grace_s=0.2)
    assert not list(filter(alive, procfs.processes_of(user)))


async def test_zombies_are_reaped(kept: Kept) -> None:
    name = kept.start(
        "sh", "-c", "for i in 1 2 3; do (setsid sleep 0.1 &) ; done; touch ready; exec sleep 600"
    )
    await until((kept.folder / "ready").exists)
    pid = kept.keeping.current.pid
    await until(lambda: len(procfs.children(pid)) == 1)
    await kept.keeping.end(name, grace_s=5)


async def test_figures_are_those_of_the_whole_tree_also_after_a_kill(kept: Kept) -> None:
    """A child is killed with its parent, which so can't wait for it."""
    burn = "import sys; x = b'x' * (60 << 20); open('burning' + sys.argv[1], 'w').close()\nwhile True: pass"
    name = kept.start("sh", "-c", '"$0" -c "$1" 1 & "$0" -c "$1" 2 & wait', sys.executable, burn)
    await until(lambda: len(list(kept.folder.glob("burning*"))) == 2)
    await until(lambda: sum(psutil.Process(pid).cpu_times().user for pid in kept.left()) > 0.4)
    await kept.keeping.end(name, grace_s=0)
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal)
    assert ended["cpu_s"] > 0.2
    assert ended["max_rss_bytes"] > 2 * (60 << 20)


KEEPER_IS_SLOW = """
import os, signal, sys, time
from distribute.system import become_subreaper
from distribute_services.node_runner.keeper.keeper import Keeper
from distribute_services.node_runner.keeper.units import Units

class LateDeath(Units):
    # The unit's other process ends when the keeper has just looked who has ended.
    def reap(self, now):
        touched = super().reap(now)
        if touched and victim:
            os.kill(victim.pop(), signal.SIGKILL)
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        return touched

become_subreaper()
keeper = Keeper(sys.argv[1], None, lambda message: None)
keeper.units.__class__ = LateDeath
victim = []
burn = "t = time.process_time\\nwhile t() < 0.3: pass\\nopen('burned', 'w').close()\\ntime.sleep(60)"
command = ["sh", "-c", '"$0" -c "$1" & wait', sys.executable, "import time\\n" + burn]
ask = {"unit": "one", "argv": command, "cwd": sys.argv[1], "env": {"PATH": os.defpath}, "niceness": 0}
keeper.start(ask | {"stdout": "/dev/null"})
unit = keeper.units.get("one")
while not os.path.exists(sys.argv[1] + "/burned"):
    time.sleep(0.01)
victim += set(keeper.units.members(unit)) - {unit.pid}
os.kill(unit.pid, signal.SIGKILL)
os.waitid(os.P_PID, unit.pid, os.WEXITED | os.WNOWAIT)
keeper.reap()
print(keeper.exits.of["one"]["cpu_s"])
"""


def test_a_process_that_ends_while_the_keeper_looks_counts_too(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", KEEPER_IS_SLOW, str(tmp_path)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120).stdout
    assert float(printed) > 0.3


SIGNALS_IN_TURN = """
import os, sys, time
from distribute.system import become_subreaper
from distribute_services.node_runner.keeper import procfs, signalling
from distribute_services.node_runner.keeper.cgroup import open_cgroups
from distribute_services.node_runner.keeper.keeper import Keeper

def send_slowly(pids, numbers):
    # As if others had the processor between two signals.
    for pid in pids:
        send_at_once([pid], numbers)
        time.sleep(0.1)

send_at_once, signalling.signal_all = signalling.signal_all, send_slowly
become_subreaper()
keeper = Keeper(sys.argv[1], open_cgroups(os.path.basename(sys.argv[1])[:12]), lambda message: None)
script = "sh -c 'sleep 600; touch went-on; exit 0'; touch went-on; exit 0"
ask = {"unit": "one", "argv": ["sh", "-c", script], "cwd": sys.argv[1], "env": {"PATH": os.defpath}}
keeper.start(ask | {"niceness": 0, "stdout": "/dev/null"})
unit = keeper.units.get("one")
def programs():
    return [procfs.read(f"/proc/{pid}/cmdline") for pid in keeper.units.members(unit)]

while not any(program.startswith(b"sleep") for program in programs()):
    time.sleep(0.01)
keeper.end({"unit": "one", "grace_s": 60})
while len(keeper.units):
    keeper.reap()
    time.sleep(0.01)
print(keeper.exits.of["one"]["signal"])
keeper.close()
"""


def test_a_script_does_not_go_on_when_its_programs_are_ended_with_it(tmp_path: Path) -> None:
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    command = [sys.executable, "-P", "-c", SIGNALS_IN_TURN, str(folder)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120).stdout
    assert printed.decode() == f"{signal.SIGTERM}\n"
    assert not (folder / "went-on").exists()


async def test_open_files_are_not_inherited(kept: Kept) -> None:
    _, printed = await kept.run("ls", "/proc/self/fd")
    assert printed.split() == ["0", "1", "2", "3"]  # 3: the listing itself


async def test_a_name_in_use_is_refused(kept: Kept) -> None:
    name = kept.start("sleep", "600", name="same")
    with pytest.raises(ValueError, match="runs already"):
        kept.start("true", name="same")
    await kept.keeping.end(name, grace_s=5)
    await kept.end_of(name)
    await kept.end_of(kept.start("true", name="same"))


async def test_processes_of_a_killed_runner_are_ended_by_its_next_start(kept: Kept, tmp_path: Path) -> None:
    """They live on until then: the keeper holds them."""
    kept.start_daemon("stay")
    daemon = int(await appearance(kept.folder / "daemon.pid"))
    kept.keeping.current.close()
    assert alive(daemon)
    again = Keeping(tmp_path / "work" / "keeper")
    await again.open()
    await again.end_all(grace_s=5)
    assert not alive(daemon)
    await again.close()


async def test_a_keeper_without_a_runner_ends_its_units_after_a_while(tmp_path: Path) -> None:
    async with keeper(tmp_path, unseen_s=0.5) as kept:
        kept.start_daemon("stay")
        daemon = int(await appearance(kept.folder / "daemon.pid"))
        kept.keeping.current.close()
        await gone(daemon)
        await until(lambda: kept.left() == [])
        await kept.keeping.open()  # it ends with its runner


async def test_processes_of_a_killed_keeper_are_ended(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        name = kept.start_daemon("stay")
        daemon = int(await appearance(kept.folder / "daemon.pid"))
        os.kill(kept.keeping.current.pid, signal.SIGKILL)
        await asyncio.wait_for(kept.keeping.lost(), 60)
        await kept.keeping.open()
        await kill_leftovers(lambda marker: marker.startswith(kept.prefix), keepers=kept.keeping.pids)
        await gone(daemon)
        assert await kept.run("echo", "again")
        await asyncio.wait_for(kept.keeping.end(name, grace_s=5), 60)  # what its task does


async def test_a_hidden_process_of_a_killed_keeper_is_ended_too(tmp_path: Path) -> None:
    """It has no marker: only its cgroup tells. A new keeper ends what is in the groups of a dead one."""
    async with keeper(tmp_path) as kept:
        if kept.keeping.current.freezes_by != "cgroup":
            pytest.skip("no cgroup of version 2 can be made here")
        hide = "(setsid env -i sleep 1000 & echo $! > hidden.pid)& sleep 1000"
        name = kept.start("sh", "-c", hide)
        hidden = int(await appearance(kept.folder / "hidden.pid"))
        await kept.keeping.pause(60, by="jane", reason="frozen, too")
        os.kill(kept.keeping.current.pid, signal.SIGKILL)
        await kept.keeping.lost()
        await kept.keeping.open()
        await gone(hidden)
        await kept.keeping.resume()
        await kill_leftovers(lambda marker: marker.startswith(kept.prefix), keepers=kept.keeping.pids)
        await kept.keeping.end(name, grace_s=0)


async def test_an_old_keeper_stays_until_its_last_job_ends(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        old = kept.keeping.current
        name = kept.start("sh", "-c", "until test -e gate; do sleep 0.05; done; exit 7")
        await kept.keeping.look()
        for path in (tmp_path / "work" / "keeper").glob("*.*"):  # as of another version
            path.rename(path.with_stem("0ld"))
        old.close()
        await kept.keeping.lost()
        await kept.keeping.open()
        new = kept.keeping.current
        assert new.pid != old.pid
        assert [unit["unit"] for unit in (await kept.keeping.look())["units"]] == [name]
        await kept.keeping.pause(60, by="jane", reason="a pause is for all")
        assert [unit["frozen"] for unit in (await kept.keeping.look())["units"]] == [True]
        await kept.keeping.resume()
        assert await kept.run("echo", "beside it")
        (kept.folder / "gate").touch()
        ended = await kept.end_of(name)
        assert not isinstance(ended, Refusal)
        assert ended["exit_code"] == 7
        await gone(old.pid)
        assert alive(new.pid)
        (tmp_path / "work" / "keeper" / "0ld.socket").unlink()  # it had another name when the keeper began


async def test_a_fault_of_the_keeper_ends_no_job(kept: Kept) -> None:
    name = kept.start("sleep", "600")
    for wrong, complaint in ({"do": "dance"}, "no such verb: 'dance'"), ({"do": "pause"}, "lacks 'for_s'"):
        with pytest.raises(KeeperFailed, match=complaint):
            await kept.keeping.current.ask(wrong)
    for wrong in ({"do": "start", "unit": 7}, {"do": "end"}, {"do": "forget", "unit": []}):
        kept.keeping.current.send(wrong)
    assert [unit["unit"] for unit in (await kept.keeping.look())["units"]] == [name]
    await kept.keeping.end(name, grace_s=0)
    await kept.end_of(name)


async def test_an_answer_that_comes_too_late_answers_no_later_question(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = kept.keeping.current
    monkeypatch.setattr("distribute_services.node_runner.host.link.ANSWER_S", 0.0)
    with pytest.raises(KeeperFailed, match="did not answer within 0 s"):
        await link.ask({"do": "pause", "for_s": 60, "by": "jane", "reason": "work"})
    monkeypatch.undo()
    assert (await link.ask({"do": "resume"}))["paused"] is None


async def test_an_exit_is_on_disk_when_no_runner_has_heard_of_it(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        note = tmp_path / "exit"
        kept.start("sh", "-c", "until test -e gate; do sleep 0.05; done; exit 7", exit_file=note)
        await kept.keeping.look()
        kept.keeping.current.close()
        await kept.keeping.lost()
        (kept.folder / "gate").touch()
        noted = json.loads(await appearance(note))
        assert (noted["exit_code"], noted["signal"], noted["ended_for"]) == (7, None, None)
        assert noted["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        await kept.keeping.open()
        assert [view["exit"]["exit_code"] for view in kept.keeping.units.values()] == [7]
