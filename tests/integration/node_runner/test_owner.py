"""What shows that somebody uses the computer: with real terminals, and a real bus with a logind behind it."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.owner import logind as logind_module
from distribute_services.node_runner.owner import system_bus
from distribute_services.node_runner.owner.activity import Desktop
from distribute_services.node_runner.owner.logind import Logind
from distribute_services.node_runner.owner.sensor import Sensor
from distribute_services.node_runner.owner.terminals import Terminals

from .own_terminals import login, name_of, with_own_terminals

WITHIN_S = 60.0
LOGIND = Path(__file__).with_name("logind_model.py")

needs_a_bus = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="dbus-daemon is not installed")


def nobody() -> Iterator[int]:
    return iter(())


@with_own_terminals
def test_a_login_is_use_and_typing_sets_the_time_of_its_terminal() -> None:
    terminals = Terminals(nobody)
    before = terminals.read()
    with login("cat") as (_pid, master):
        os.set_blocking(master, True)
        name = name_of(master)
        after = terminals.read()
        assert name in after.keys() - before.keys()
        # The kernel sets the time to the second in which the program reads, if that begins another 8 s.
        os.utime(f"/dev/{name}", (1, 1))
        os.write(master, b"hello\n")
        assert os.read(master, 100)
        deadline = time.monotonic() + WITHIN_S
        while terminals.read()[name] == 1 and time.monotonic() < deadline:
            os.write(master, b"hello\n")
            assert os.read(master, 100)
        assert abs(terminals.read()[name] - time.time()) < WITHIN_S
    assert name not in terminals.read()


@with_own_terminals
def test_a_terminal_that_a_job_opened_is_not_the_owners() -> None:
    with login("cat") as (pid, master):
        name = name_of(master)
        assert name in Terminals(nobody).read()
        assert name not in Terminals(lambda: procfs.with_descendants([pid])).read()


@with_own_terminals
def test_a_terminal_that_only_a_file_of_a_job_leads_to_is_not_the_owners() -> None:
    master, slave = pty.openpty()
    job = subprocess.Popen(["sleep", "60"], stdout=slave, start_new_session=True)
    try:
        name = os.ttyname(slave).removeprefix("/dev/")
        os.close(slave)
        assert name not in Terminals(lambda: [job.pid]).read()
    finally:
        job.kill()
        job.wait()
        os.close(master)


@with_own_terminals
def test_the_terminal_of_the_node_itself_is_the_owners() -> None:
    """A node that was started by hand passes its terminal on to its helpers."""
    program = (
        "from distribute_services.node_runner.owner.terminals import Terminals; import subprocess;"
        "helper = subprocess.Popen(['sleep', '60']);"
        "print(*Terminals(lambda: [helper.pid]).read()); helper.kill()"
    )
    with login(sys.executable, "-P", "-c", program) as (_pid, master):
        name = name_of(master)
        shown = b""
        while b"\n" not in shown:
            shown += os.read(master, 1000)
        assert name in shown.decode().split()


@with_own_terminals
def test_a_terminal_of_a_job_is_the_owners_when_its_number_is_used_again() -> None:
    jobs: list[int] = []
    terminals = Terminals(lambda: jobs)
    with login("cat") as (pid, master):
        jobs.append(pid)
        name = name_of(master)
        assert name not in terminals.read()
        jobs.clear()
        os.utime(f"/dev/{name}", (1, 1))  # as if somebody else typed there
        assert name in terminals.read()


@with_own_terminals
def test_the_sensor_sees_a_login() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(procfs, "own_children", list)  # sshd would have started it, not this process
        asyncio.run(sensor_sees_a_login())


async def sensor_sees_a_login() -> None:
    sensor = Sensor(nobody)
    await sensor.read()
    with login("cat"):
        presence = await sensor.read()
    assert "terminals" in presence.sources
    assert presence.idle_s == 0
    await sensor.close()


# --- logind ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def bus(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A system bus of our own."""
    address = f"unix:path={folder}/bus"
    bus = await asyncio.create_subprocess_exec(
        "dbus-daemon", "--session", "--nofork", "--print-address=1", f"--address={address}",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert bus.stdout is not None
        await bus.stdout.readline()
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        monkeypatch.setattr(logind_module, "ANSWERS_WITHIN_S", WITHIN_S)
        yield address
    finally:
        bus.terminate()
        await bus.wait()


@asynccontextmanager
async def logind(*sessions: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A model of logind on the bus, with these sessions. Each line that it gets changes one of them."""
    model = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(LOGIND), *sessions, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert model.stdout is not None
        assert await model.stdout.readline() == b"ready\n"
        yield model
    finally:
        model.terminate()
        await model.wait()


async def change(model: asyncio.subprocess.Process, session: str) -> None:
    assert model.stdin is not None
    assert model.stdout is not None
    model.stdin.write(f"{session}\n".encode())
    assert await model.stdout.readline() == b"changed\n"


@needs_a_bus
async def test_logind_says_which_desktops_are_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        bus(tmp_path, monkeypatch),
        logind(
            "type=wayland idle=1 since=5000000",
            "type=x11",
            "type=tty",
            "type=wayland class=greeter",
            "type=wayland state=closing",
            "type=x11 seat=",
        ),
    ):
        client = Logind()
        assert await client.desktops() == (Desktop(idle=True, since=5.0), Desktop(idle=False, since=None))
        await client.close()


@needs_a_bus
async def test_the_sensor_asks_logind_once_the_computer_has_a_bus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
    monkeypatch.setattr(system_bus, "_SOCKET", tmp_path / "none")
    sensor = Sensor(nobody)
    assert "logind" not in (await sensor.read()).sources
    async with bus(tmp_path, monkeypatch), logind("type=x11 idle=1 since=5000000"):
        assert "logind" in (await sensor.read()).sources
        await sensor.close()


@needs_a_bus
async def test_a_signal_of_logind_makes_us_ask_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bus(tmp_path, monkeypatch), logind("type=x11 idle=1 since=5000000") as model:
        client = Logind()
        assert await client.desktops() == (Desktop(idle=True, since=5.0),)
        await change(model, "type=x11 idle=0 since=7000000")
        async with asyncio.timeout(WITHIN_S):
            while await client.desktops() != (Desktop(idle=False, since=7.0),):  # noqa: ASYNC110 - as the node does
                await asyncio.sleep(0.01)
        await client.close()


@needs_a_bus
async def test_no_logind_is_no_trouble_and_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    client = Logind(lambda: now[0])
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    assert await client.desktops() is None  # not even a bus
    async with bus(tmp_path, monkeypatch):
        now[0] += 60
        assert await client.desktops() is None
        async with logind("type=x11 idle=1 since=5000000"):
            assert await client.desktops() is None  # it is not asked all the time
            now[0] += 60
            assert await client.desktops() == (Desktop(idle=True, since=5.0),)
        now[0] += 60
        assert await client.desktops() is None
    now[0] += 60
    assert await client.desktops() is None  # the bus has gone
    await client.close()
