"""What `pull` says of results that are missing, and of the jobs that left them."""

from __future__ import annotations

from typing import Any

import pytest

from distribute.client.pull.listing import LeftOut, Listing
from distribute.core.files.manifest import Outside, OutsideFile
from distribute_cli.output.results import MOST_LINES, lacks_something, result_document, result_warnings


def standing(state: str = "completed", job_list: Any = (), **counts: int) -> Any:
    """How a batch stands."""
    jobs = dict.fromkeys(("queued", "assigned", "running", "succeeded", "failed", "killed"), 0) | counts
    document = {"namespace": "lab", "batch": "b", "state": state, "reason": None, "job_list": list(job_list)}
    return document | {"jobs": jobs | {"total": sum(jobs.values())}}


def failed(job: str) -> Any:
    return {"job": job, "state": "failed", "node": "vm", "exit_code": 1, "signal": None, "reason": None}


def test_of_a_batch_that_is_whole_nothing_is_said() -> None:
    listing = Listing(complete=True, jobs=2)
    assert list(result_warnings(listing, standing(succeeded=2))) == []
    assert not lacks_something(listing, standing(succeeded=2))


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            standing("running", running=1, queued=2, succeeded=3),
            (
                "lab/b is not over: the results of 3 of 6 jobs are archived so far (1 running, 2 waiting); "
                "`distribute pull lab/b --follow` stays for the rest"
            ),
        ),
        (
            standing("completed", succeeded=4),
            "lab/b is over, but the results of 3 of 4 jobs are archived so far: pull again for the rest",
        ),
    ],
)
def test_what_is_still_to_come_is_said(found: Any, line: str) -> None:
    listing = Listing(complete=False, jobs=3)
    assert list(result_warnings(listing, found)) == [line]
    assert lacks_something(listing, found)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            standing("failed", [failed("a"), failed("b")], succeeded=28, failed=2),
            "lab/b: 2 of 30 jobs failed: a (exit 1 on vm), b (exit 1 on vm)",
        ),
        (standing("killed", succeeded=1, killed=2), "lab/b: 2 of 3 jobs killed"),
        (
            standing("killed", [failed(f"k{n}") | {"state": "killed"} for n in range(5)], killed=9),
            f"lab/b: 9 of 9 jobs killed: {', '.join(f'k{n} (exit 1 on vm)' for n in range(5))} and 4 more",
        ),
    ],
)
def test_jobs_that_did_not_succeed_are_named(found: Any, line: str) -> None:
    listing = Listing(complete=True)
    assert list(result_warnings(listing, found)) == [line]
    assert lacks_something(listing, found)


def test_of_very_much_that_was_not_archived_the_first_is_named_and_the_rest_counted() -> None:
    listing = Listing(complete=True, left_out=[LeftOut("j", f"socket{n}: a socket") for n in range(1000)])
    for number in range(MOST_LINES + 1):
        file = OutsideFile(path="u.dat", size_bytes=2048)
        listing.outside[f"j{number}"] = Outside(files=1, size_bytes=2048, largest=(file,))
    lines = list(result_warnings(listing, standing(succeeded=1)))
    assert lines[0] == "lab/b/j0: a file outside ./distribute_save is not archived: u.dat (2K)"
    assert lines[MOST_LINES] == "and 1 more job left files outside ./distribute_save: --json names all"
    assert lines[MOST_LINES + 1] == "not archived: lab/b/j: socket0: a socket"
    assert lines[-1] == "and 980 more were not archived: --json names all"
    assert len(lines) == 2 * MOST_LINES + 2
    document = result_document(listing, standing(succeeded=1))
    assert (len(document["left_out"]), len(document["outside"])) == (1000, MOST_LINES + 1)
    assert lacks_something(listing, standing(succeeded=1))
