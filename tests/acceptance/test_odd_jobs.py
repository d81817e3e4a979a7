"""Jobs that do odd things to their node and to their outputs harm neither node nor pull.

All of them are jobs of one batch, which runs once; each test checks one job.
`DISTRIBUTE_PRINTED_MB` sets how much the talkative job prints; the goal is 1,000.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from acceptance.lab import Json, Lab, command_batch, open_lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRINTED_BYTES = int(os.environ.get("DISTRIBUTE_PRINTED_MB", "300")) * 1_000_000
LARGE_BYTES = 64 << 20
RUNNER_MAX_BYTES = 128 << 20
"""The idle runner and two windows of chunks take half of this."""

BATCH = "lab/odd jobs"

DEEP = "d" * 200
DEPTH = 18
TOO_DEEP = 25
"""Together longer than the kernel's limit for paths, 4,096 bytes."""

NAMES = r"""
import os
save = os.fsencode(os.environ["DISTRIBUTE_SAVE"])
for name in (b"two\nlines", b"no utf-8 \xff\xfe", b"-rf", b" ", "Grüße".encode(), b"\x1b[2J", b"n" * 255):
    with open(os.path.join(save, name), "wb") as file:
        file.write(b"in " + name)
folder = b"folder \xff\n"
os.mkdir(os.path.join(save, folder))
with open(os.path.join(save, folder, b"inside"), "wb") as file:
    file.write(b"inside")
"""

DEEP_DOWN = f"""
import os, sys
os.chdir(os.environ["DISTRIBUTE_SAVE"])
for level in range(int(sys.argv[1])):
    os.mkdir("{DEEP}")
    os.chdir("{DEEP}")
with open("bottom", "w") as file:
    file.write("deep down")
"""

THOUSAND = """
import os
for number in range(1000):
    with open(f"distribute_save/f{number:03}", "w") as file:
        file.write(f"file {number}")
"""

DAEMON = """
import os, time
if os.fork():
    os.wait()
    while not os.path.exists("distribute_save/pid"):
        time.sleep(0.01)
    raise SystemExit(0)
os.setsid()
if os.fork():
    raise SystemExit(0)
with open("distribute_save/pid.part", "w") as file:
    file.write(str(os.getpid()))
os.rename("distribute_save/pid.part", "distribute_save/pid")
time.sleep(1000)
"""


def python(source: str) -> list[str]:
    return ["python3", "-c", source]


# Failures and successes alternate, so that the node is not quarantined.
JOBS: Json = {
    "prints": f"yes 'a line of a talkative job' | head -c {PRINTED_BYTES}",
    "code 3": "echo told; echo kept > distribute_save/kept; exit 3",
    "names": python(NAMES),
    "signal": "kill -SEGV $$",
    "deep": [*python(DEEP_DOWN), str(DEPTH)],
    "too deep": [*python(DEEP_DOWN), str(TOO_DEEP)],
    "late": {"command": "echo began; exec sleep 1000", "timeout": "3s"},
    "thousand": python(THOUSAND),
    "absent": ["./nothing-there"],
    "large": f"head -c {LARGE_BYTES} /dev/urandom > distribute_save/large",
    "unknown": ["no-such-program-on-any-node"],
    "kinds": (
        "cd distribute_save; mkdir -p empty/folder; echo '#!/bin/sh' > tool; chmod 755 tool; : > nothing;"
        "echo x > file; ln -s file link; ln -s ../../../../../etc/passwd out; ln -s /etc/passwd absolute;"
        "mkdir below; ln -s ../file below/up; ln -s nowhere dangling; mkfifo pipe; chmod 000 file"
    ),
    "again": {
        "command": "echo $DISTRIBUTE_ATTEMPT > distribute_save/attempt; test $DISTRIBUTE_ATTEMPT = 3",
        "retries": 2,
    },
    "daemon": python(DAEMON),
    "never": {"command": "echo $DISTRIBUTE_ATTEMPT > distribute_save/attempt; exit 1", "retries": 1},
    "wipes": "rm -rf ./* ../stdout; cd /",
    "empties": "echo a lot of words; sleep 1.2; echo few > /dev/stderr",
    "last": "echo all is well",
}


@dataclass(frozen=True, slots=True)
class Came:
    """The outcome of the batch."""

    lab: Lab
    jobs: dict[str, Json]
    folder: Path
    told: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def came(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Came]:
    folder = tmp_path_factory.mktemp("odd") / "lab"
    async with open_lab(folder, {"node": ["--cpus", "2", "--grace-s", "1"]}) as lab:
        await lab.add(command_batch(BATCH, JOBS))
        await lab.over(BATCH)
        pulled, said = await lab.pull(BATCH)
        yield Came(lab, await lab.jobs(BATCH), pulled, said.err)


async def test_the_right_jobs_succeed_and_the_node_goes_on(came: Came) -> None:
    failed = {job for job, view in came.jobs.items() if view["state"] != "succeeded"}
    assert failed == {"code 3", "signal", "late", "absent", "unknown", "never"}
    assert (came.folder / "last" / "stdout.txt").read_text() == "all is well\n"
    assert came.lab.job_processes("node") == []
    nodes = (await came.lab.distribute("nodes", "--json")).document["nodes"]
    assert [(node["node"], node["state"], node["cpus_free"]) for node in nodes] == [("node", "idle", 2)]


