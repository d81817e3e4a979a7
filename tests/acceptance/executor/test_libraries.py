"""Code of joblib and scipy runs on a cluster unchanged, with the libraries themselves."""

from __future__ import annotations

import os
import sysconfig
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import distribute
from acceptance.executor.executor_kit import batches
from acceptance.person import PATIENCE_S, Person

joblib = pytest.importorskip("joblib", minversion="1.3")


@pytest.fixture(autouse=True)
def _registered() -> None:
    distribute.register_joblib()


@pytest.fixture(autouse=True)
def _at_the_cluster(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTRIBUTE_SERVER", server)


def test_joblib_runs_its_calls_on_the_cluster() -> None:
    def square(number: int) -> tuple[int, int]:
        return number * number, os.getpid()

    with joblib.parallel_config(backend="distribute", name="squares"):
        found = joblib.Parallel()(joblib.delayed(square)(number) for number in range(30))
    assert [number for number, _ in found] == [number * number for number in range(30)]
    assert os.getpid() not in {process for _, process in found}


def test_calls_run_on_a_cluster_that_does_one_at_a_time() -> None:
    with joblib.parallel_config(backend="distribute", cpus=2):  # all that there are
        found = joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(2))
    assert os.getpid() not in found


def test_a_backend_takes_the_options_of_an_executor(jane: Person) -> None:
    with joblib.parallel_config(
        backend="distribute", name="kept", namespace="jane", keep=True, env={"FACTOR": "3"}
    ):
        found = joblib.Parallel(n_jobs=2, batch_size=4, pre_dispatch="all")(
            joblib.delayed(lambda number: number * int(os.environ["FACTOR"]))(number) for number in range(8)
        )
    assert found == [0, 3, 6, 9, 12, 15, 18, 21]
    kept = [name for name in batches(jane) if name.startswith("kept")]
    jobs = [job for name in kept for job in jane.asks("status", f"jane/{name}")["job_list"]]
    assert len(jobs) == 2, "each batch of joblib is a job"


def test_a_backend_takes_an_executor_that_is_there(pool: distribute.Executor) -> None:
    with joblib.parallel_config(backend="distribute", pool=pool):
        for _ in range(2):
            assert joblib.Parallel()(joblib.delayed(abs)(-number) for number in range(3)) == [0, 1, 2]
    assert pool.submit(abs, -1).result(PATIENCE_S) == 1, "it is still the person's"
    with pytest.raises(TypeError, match="pool is an executor that is there: cpus can't be set any more"):
        joblib.parallel_config(backend="distribute", pool=pool, cpus=2)


def test_results_may_be_a_generator(pool: distribute.Executor) -> None:
    with joblib.parallel_config(backend="distribute", pool=pool):
        found = joblib.Parallel(return_as="generator")(joblib.delayed(abs)(-n) for n in range(20))
        assert list(found) == list(range(20))


def test_an_error_of_a_call_is_raised_and_leaves_the_executor_ready(pool: distribute.Executor) -> None:
    def call(number: int) -> float:
        return 1 / (number - 3)

    with joblib.parallel_config(backend="distribute", pool=pool):
        with pytest.raises(ZeroDivisionError):
            joblib.Parallel()(joblib.delayed(call)(number) for number in range(16))
        assert joblib.Parallel()(joblib.delayed(abs)(-number) for number in range(3)) == [0, 1, 2]


def test_a_call_that_cannot_be_pickled_is_named(pool: distribute.Executor) -> None:
    lock: Any = threading.Lock()
    with (
        joblib.parallel_config(backend="distribute", pool=pool),
        pytest.raises(Exception, match="argument 1 of len"),
    ):
        joblib.Parallel()(joblib.delayed(len)(each) for each in ([], lock))


def test_minus_one_means_as_many_as_the_cluster_can_do(pool: distribute.Executor) -> None:
    assert pool.slots() == 2
    with joblib.parallel_config(backend="distribute", pool=pool):
        assert joblib.effective_n_jobs() == joblib.effective_n_jobs(-1) == 2
        assert (joblib.effective_n_jobs(-2), joblib.effective_n_jobs(-9)) == (2, 2)
        assert joblib.effective_n_jobs(5) == 5
        with pytest.raises(ValueError, match="0 is neither"):
            joblib.effective_n_jobs(0)


@pytest.fixture
def with_packages(server: str) -> Iterator[distribute.Executor]:
    """An executor whose nodes find what the tests have installed: scipy sends arrays of numpy."""
    packages = {"PYTHONPATH": sysconfig.get_paths()["platlib"]}
    with distribute.Executor(server=server, name="scipy", env=packages) as pool:
        yield pool


def test_scipy_minimizes_by_a_map(with_packages: distribute.Executor) -> None:
    optimize = pytest.importorskip("scipy.optimize")

    def bowl(x: Any) -> float:
        return float((x[0] - 1) ** 2 + (x[1] + 2) ** 2)

    def minimum(workers: Any) -> Any:
        return optimize.differential_evolution(
            bowl,
            [(-5, 5), (-5, 5)],
            workers=workers,
            updating="deferred",
            maxiter=2,
            popsize=4,
            rng=1,
            polish=False,
        )

    found, here = minimum(with_packages.map), minimum(map)
    assert (found.nfev, list(found.x)) == (here.nfev, list(here.x))
