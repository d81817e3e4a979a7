"""A new version of the keeper starts beside one that still holds jobs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import distribute_services
from distribute_services.node_runner.host import keeping as host_keeping
from distribute_services.node_runner.host.keeping import PACKAGE, Keeping

from .keeping_kit import Kept, Tree, alive, gone, keeper


@pytest.fixture(params=["numbers", "no numbers"])
def code(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Where Python finds the code of another version. Early ones do not number their answers."""
    code = tmp_path / "code"
    # Other tests may be writing there what Python compiled.
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(distribute_services.__file__).parent, code / "distribute_services", ignore=compiled)
    with (code / "distribute_services/node_runner/keeper/answering.py").open("a") as file:
        file.write("# another version\n")
    if request.param == "no numbers":
        server = code / "distribute_services/node_runner/keeper/server.py"
        text, numbered = server.read_text(), '{**answer, "number": number}'
        assert text.count(numbered) == 1
        server.write_text(text.replace(numbered, "answer"))
    return code


def build_of(code: Path) -> str:
    """The digest of this version of the keeper."""
    ask = f"from {PACKAGE}.build import build_of_this_code; print(build_of_this_code())"
    command = [sys.executable, "-P", "-c", ask]
    return subprocess.run(
        command, env={"PYTHONPATH": str(code)}, stdout=subprocess.PIPE, check=True, text=True
    ).stdout.strip()


@asynccontextmanager
async def earlier_runner(folder: Path, code: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kept]:
    """A runner of that version, which is killed at the end."""
    (folder / "work").mkdir()
    (folder / "work/lock").write_text(uuid.uuid4().hex)
    build = build_of(code)
    earlier = Keeping(folder / "work/keeper")
    with monkeypatch.context() as patch:
        patch.setattr(host_keeping, "build_of_this_code", lambda: build)
        patch.setenv("PYTHONPATH", str(code))
        await earlier.open()
    yield Kept(earlier, folder)
    earlier.current.close()
    await earlier.lost()


async def test_an_earlier_keeper_stays_until_its_last_job_has_ended(
    tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path / "old", 4)
    async with earlier_runner(tmp_path, code, monkeypatch) as earlier:
        name = earlier.start(*tree.argv)
        await tree.runs()
        old = earlier.keeping.current.pid
    async with keeper(tmp_path) as kept:
        kept.prefix = earlier.prefix  # so that nothing of it is left if this test fails
        assert kept.keeping.pids == {old, kept.keeping.current.pid}
        assert set(kept.keeping.units) == {name}
        await kept.run("true")
        held = await kept.keeping.pause(60, by="jane", reason="")
        assert [unit["frozen"] for unit in held["units"]] == [True]
        await kept.keeping.resume()
        await tree.runs(since=time.monotonic())
        await kept.keeping.end(name, grace_s=0.0)
        assert alive(old)
        await kept.end_of(name)
        await gone(old)
        assert kept.keeping.pids == {kept.keeping.current.pid}


async def test_an_earlier_keeper_without_jobs_does_not_stay(
    tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with earlier_runner(tmp_path, code, monkeypatch) as earlier:
        old = earlier.keeping.current.pid
    async with keeper(tmp_path) as kept:
        assert kept.keeping.pids == {kept.keeping.current.pid}
        await gone(old)