async def test_a_large_output_is_archived_whole(came: Came) -> None:
    line = b"a line of a talkative job\n"
    wanted = hashlib.sha256()
    whole, rest = divmod(PRINTED_BYTES, len(line) * 10_000)
    for _ in range(whole):
        wanted.update(line * 10_000)
    wanted.update((line * 10_000)[:rest])
    with (came.folder / "prints" / "stdout.txt").open("rb") as printed:
        assert hashlib.file_digest(printed, "sha256").hexdigest() == wanted.hexdigest()


async def test_a_job_can_empty_its_output(came: Came) -> None:
    assert (came.folder / "empties" / "stdout.txt").read_text() == "few\n"


async def test_the_runner_s_memory_stays_bounded(came: Came) -> None:
    status = Path(f"/proc/{came.lab.processes.pids['node']}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    assert int(peak[1]) * 1024 < RUNNER_MAX_BYTES


async def test_files_of_any_name_are_pulled(came: Came) -> None:
    found = {os.fsencode(path.name): path for path in (came.folder / "names").iterdir()}
    odd = found.pop(b"folder \xff\n")
    assert (odd / "inside").read_bytes() == b"inside"
    assert found.pop(b"stdout.txt").read_bytes() == b""
    names = {b"two\nlines", b"no utf-8 \xff\xfe", b"-rf", b" ", "Grüße".encode(), b"\x1b[2J", b"n" * 255}
    assert {name: path.read_bytes() for name, path in found.items()} == {
        name: b"in " + name for name in names
    }


async def test_folders_up_to_the_longest_path_are_pulled(came: Came) -> None:
    assert came.folder.joinpath("deep", *[DEEP] * DEPTH, "bottom").read_text() == "deep down"


async def test_deeper_folders_are_left_out_and_named(came: Came) -> None:
    assert re.search(rf"not archived: lab/odd jobs/too deep: {DEEP}/.*: its name is too long", came.told)


async def test_a_thousand_small_files_are_pulled(came: Came) -> None:
    folder = came.folder / "thousand"
    assert len(list(folder.iterdir())) == 1001
    assert all((folder / f"f{number:03}").read_text() == f"file {number}" for number in range(1000))


async def test_a_large_file_is_pulled(came: Came) -> None:
    assert (came.folder / "large" / "large").stat().st_size == LARGE_BYTES


async def test_links_modes_and_empty_folders_are_pulled(came: Came) -> None:
    folder = came.folder / "kinds"
    assert (folder / "empty" / "folder").is_dir()
    assert stat.S_IMODE((folder / "tool").stat().st_mode) & 0o111
    assert not stat.S_IMODE((folder / "file").stat().st_mode) & 0o111
    assert (folder / "nothing").read_bytes() == b""
    assert (folder / "link").readlink() == Path("file")
    assert (folder / "below" / "up").read_text() == "x\n"
    assert (folder / "dangling").readlink() == Path("nowhere")


@pytest.mark.parametrize("name", ["out", "absolute", "pipe"])
async def test_files_that_are_left_out_are_named(came: Came, name: str) -> None:
    assert not os.path.lexists(came.folder / "kinds" / name)
    assert f"not archived: lab/odd jobs/kinds: {name}: " in came.told


async def test_a_daemon_ends_with_its_job(came: Came) -> None:
    assert came.jobs["daemon"]["exit_code"] == 0
    pid = int((came.folder / "daemon" / "pid").read_text())
    assert pid not in came.lab.job_processes("node"), "a later process may have its number"


async def test_a_failed_job_has_a_reason_and_its_results(came: Came) -> None:
    failed = came.jobs["code 3"]
    assert (failed["state"], failed["exit_code"], failed["signal"]) == ("failed", 3, None)
    assert (came.folder / "code 3" / "kept").read_text() == "kept\n"
    assert (came.folder / "code 3" / "stdout.txt").read_text() == "told\n"
    ended = came.jobs["signal"]
    assert (ended["exit_code"], ended["signal"], ended["reason"]) == (None, 11, "ended by SIGSEGV")


async def test_a_job_past_its_timeout_is_ended(came: Came) -> None:
    late = came.jobs["late"]
    assert (late["state"], late["reason"]) == ("failed", "ran for longer than its timeout of 3 s")
    assert 3 <= late["wall_s"] < 1000
    assert (came.folder / "late" / "stdout.txt").read_text() == "began\n"


async def test_a_missing_program_fails_its_job(came: Came) -> None:
    assert "./nothing-there" in came.jobs["absent"]["reason"]
    assert "there is no such file" in came.jobs["absent"]["reason"]
    assert "no such program in the PATH" in came.jobs["unknown"]["reason"]


async def test_a_failing_job_is_retried_as_often_as_its_file_says(came: Came) -> None:
    assert (came.jobs["again"]["state"], came.jobs["again"]["attempt"]) == ("succeeded", 3)
    assert (came.folder / "again" / "attempt").read_text() == "3\n"
    assert (came.jobs["never"]["state"], came.jobs["never"]["attempt"]) == ("failed", 2)
    assert (came.folder / "never" / "attempt").read_text() == "2\n"


async def test_a_job_can_remove_its_folder(came: Came) -> None:
    assert came.jobs["wipes"]["exit_code"] == 0
    assert [path.name for path in (came.folder / "wipes").iterdir()] == ["stdout.txt"]
    assert "not archived: lab/odd jobs/wipes: distribute_save: this folder can't be read" in came.told
