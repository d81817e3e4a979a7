"""Jobs in containers of the real Apptainer, held by a keeper: as root and as a user."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
from collections.abc import Callable, Coroutine, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from container_kit import busybox_image, need_apptainer
from distribute.core.spec.recipe import Recipe, Share, recipe_of
from distribute.core.spec.setup_script import UNPREPARED
from distribute.core.spec.specs import ApptainerJob, ApptainerWork, BatchSpec, InputFile
from distribute.host import Exit
from distribute_services.node_runner.host.container_faults import with_container_fault
from distribute_services.node_runner.host.environment import NodeEnvironment, base_environment

from .as_user import call_as_nobody, folder_of_nobody
from .keeping_kit import WITHIN_S, Kept, alive, keeper, ready_in_time, until

STILL_S = 0.3
IMAGE = InputFile(alias="image.sif", sha256="0" * 64, size_bytes=0)

LOOK = """\
    echo "cores $1"
    cat /input/data
    echo result > /distribute_save/result
    echo scratch > /scratch/of/it/file
    echo "home" $(ls -A "$HOME") "tmp" $(ls -A /tmp /var/tmp | grep -v :)
    echo mine > "$HOME/mine" && echo mine > /tmp/mine
    echo "runs on $(grep ^Cpus_allowed_list: /proc/self/status | cut -f 2)"
    echo "first of its processes: $(cat /proc/1/comm)"
    for disk in /dev/[svx]d* /dev/nvme*; do [ ! -e "$disk" ] || echo "sees $disk"; done
    env | grep -E '^(MODE|OF_[A-Z]+|LANG|TMPDIR|SECRET|DISTRIBUTE_SAVE|OMP_NUM_THREADS)=' | sort
"""

BUSY = """\
    setsid sh -c 'while :; do cat /proc/uptime > /distribute_save/daemon; usleep 10000; done' </dev/null &
    while :; do cat /proc/uptime > /distribute_save/first; usleep 10000; done
"""


GRACEFUL = """\
    trap 'echo warned >> /distribute_save/log' USR1
    trap 'echo ends >> /distribute_save/log; sleep 0.5; cp /bin/busybox /tmp/x && echo cleaned; exit 3' TERM
    touch /distribute_save/ready
    while :; do sleep 0.1; done
"""


def recipe(mounts: tuple[str, ...] = (), env: Mapping[str, str] | None = None) -> Recipe:
    work = ApptainerWork(image=IMAGE, mounts=mounts, jobs=(ApptainerJob(name="job", env=dict(env or {})),))
    spec = BatchSpec(namespace="lab", batch="contained", work=work)
    return recipe_of(spec, work.jobs[0])


def start(
    kept: Kept,
    image: Path,
    *,
    mounts: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
    more: Mapping[str, str] | None = None,
    folder: Path | None = None,
    **times: Any,
) -> tuple[str, Path]:
    """Start a job as the runner would. Returns the name of its unit, and its folder.

    `more` are variables of the node.
    """
    of, folder = recipe(mounts, env), folder or kept.folder / "job"
    for name in ("input", "distribute_save", *of.folders):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "input" / "data").write_text("hello\n")
    (kept.folder / "out").unlink(missing_ok=True)
    base = {**base_environment(os.environ), "TMPDIR": "/nowhere", **(more or {})}
    argv = of.argv(Share(3), str(folder), str(image))
    variables = of.environment(base, Share(3), folder=str(folder), node="ws07", attempt=1)
    cpus = {min(os.sched_getaffinity(0))}
    return kept.start(*argv, cwd=folder, env=variables, cpus=cpus, **times), folder


async def ended(kept: Kept, name: str) -> tuple[int | None, list[str]]:
    """The exit code of a job that ends by itself, and the lines that it printed, but for Apptainer's."""
    end = await kept.end_of(name)
    assert isinstance(end, dict), end
    lines = (kept.folder / "out").read_text().splitlines()
    return end["exit_code"], [line for line in lines if not line.startswith("INFO: ")]


