"""A node that root starts runs jobs as another user: their rights, their results, their end."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from acceptance.lab import PATIENCE_S, Lab, command_batch, open_lab
from acceptance.processes import identity_of
from distribute_services.node_runner.keeper import procfs

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs as another user"),
]

NOBODY = pwd.getpwnam("nobody")
WHO = """
echo "$(id -un) $(id -G) $HOME $USER $LOGNAME $SHELL ${TMPDIR:-no TMPDIR}" > distribute_save/who
echo printed >> /dev/stdout; echo complained >> /dev/stderr
echo changed >> made; cp made distribute_save/made
mkdir sub && echo x > input/new && chmod 000 sub; umask 077; echo secret > distribute_save/private
rm "$(mktemp)"
"""
LOOKS = """
cd / && find "$LAB" > "$DISTRIBUTE_SAVE/found" 2> "$DISTRIBUTE_SAVE/refused"
for folder in "$DISTRIBUTE_INPUT/../.." "$DISTRIBUTE_INPUT/../../.." ; do
    touch "$folder/mine" 2> /dev/null && echo "$folder can be written"
done
exit 0
"""
DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open("distribute_save/pid", "w") as file:
            file.write(str(os.getpid()))
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    os._exit(0)
os.wait()
while not os.path.exists("distribute_save/pid") or not open("distribute_save/pid").read():
    time.sleep(0.01)
print("began", flush=True)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    nodes = {"ws1": ["--cpus", "4", "--grace-s", "0.3", "--run-as", "nobody"]}
    async with open_lab(tmp_path_factory.mktemp("run-as") / "lab", nodes) as lab:
        await lab.logged("ws1", "joined")
        yield lab


def processes_of(lab: Lab, job: str) -> list[int]:
    """The processes of a job of this lab, or of one of its attempts, that belong to nobody."""
    marked = f"{identity_of(lab.folder / 'ws1')}/{job}/"
    found = procfs.processes_of(NOBODY.pw_uid)
    return [pid for pid in found if (procfs.marker(pid) or "").startswith(marked)]


async def only_process_of(lab: Lab, attempt: str) -> int:
    """Poll until an attempt has just one process, and return it."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := processes_of(lab, attempt)) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found[0]


async def test_jobs_and_builds_are_another_users_and_their_results_come_back(lab: Lab) -> None:
    build = "id -un > made; touch only-of-build; mkdir folder; echo built; test $(id -u) != 0"
    jobs = {"one": WHO, "two": WHO, "plain": {"command": ["sh", "-c", "id -un; test -w . && echo w"]}}
    batch = command_batch("lab/who", jobs)
    (lab.folder / "data").write_text("data")
    batch["command"]["initialize"] = {"build": build, "required_files": [str(lab.folder / "data")]}
    await lab.add(batch, "--wait")
    folder, _ = await lab.pull("lab/who")
    groups = " ".join(map(str, os.getgrouplist("nobody", NOBODY.pw_gid)))
    for job in ("one", "two"):
        who = (folder / job / "who").read_text()
        assert who == f"nobody {groups} {NOBODY.pw_dir} nobody nobody /bin/sh no TMPDIR\n"
        assert (folder / job / "made").read_text() == "nobody\nchanged\n"
        assert (folder / job / "private").read_text() == "secret\n"
        assert (folder / job / "stdout.txt").read_text() == "printed\ncomplained\n"
    assert (folder / "plain" / "stdout.txt").read_text() == "nobody\nw\n"


async def test_a_job_without_build_and_files_is_another_users_too(lab: Lab) -> None:
    await lab.add(command_batch("lab/bare", {"job": "id -un; touch x distribute_save/y input/z"}), "--wait")
    await lab.add(command_batch("lab/bare again", {"job": "id -un; ls; touch distribute_save/y"}), "--wait")
    folder, _ = await lab.pull("lab/bare")
    assert (folder / "job" / "stdout.txt").read_text() == "nobody\n"
    assert (folder / "job" / "y").exists()


async def test_setup_lines_run_as_another_user_too(lab: Lab) -> None:
    batch = command_batch("lab/setup", {"job": "cat made; echo $WHO"}, setup=["export WHO=$(id -un)"])
    batch["command"]["initialize"] = {"build": "echo $WHO > made"}
    await lab.add(batch, "--wait")
    folder, _ = await lab.pull("lab/setup")
    assert (folder / "job" / "stdout.txt").read_text().splitlines()[-2:] == ["nobody", "nobody"]
    await lab.add(command_batch("lab/failing", {"job": "true"}, setup=["(exit 3)"]), "--wait", code=1)
    assert (await lab.jobs("lab/failing"))["job"]["reason"] == "its setup line '(exit 3)' failed"


