"""What goes wrong with the calls of an executor, and what it refuses."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import distribute
from acceptance.executor.executor_kit import batches, cluster_of
from acceptance.person import PATIENCE_S, Person, until


def test_an_error_comes_back_with_the_traceback_of_the_node(pool: distribute.Executor) -> None:
    class Unlucky(ValueError):
        pass

    def fail(number: int) -> None:
        raise Unlucky(f"no {number} here")

    with pytest.raises(Unlucky, match="no 13 here") as caught:
        pool.submit(fail, 13).result(PATIENCE_S)
    shown = "".join(traceback.format_exception(caught.value))
    assert "in fail" in shown
    assert f"of {pool.name}-1/call1 on " in shown
    assert "run_calls" not in shown


def test_an_error_that_cannot_be_pickled_is_told_in_words(pool: distribute.Executor) -> None:
    class Picky(Exception):
        def __init__(self, one: int, other: int) -> None:
            super().__init__("too picky")

    def fail() -> None:
        raise Picky(1, 2)

    with pytest.raises(distribute.JobFailed, match=r"Picky: too picky \(this error of .*can't be pickled\)"):
        pool.submit(fail).result(PATIENCE_S)


def test_an_exit_of_the_function_is_its_error(pool: distribute.Executor) -> None:
    with pytest.raises(SystemExit):
        pool.submit(lambda: (_ for _ in ()).throw(SystemExit(3))).result(PATIENCE_S)


def test_what_cannot_be_pickled_is_named(pool: distribute.Executor) -> None:
    lock = threading.Lock()
    with pytest.raises(pickle.PicklingError, match=r"the function .*<lambda> can't be pickled"):
        pool.submit(lambda: lock).result(PATIENCE_S)
    with pytest.raises(pickle.PicklingError, match=r"argument 2 of max, a generator, can't be pickled"):
        pool.submit(max, 1, (number for number in range(3))).result(PATIENCE_S)
    with pytest.raises(pickle.PicklingError, match="the argument 'key' of max, a lock,"):
        pool.submit(max, [1], key=lock).result(PATIENCE_S)
    assert list(pool.map(len, [[], [1]])) == [0, 1]
    mapped = pool.map(len, ["", lock])
    assert next(mapped) == 0
    with pytest.raises(pickle.PicklingError, match="argument 1 of len"):
        next(mapped)


def test_a_result_that_cannot_be_pickled_is_named(pool: distribute.Executor) -> None:
    def generate() -> Iterator[int]:
        return (number for number in range(3))

    with pytest.raises(pickle.PicklingError, match=r"the function's result, a builtins\.generator, can't be"):
        pool.submit(generate).result(PATIENCE_S)


def test_a_python_that_is_killed_fails_its_own_call_alone(jane: Person, server: str) -> None:
    def call(number: int) -> int:
        print("call", number, flush=True)
        if number == 2:
            os.kill(os.getpid(), 9)
        return number

    with distribute.Executor(server=server) as pool:
        futures = [pool.submit(call, 0)]
        futures += [*map(pool.submit, [call] * 2, [2, 3])]
        assert futures[0].result(PATIENCE_S) == 0
        assert futures[2].result(PATIENCE_S) == 3
        with pytest.raises(distribute.JobFailed, match=r"without a result: .*KILL") as caught:
            futures[1].result(PATIENCE_S)
        assert caught.value.last_lines == "call 2"
        mapped = pool.map(call, range(4), chunksize=4)
        assert [next(mapped), next(mapped)] == [0, 1]
        with pytest.raises(distribute.JobFailed):
            next(mapped)
    prefix = pool.name.rpartition("/")[2]
    assert [name for name in batches(jane) if name.startswith(prefix)]  # what they printed may tell why


def test_a_call_that_uses_more_memory_than_it_asked_for_fails_alone(server: str) -> None:
    def call(megabytes: int) -> int:
        held = bytearray(megabytes << 20)
        time.sleep(60 if megabytes > 100 else 0)
        return len(held)

    with distribute.Executor(server=server, memory="100M") as pool:
        futures = [pool.submit(call, megabytes) for megabytes in (1, 300, 2)]
        assert [futures[number].result(PATIENCE_S) for number in (0, 2)] == [1 << 20, 2 << 20]
        with pytest.raises(distribute.JobFailed, match="used more memory than its 100M"):
            futures[1].result(PATIENCE_S)


def test_calls_behind_one_that_ends_its_python_are_done(server: str, tmp_path: Path) -> None:
    def call(number: int) -> None:
        if number == 0:
            os._exit(0)
        (tmp_path / str(number)).touch()

    with distribute.Executor(server=server) as pool:
        results = pool.map(call, range(3), chunksize=3)
        with pytest.raises(distribute.JobFailed, match=r"ended before its function did \(exit code 0\)"):
            next(results)
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


def test_a_call_that_takes_too_long_says_so(server: str) -> None:
    with (
        distribute.Executor(server=server, timeout="1s") as pool,
        pytest.raises(distribute.JobFailed, match="its timeout of 1 s"),
    ):
        pool.submit(time.sleep, 600).result(PATIENCE_S)


def test_a_deleted_batch_fails_its_calls(jane: Person, pool: distribute.Executor) -> None:
    future = pool.submit(time.sleep, 600)
    until(future.running)
    jane.runs("kill", f"{pool.name}-1")
    with pytest.raises(distribute.JobFailed, match="killed by"):
        future.result(PATIENCE_S)


def _submits(pool: distribute.Executor, told: Callable[[str], None]) -> None:
    try:
        pool.submit(abs, 1)
    except RuntimeError as error:
        told(str(error))
    with pool:
        pass  # to leave it ends nothing of the parent's


def test_a_forked_process_is_told_to_make_its_own(pool: distribute.Executor) -> None:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_submits, args=(pool, there.send))
    child.start()
    assert here.poll(PATIENCE_S)
    assert "was made before this process was forked" in here.recv()
    child.join(PATIENCE_S)
    assert child.exitcode == 0
    assert pool.submit(abs, -1).result(PATIENCE_S) == 1


def test_wrong_arguments_are_named(server: str) -> None:
    with pytest.raises(distribute.InputError, match=r"Executor: cpus: .*greater than or equal to 1"):
        distribute.Executor(cpus=0, server=server)
    with pytest.raises(distribute.InputError, match="'lots' is not a size"):
        distribute.Executor(memory="lots", server=server)
    with pytest.raises(distribute.InputError, match=r"'a/b-.* can't be a name"):
        distribute.Executor(name="a/b", server=server)
    with pytest.raises(distribute.Refused, match="no node has 4000 cpus"):
        distribute.Executor(cpus=4000, server=server)
    with pytest.raises(distribute.Unreachable):
        distribute.Executor(server="nats://127.0.0.1:1")
    with distribute.Executor(server=server) as pool, pytest.raises(ValueError, match="chunksize must be 1"):
        pool.map(abs, [1], chunksize=0)


def test_a_cluster_without_this_python_says_which_there_are(tmp_path: Path) -> None:
    with (
        cluster_of(tmp_path, "--cpus", "1", python="python3.99") as (_, server),
        pytest.raises(distribute.Refused, match=r"runs on python3.*no node has that.*: python3\.99\)"),
    ):
        distribute.Executor(server=server)
