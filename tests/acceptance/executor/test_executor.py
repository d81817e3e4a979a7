"""Functions of a Python program, run by the nodes of a cluster: `distribute.Executor`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import distribute
from acceptance.executor.executor_kit import batches
from acceptance.person import PATIENCE_S, Person, until
from distribute.executor.batches import Needs
from distribute.executor.courier import Courier


def test_the_page_shows_what_its_program_prints(server: str, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "python-executor.md").read_text()
    shown = re.search(r"^```python\n(.*?)^```\n\n((?: {4}[^\n]*\n)+)", page, re.MULTILINE | re.DOTALL)
    assert shown is not None
    program = tmp_path / "program.py"
    program.write_text(shown[1])
    assert runs(program, server) == textwrap.dedent(shown[2])


def test_a_program_that_ends_waits_for_its_calls(server: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import distribute, sys, time\n"
        "def tell(done):\n"
        "    sys.stdout.write(f'{len(done.result())}\\n')  # in one write: callbacks run in threads\n"
        "pool = distribute.Executor()\n"
        "for number in range(3):\n"
        "    pool.submit(lambda n=number: time.sleep(0.3) or bytes(2_000_000 + n)).add_done_callback(tell)\n"
    )
    assert sorted(runs(program, server).split()) == ["2000000", "2000001", "2000002"]


def test_a_program_that_drops_its_executor_still_waits_for_its_calls(server: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import distribute, time\n"
        "def begin():\n"
        "    future = distribute.Executor().submit(time.sleep, 0.3)\n"
        "    future.add_done_callback(lambda done: print('done', done.result()))\n"
        "begin()\n"
    )
    assert runs(program, server) == "done None\n"


def runs(program: Path, server: str) -> str:
    """Run a Python program as a person does. Returns what it prints."""
    return subprocess.run(
        [sys.executable, program],
        env={**os.environ, "DISTRIBUTE_SERVER": server},
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    ).stdout


def test_a_programs_own_modules_come_along(server: str, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("class Model:\n    def __init__(self, n): self.n = n\n")
    (tmp_path / "models" / "later.py").write_text("FACTOR = 7\n")
    (tmp_path / "helpers.py").write_text(
        "import models\n\ndef make(n):\n    from models.later import FACTOR\n"
        "    return models.Model(FACTOR * n)\n"
    )
    program = tmp_path / "program.py"
    program.write_text(
        "import distribute, helpers\n"
        "with distribute.Executor() as pool:\n"
        "    print([type(found).__name__ + str(found.n) for found in pool.map(helpers.make, [1, 2])])\n"
    )
    assert runs(program, server) == "['Model7', 'Model14']\n"


def test_a_call_returns_what_its_function_does(pool: distribute.Executor) -> None:
    def add(one: int, *, other: int) -> dict[str, int]:
        return {"sum": one + other, "process": os.getpid()}

    found = pool.submit(add, 1, other=2).result(PATIENCE_S)
    assert found["sum"] == 3
    assert found["process"] != os.getpid()


def test_map_gives_the_results_in_order(pool: distribute.Executor) -> None:
    assert list(pool.map(lambda one, other: one * other, range(40), range(50))) == [n * n for n in range(40)]


def test_map_takes_generators_and_chunks(pool: distribute.Executor) -> None:
    assert list(pool.map(str, (number for number in range(7)), chunksize=3)) == list("0123456")


def test_results_come_before_all_calls_are_done(pool: distribute.Executor, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def wait(number: int) -> int:
        while number == 1 and not gate.exists():
            time.sleep(0.01)
        return number

    results = pool.map(wait, range(2), chunksize=1)
    assert next(results) == 0
    gate.touch()
    assert next(results) == 1


def test_what_a_function_prints_is_the_output_of_its_job(jane: Person, server: str) -> None:
    with distribute.Executor(server=server, name="talks", keep=True) as pool:
        assert pool.submit(print, "hello from a node").result(PATIENCE_S) is None
    assert "hello from a node" in jane.runs("logs", f"{pool.name}-1/call1").stdout


def test_batches_of_calls_that_were_done_are_deleted(jane: Person, server: str) -> None:
    with distribute.Executor(server=server, name="tidy") as pool:
        assert list(pool.map(abs, range(3))) == [0, 1, 2]
    assert not [name for name in batches(jane) if name.startswith("tidy")]


def test_wait_and_as_completed_know_the_futures(pool: distribute.Executor) -> None:
    futures = {pool.submit(abs, -number): number for number in range(4)}
    found = {futures[done]: done.result() for done in concurrent.futures.as_completed(futures, PATIENCE_S)}
    assert found == {number: number for number in range(4)}
    done, left = concurrent.futures.wait(futures, PATIENCE_S)
    assert len(done) == 4
    assert not left


async def test_asyncio_awaits_calls(server: str) -> None:
    pool = await asyncio.to_thread(lambda: distribute.Executor(server=server))
    loop = asyncio.get_running_loop()
    assert await asyncio.gather(*(loop.run_in_executor(pool, abs, -n) for n in range(3))) == [0, 1, 2]
    await asyncio.to_thread(pool.shutdown)


def test_a_call_that_waits_can_be_cancelled_and_one_that_runs_can_not(
    pool: distribute.Executor, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    def wait() -> str:
        while not gate.exists():
            time.sleep(0.01)
        return "done"

    running = [pool.submit(wait) for _ in range(2)]
    until(lambda: all(future.running() for future in running))
    waiting = [pool.submit(wait) for _ in range(3)]
    assert all(future.cancel() for future in waiting)
    assert not any(future.cancel() for future in running)
    done, _ = concurrent.futures.wait(waiting, PATIENCE_S)
    assert done == set(waiting)
    gate.touch()
    assert [future.result(PATIENCE_S) for future in running] == ["done"] * 2


def test_a_call_is_cancelled_also_while_its_batch_is_made(
    jane: Person, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs, looks = Needs.batch, Courier._kill_cancelled
    reached, looked = threading.Event(), threading.Event()

    def pack_late(*arguments: Any) -> Any:
        reached.set()
        assert looked.wait(PATIENCE_S)
        return packs(*arguments)

    def look(courier: Courier) -> None:
        looks(courier)
        looked.set()

    monkeypatch.setattr(Needs, "batch", pack_late)
    monkeypatch.setattr(Courier, "_kill_cancelled", look)
    with distribute.Executor(server=server, name="early", keep=True) as pool:
        future = pool.submit(time.sleep, 60)
        assert reached.wait(PATIENCE_S)
        assert future.cancel()
    assert jane.asks("status", f"{pool.name}-1")["jobs"]["killed"] == 1


def test_shutdown_can_cancel_what_waits(jane: Person, server: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def wait() -> str:
        while not gate.exists():
            time.sleep(0.01)
        return "done"

    pool = distribute.Executor(server=server, name="ends")
    futures = [pool.submit(wait) for _ in range(6)]
    until(lambda: sum(future.running() for future in futures) >= 2)
    pool.shutdown(wait=False, cancel_futures=True)
    gate.touch()
    pool.shutdown()
    assert sum(future.cancelled() for future in futures) == 4
    assert sum(not future.cancelled() and future.result() == "done" for future in futures) == 2
    with pytest.raises(RuntimeError, match="was shut down"):
        pool.submit(abs, 1)
    with pytest.raises(RuntimeError, match="was shut down"):
        pool.map(abs, [1])


def test_an_interrupted_program_leaves_no_calls(server: str) -> None:
    futures = []

    def interrupted() -> None:
        with distribute.Executor(server=server) as pool:
            futures.extend(pool.submit(time.sleep, 600) for _ in range(4))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(future.done() for future in futures)


def test_many_quick_calls_share_jobs(jane: Person, server: str) -> None:
    with distribute.Executor(server=server, keep=True, name="quick") as pool:
        assert list(pool.map(lambda number: number + 1, range(500))) == list(range(1, 501))
    listed = jane.asks("status")["batches"]
    jobs = [batch["jobs"]["total"] for batch in listed if batch["batch"].startswith("quick")]
    assert len(jobs) > 1
    assert sum(jobs) < 60


def test_large_arguments_and_results_come_whole(pool: distribute.Executor) -> None:
    data = os.urandom(5_000_000)
    assert pool.submit(lambda one: one[::-1], data).result(PATIENCE_S) == data[::-1]
    assert list(pool.map(lambda n: len(data) + n, range(3))) == [5_000_000, 5_000_001, 5_000_002]


def test_code_that_takes_a_map_scales_unchanged(pool: distribute.Executor) -> None:
    """As `scipy.optimize.differential_evolution(workers=pool.map)` does: a map for each generation."""

    def minimum(function: Callable[[float], float], workers: Callable[..., Iterator[float]]) -> float:
        low, high = -10.0, 10.0
        for _ in range(3):
            points = [low + (high - low) * n / 8 for n in range(9)]
            values = list(workers(function, points))
            best = min(range(9), key=values.__getitem__)
            low, high = points[max(0, best - 1)], points[min(8, best + 1)]
        return (low + high) / 2

    assert abs(minimum(lambda x: (x - 3) ** 2, pool.map) - 3) < 1


def test_map_gives_up_after_its_timeout(pool: distribute.Executor, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def wait(_: int) -> None:
        while not gate.exists():
            time.sleep(0.01)

    with pytest.raises(TimeoutError):
        next(pool.map(wait, [1], timeout=0.1))
    gate.touch()