async def test_a_job_sees_nothing_else_of_the_working_folder(lab: Lab) -> None:
    """Neither the cache nor other jobs, nor builds that are kept: it could change those, as the same user."""
    other = command_batch("lab/other", {"job": "true"})
    other["command"]["initialize"] = {"build": "touch of-another"}
    await lab.add(other, "--wait")
    (lab.folder / "data").write_text("data")
    batch = command_batch("lab/looks", {"job": LOOKS})
    batch["command"] |= {
        "initialize": {"build": "touch own", "required_files": [str(lab.folder / "data")]},
        "env": {"LAB": str(lab.folder)},
    }
    await lab.add(batch, "--wait")
    folder, _ = await lab.pull("lab/looks")
    found = (folder / "job" / "found").read_text().splitlines()
    assert [line for line in found if line.endswith("/own")] != []
    assert [line for line in found if "/cache" in line or "of-another" in line or "/keeper" in line] == []
    assert (folder / "job" / "stdout.txt").read_text() == ""
    assert (folder / "job" / "refused").read_text() == ""


async def test_a_kept_build_is_used_again(lab: Lab) -> None:
    for name in ("first", "second"):
        batch = command_batch(f"lab/{name}", {"job": "cat kept; echo more >> kept; cat kept"})
        batch["command"]["initialize"] = {"build": "date +%N > kept; id -un >> kept"}
        await lab.add(batch, "--wait")
    printed = [(await lab.distribute("logs", f"lab/{name}/job")).out for name in ("first", "second")]
    assert printed[0] == printed[1]
    (finished,) = await lab.events("build_finished", batch="lab/second")
    assert finished.kept_from == "lab/first"


@pytest.mark.parametrize("how", ["killed", "timeout", "exit"])
async def test_all_processes_of_the_other_user_are_ended(lab: Lab, how: str) -> None:
    lasts = "time.sleep(1000)" if how != "exit" else ""
    (lab.folder / "daemon.py").write_text(f"{DAEMON}\n{lasts}\n")
    job = {"command": "python3 input/daemon.py; echo ended", **({"timeout": 12} if how == "timeout" else {})}
    batch = command_batch(f"lab/{how}", {"job": job})
    batch["command"]["initialize"] = {"required_files": [str(lab.folder / "daemon.py")]}
    await lab.add(batch)
    if how == "killed":
        follower = await lab.start("logs", "-f", f"lab/{how}/job")
        await follower.until("began")
        assert len(processes_of(lab, f"lab/{how}/job")) >= 2
        await lab.distribute("kill", f"lab/{how}")
    await lab.distribute("wait", f"lab/{how}", code=0 if how == "exit" else 1)
    assert processes_of(lab, f"lab/{how}/job") == []
    folder, _ = await lab.pull(f"lab/{how}")
    daemon = procfs.stat(int((folder / "job" / "pid").read_text()))
    assert daemon is None or not daemon.alive
    assert (folder / "job" / "stdout.txt").read_text().startswith("began\n")


async def test_a_command_and_the_setup_of_a_job_are_that_users(lab: Lab) -> None:
    batch = command_batch("lab/lasting", {"job": "id -un; echo here > file; sleep 1000"})
    batch["meta"]["setup"] = ["export WHO=$(id -un)", "test -w ."]
    batch["command"]["initialize"] = {"build": "echo built by $WHO > made"}
    await lab.add(batch)
    follower = await lab.start("logs", "-f", "lab/lasting/job")
    await follower.until("nobody")
    command = ["sh", "-c", "id -un; cat made; touch by-exec"]
    said = await lab.distribute("exec", "lab/lasting/job", "--", *command)
    assert said.out.splitlines() == ["nobody", "built by nobody"]
    await lab.distribute("kill", "lab/lasting")
    await lab.distribute("wait", "lab/lasting", code=1)


async def test_what_a_killed_keeper_left_of_the_other_user_is_ended(lab: Lab) -> None:
    await lab.add(command_batch("lab/left", {"job": "exec sleep 1000"}))
    left = await only_process_of(lab, "lab/left/job/1")
    process = procfs.stat(left)
    assert process is not None
    os.kill(process.parent, signal.SIGKILL)
    assert await only_process_of(lab, "lab/left/job/2") != left
    await lab.distribute("kill", "lab/left")
    await lab.distribute("wait", "lab/left", code=1)
