"""The simulation finds what is broken in people's programs: each test breaks one thing."""

import asyncio
from collections.abc import AsyncGenerator
from random import Random
from typing import Any

import pytest

from distribute.client import logs, output_text
from distribute.client.collect import archive
from distribute.client.pull.new_file import NewFile
from distribute.client.workers import for_each
from distribute.results.outputs import collect_pulled
from simulation.biting import finds, long_jobs
from simulation.scenario import Request, Scenario


def readers(random: Random) -> Scenario:
    """Long jobs on nodes that come and go, and people who read what they print."""
    made = long_jobs(random)
    made.requests = [Request(moment, "logs") for moment in range(20, 400, 10)]
    return made


def test_a_reader_of_output_who_does_not_see_the_end_of_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(logs, "_over", never)
    finds("still follows", scenario=readers)


def test_a_reader_of_output_who_is_shown_another_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    live_text = output_text.live_text

    def of_first(cluster: Any, job: Any, _: int, *rest: Any) -> AsyncGenerator[bytes | memoryview, None]:
        return live_text(cluster, job, 1, *rest)

    monkeypatch.setattr(logs, "live_text", of_first)
    finds("did not print that", scenario=readers)


def test_a_pull_that_writes_only_a_part_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write = NewFile.write
    monkeypatch.setattr(NewFile, "write", lambda self, data: write(self, data[:-1]))
    finds("not everything can be pulled")


def collectors(random: Random) -> Scenario:
    """People who collect batches, and are interrupted, while nothing runs."""
    made = long_jobs(random)
    made.submissions, made.calm_at = [], 60.0
    made.requests = [Request(moment, "collect") for moment in range(5, 60, 10)]
    return made


def test_a_collector_who_leaves_the_last_job_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def most(items: Any, work: Any, *, at_once: int) -> None:
        await for_each(list(items)[:-1], work, at_once=at_once)

    monkeypatch.setattr(archive, "for_each", most)
    finds("still not done", scenario=collectors)


def test_a_collector_who_stores_the_results_of_another_job(monkeypatch: pytest.MonkeyPatch) -> None:
    async def misnamed(folder: Any, to: Any, prefix: str, author: Any) -> Any:
        return await collect_pulled(folder, to, f"{prefix.rpartition('/')[0]}/2", author)

    monkeypatch.setattr(archive, "collect_pulled", misnamed)
    finds("said to be gone|not in the archive|said .* gone", scenario=collectors)