async def sees_its_own(folder: Path, image: Path, name_of_folder: str) -> None:
    """A job sees its files, its share and its variables, and nothing else of the node."""
    odd = folder / name_of_folder
    odd.mkdir()
    own = {"MODE": "a $HOME `id` \\ 'b'\"", "OF_JOB": "job", "OMP_NUM_THREADS": "1"}
    own["APPTAINER_DISABLE_CACHE"] = "1"  # with it, Apptainer 1.4 removes an image that it has unpacked
    node = {"OF_NODE": "node", "OF_IMAGE": "node", "OF_JOB": "node", "LANG": "de_DE.UTF-8"}
    async with keeper(odd) as kept:
        name, job = start(kept, image, mounts=("/scratch/of/it",), env=own, more=node)
        code, printed = await ended(kept, name)
        assert code == 0, printed
        assert printed == (
            [
                "cores 3",
                "hello",
                "home tmp",
                f"runs on {min(os.sched_getaffinity(0))}",
                "first of its processes: appinit",
                "DISTRIBUTE_SAVE=/distribute_save",
                "LANG=C.UTF-8",
                f"MODE={own['MODE']}",
                "OF_IMAGE=image",
                "OF_JOB=job",
                "OF_NODE=node",
                "OMP_NUM_THREADS=1",
            ]
        ), printed
        assert (job / "distribute_save" / "result").read_text() == "result\n"
        assert (job / "mounts" / "0" / "file").read_text() == "scratch\n"
        assert (job / "container" / "home" / "mine").exists()
        assert (job / "container" / "tmp" / "mine").exists()
        assert image.exists()


async def stops_and_ends_as_a_whole(folder: Path, image: Path, use_cgroups: bool) -> None:
    """A pause and a kill take everything in the container, and what Apptainer runs beside it."""
    async with keeper(folder, use_cgroups=use_cgroups) as kept:
        name, job = start(kept, image)

        def seen() -> list[str]:
            paths = [job / "distribute_save" / who for who in ("daemon", "first")]
            return [path.read_text() if path.exists() else "" for path in paths]

        async def runs() -> None:
            before = seen()
            await until(lambda: all(now not in ("", then) for now, then in zip(seen(), before, strict=True)))

        await runs()
        await kept.keeping.pause(60, by="jane", reason="")
        before = seen()
        await asyncio.sleep(STILL_S)
        assert seen() == before
        await kept.keeping.resume()
        await runs()
        # Apptainer's own processes have no marker, so `left` does not see them.
        (unit,) = (await kept.keeping.look())["units"]
        await kept.keeping.end(name, grace_s=0.2)
        await kept.end_of(name)
        assert [pid for pid in unit["pids"] if alive(pid)] == kept.left() == []
        assert len(unit["pids"]) >= 4
        before = seen()
        await asyncio.sleep(STILL_S)
        assert seen() == before


async def is_warned_and_has_its_grace(folder: Path, image: Path) -> None:
    """At its timeout. The image stays readable: SIGTERM does not reach what serves its files."""
    async with keeper(folder) as kept:

        def begin(its: Path, time_s: float) -> str:
            """Warned when it has run for so long, and ended some seconds later."""
            warning = (int(signal.SIGUSR1), 5.0)
            return start(kept, image, folder=its, timeout_s=time_s + 5.0, grace_s=WITHIN_S, warning=warning)[
                0
            ]

        job = await ready_in_time(kept, begin, ready="distribute_save/ready", at_least_s=4.0)
        code, printed = await ended(kept, job.name)
        assert (code, "cleaned" in printed) == (3, True), printed
        log = (job.folder / "distribute_save" / "log").read_text().splitlines()
        # A user's Apptainer passes signals on, so the job may get each of them twice.
        assert [line for line, _ in groupby(log)] == ["warned", "ends"]


def as_each(
    who: str, test: Callable[..., Coroutine[Any, Any, None]], tmp_path: Path, *arguments: Any
) -> None:
    """Call a test as root or as a user, with a folder of theirs."""
    if who == "root":
        asyncio.run(test(tmp_path, *arguments))
        return
    if os.geteuid() != 0:
        pytest.skip("needs root, to be root and others")
    with folder_of_nobody() as folder:
        images = [
            Path(shutil.copy(image, folder)) if isinstance(image, Path) else image for image in arguments
        ]
        call_as_nobody(test, folder, *images)


BOTH = pytest.mark.parametrize("who", ["root", "user"])


