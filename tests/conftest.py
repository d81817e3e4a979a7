"""How pytest-xdist spreads the tests over processes, and what hypothesis does in all of them.

A file's tests stay together: many share a lab. So do those that need the same server. Hypothesis profiles:
`ci` by default; `HYPOTHESIS_PROFILE=thorough` searches for a night.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings

from distribute.collector import collector_paused
from hypothesis_kit import FAIL_BY_CHANCE

CI = settings(
    max_examples=150,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=FAIL_BY_CHANCE,
)
"""No clock decides: on a busy machine, any example may take a second. Each run draws other examples."""
settings.register_profile("ci", CI)
settings.register_profile("thorough", CI, max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

MAX_CORES = 4
ENDS_WITHIN_S = 60.0
"""An interrupted process gets this long to end what its tests started. By itself, xdist allows 5 s."""

APPTAINER = "/opt/apptainer/bin"
"""Where `infra/apptainer.sh` installs it."""

LONGEST_FIRST = ("simulation", "acceptance", "property", "interop", "integration")
"""Folders of tests. A long file that began last would run alone at the end."""

OF_ONE_SERVER = ("tests/interop/test_matrix_", "tests/interop/test_slurm_")
"""How files begin whose tests share a Synapse or a SLURM: each process that ran some would start its own."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """The number of processes that `-n auto` starts: one for each core that we may use, and two more.

    Tests with real processes wait most of the time, and one process long waits for the simulated worlds. With
    one more, the cores were idle for a third of the time of the tests in `integration`.
    """
    return min(len(os.sched_getaffinity(0)), MAX_CORES) + 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, keep also the files together that share a server."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrServer(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((server for server in OF_ONE_SERVER if file.startswith(server)), file)

    return ByFileOrServer(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C in a terminal reach only the process that started the others."""
    if hasattr(config, "workerinput"):
        os.setpgid(0, 0)


_nodes: list[Any] = []


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    """Remember a process that runs tests."""
    _nodes.append(node)


def pytest_keyboard_interrupt() -> None:
    """Interrupt the processes that run tests, and wait until they have ended what their tests started."""
    if not _nodes:
        return
    for process in psutil.Process().children():
        process.send_signal(signal.SIGINT)
    for node in _nodes:
        channel = node.channel
        with contextlib.suppress(EOFError, channel.RemoteError, channel.TimeoutError):  # xdist handles them
            channel.waitclose(ENDS_WITHIN_S)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """If several processes share the tests, begin with the longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the 8,000 tests out of the search for garbage, which took a third of their collection."""
    with collector_paused():
        result = yield
    gc.freeze()
    return result


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded by `record_property`: we don't see what a test prints in another process."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session", autouse=True)
def a_home_folder_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests neither read nor leave anything in the home folder of whoever runs them.

    A login shell obeys the profile there: pyenv's writes into a job's output when two begin at once.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def programs_of_our_python() -> Iterator[None]:
    """Each folder of PATH whose `python3` is a script makes way for the programs of the Python that runs us.

    pyenv has such a script for every version that it installed. Most take 0.17 s of a core, to say that their
    version is not chosen. Each node-runner asks them all, which takes longer than all else of its start.
    """
    ours = str(Path(sys.base_prefix, "bin"))
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    with pytest.MonkeyPatch.context() as patch:
        found = (ours if _is_script(Path(folder, "python3")) else folder for folder in folders)
        patch.setenv("PATH", os.pathsep.join(found))
        yield


@pytest.fixture(scope="module", autouse=True)
def apptainer_where_it_is_needed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Only files of tests that use `container_kit` find the Apptainer that `infra/apptainer.sh` installed.

    Each node-runner that finds one has it run a container: 0.08 s of a core, a fifth of its start.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    is_needed = "container_kit" in request.path.read_text()
    with pytest.MonkeyPatch.context() as patch:
        if not is_needed:
            patch.setenv("PATH", os.pathsep.join(folder for folder in folders if folder != APPTAINER))
        yield


def _is_script(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:  # it isn't there, or is closed to us
        return False
