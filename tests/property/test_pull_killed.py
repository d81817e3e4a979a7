"""A pull that is killed at any step, and then done to its end, leaves what one pull would have left.

A child process pulls, and kills itself with SIGKILL before the n-th thing that it does to the file system:
open, make, rename, remove, link, or write, of which it does half.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distribute.client.pull import fetching
from distribute.client.pull.local_batch import PARTS_NAME
from distribute.client.pull.note import Origin
from distribute.client.pull.settling import Edited
from pull_kit import JANES, Archive, Left, files_in

STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate", "os.utime"}
PATHS = ("r", "s", "deep/r", "deep/s", "l")

CONTENTS = st.sampled_from(["", "1", "22", "333", "-> r", "-> elsewhere"])
FILES = st.dictionaries(st.sampled_from(PATHS), CONTENTS, max_size=4)
JOBS = st.dictionaries(st.sampled_from("ab"), FILES, min_size=1)


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a child process that kills itself at a step. Returns True if it got that far."""
    child = os.fork()
    if child == 0:
        try:
            _kill_at(step)
            work()
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in {0, signal.SIGKILL}, "the child's error is on standard error"
    return status == signal.SIGKILL


def _kill_at(step: int) -> None:
    left = step
    write = os.write

    def next_step(event: str, _: tuple[Any, ...] = ()) -> None:
        nonlocal left
        if event in STEPS:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def half_written(descriptor: int, data: Any) -> int:
        if left == 0:
            write(descriptor, data[: len(data) // 2])
        next_step("open")
        return write(descriptor, data)

    os.write = half_written
    sys.addaudithook(next_step)


@pytest.mark.parametrize("before", [JANES, Origin("bob", "mc", "01JBOB")])
def test_a_pull_may_be_killed_at_each_step(before: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch whose earlier attempts are there, or another batch."""
    monkeypatch.setattr(fetching, "RESUMED_FROM_BYTES", 999)
    large = "1" * 999
    first: Left = {
        "a": (1, {"r": "1", "deep/s": "1", "l": "-> r"}),
        "b": (1, {"r": ""}),
        "c": (1, {"x": large}),
    }
    second: Left = {"a": (2, {"r": "2", "l": "-> deep/s"}), "b": (1, {"r": ""}), "c": (1, {"x": large})}
    third: Left = {"a": (3, {"r": "3"}), **{job: second[job] for job in "bc"}}
    now = {"a/r": "3", "b/r": "", "c/x": large, "mine": "mine", "b/mine": "mine"}
    with tempfile.TemporaryDirectory() as base:
        archive = Archive(Path(base, "store"))
        listings = [archive.listed(first, before), archive.listed(second), archive.listed(third)]
        step, going = 0, True
        while going:
            out = Path(base, f"out{step}")
            archive.pulled(listings[0], out)
            (out / "mc/c/x").unlink()
            (out / "mc/mine").write_text("mine")
            (out / "mc/b/mine").write_text("mine")
            going = killed_at(step, partial(archive.pulled, listings[1], out, replace=before != JANES))
            # Meanwhile the job was retried once more: what the killed pull had begun is not a person's.
            pulled = archive.pulled(listings[2], out, replace=True)
            assert (pulled.edited, pulled.problems, pulled.leftovers) == ([], [], [])
            assert files_in(out / "mc") == now
            assert not (out / "mc" / os.fsdecode(PARTS_NAME)).exists()
            step += 1
    assert step > 50


@settings(max_examples=60)
@given(
    first=JOBS,
    second=JOBS,
    retried=st.sets(st.sampled_from("ab")),
    mine=st.dictionaries(
        st.sampled_from([f"{job}/{path}" for job in "ab" for path in PATHS]), CONTENTS, max_size=3
    ),
    step=st.integers(0, 120),
    edited=st.sampled_from(Edited),
    replace=st.booleans(),
)
def test_a_pull_that_was_killed_is_made_good_by_the_next(
    first: Mapping[str, Mapping[str, str]],
    second: Mapping[str, Mapping[str, str]],
    retried: set[str],
    mine: Mapping[str, str],
    step: int,
    edited: Edited,
    replace: bool,
) -> None:
    """Whatever was there before, and whatever a person did to it, as one pull that nobody killed."""
    before: Left = {job: (1, files) for job, files in first.items()}
    after: Left = {
        job: (2, files) if job in retried else (1, first.get(job, files)) for job, files in second.items()
    }
    options = {"edited": edited, "replace": replace}
    results = []
    for is_killed in (False, True):
        with tempfile.TemporaryDirectory() as base:
            archive, out = Archive(Path(base, "store")), Path(base, "out")
            archive.pulled(archive.listed(before), out)
            _change(out / "mc", mine)
            listing = archive.listed(after)
            if is_killed:
                killed_at(step, partial(archive.pulled, listing, out, **options))
            pulled = archive.pulled(listing, out, **options)
            there = files_in(out / "mc")
            named = (pulled.edited, pulled.beside, pulled.leftovers)
            results.append((there, *named, [problem.partition("/out/")[2] for problem in pulled.problems]))
            assert not (out / "mc" / os.fsdecode(PARTS_NAME)).exists()
            if edited is not Edited.OVERWRITTEN:
                assert {path: there[path] for path in persons(before, mine)} == persons(before, mine)
    assert results[0] == results[1]


def persons(before: Left, mine: Mapping[str, str]) -> dict[str, str]:
    """What is a person's: what no pull has written."""
    return {
        path: text for path, text in mine.items() if before.get(path[0], (1, {}))[1].get(path[2:]) != text
    }


def _change(folder: Path, mine: Mapping[str, str]) -> None:
    for path, text in mine.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if text.startswith("-> "):
            place.symlink_to(text.removeprefix("-> "))
        else:
            place.write_text(text)