@BOTH
@pytest.mark.parametrize("folder", ["plain", "a, b: 'c\\'"])
def test_a_job_in_a_container_sees_what_is_its_own(who: str, folder: str, tmp_path: Path) -> None:
    image = busybox_image(tmp_path, LOOK, environment="    export OF_IMAGE=image OF_JOB=image")
    as_each(who, sees_its_own, tmp_path, image, folder)


@BOTH
@pytest.mark.parametrize("use_cgroups", [True, False], ids=["cgroups", "signals"])
def test_a_container_is_stopped_and_ended_as_a_whole(who: str, use_cgroups: bool, tmp_path: Path) -> None:
    as_each(who, stops_and_ends_as_a_whole, tmp_path, busybox_image(tmp_path, BUSY), use_cgroups)


@BOTH
def test_a_job_in_a_container_is_warned_and_has_its_grace(who: str, tmp_path: Path) -> None:
    as_each(who, is_warned_and_has_its_grace, tmp_path, busybox_image(tmp_path, GRACEFUL))


async def reason(folder: Path, image: Path, mounts: tuple[str, ...] = ()) -> str | None:
    """Why a job's container could not be started."""
    async with keeper(folder) as kept:
        code, printed = await ended(kept, start(kept, image, mounts=mounts)[0])
        return with_container_fault(exited(code), printed).complaint


def exited(code: int | None) -> Exit:
    return Exit(exit_code=code, signal=None, cpu_s=0, max_rss_bytes=0, wall_s=0, started_at=0, ended_at=0)


async def test_it_is_named_why_a_container_can_not_be_started(tmp_path: Path) -> None:
    image = busybox_image(tmp_path, "    exit $(cat /input/code)")
    whole = image.read_bytes()
    assert "/bin/busybox can't be mounted" in (await reason(tmp_path, image, ("/bin/busybox",)) or "")
    assert "/proc/here can't be mounted" in (await reason(tmp_path, image, ("/proc/here",)) or "")
    for broken in (whole[: len(whole) // 2], b"no image at all"):
        image.write_bytes(broken)
        assert "the image can't be read" in (await reason(tmp_path, image) or "")
    other = busybox_image(tmp_path, "    true", app="another")
    assert "no app `distribute`" in (await reason(tmp_path, other) or "")


async def test_setup_lines_run_on_the_host_and_what_they_export_comes_in(tmp_path: Path) -> None:
    image = busybox_image(tmp_path, "    env | grep -E '^(MODE|LOADED|LANG|PATH)=' | sort")
    job = ApptainerJob(name="job", env={"MODE": "it's mine"})
    spec = BatchSpec(
        namespace="lab",
        batch="contained",
        setup=("test -e /proc/1/ns", "export LOADED=$(id -un)"),
        work=ApptainerWork(image=IMAGE, jobs=(job,)),
    )
    of, folder = recipe_of(spec, job), tmp_path / "job"
    for name in ("input", "distribute_save", *of.folders):
        (folder / name).mkdir(parents=True)
    (folder / UNPREPARED).touch()
    (tmp_path / ".bash_profile").write_text("export LANG=de_DE.UTF-8 MODE=profile PATH=$PATH:/opt/site\n")
    # A login shell has the PATH of its profiles, behind the folders that the node's admin chose.
    own = (str(Path(need_apptainer()).parent),)
    node = NodeEnvironment.of(os.environ, {"HOME": str(tmp_path)}, own)
    variables = of.environment(node.variables, Share(1), folder=str(folder), node="ws07", attempt=1)
    argv = of.argv(Share(1), str(folder), str(image), node.login(of, variables))
    async with keeper(tmp_path) as kept:
        code, printed = await ended(kept, kept.start(*argv, cwd=folder, env=variables))
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert code == 0, printed
    assert printed[-4:-1] == ["LANG=C.UTF-8", f"LOADED={user}", "MODE=it's mine"]
    assert "/opt/site" not in printed[-1]
    assert not (folder / UNPREPARED).exists()


async def test_a_job_may_exit_as_apptainer_does(tmp_path: Path) -> None:
    for code in (1, 255):
        image = busybox_image(tmp_path, f"    echo no luck; exit {code}")
        async with keeper(tmp_path) as kept:
            code_of_job, printed = await ended(kept, start(kept, image)[0])
        assert (code_of_job, printed) == (code, ["no luck"])
        assert with_container_fault(exited(code), printed).complaint is None
